"""The output folder of a job: its record, parts with texts, failed rows. Each file is there whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from diffusionlm.errors import reason_of
from diffusionlm.serving.jobs.source import parquet

RECORD = "job.json"
FAILED = "failed.jsonl"
_PART = re.compile(r"part-(\d{6,})\.(jsonl|parquet)")
_AS_JSON = ("guidance", "certificates")  # mappings of any keys: columns of Parquet hold them as JSON


class JobFolder:
    """A folder that one job writes to.

    Args:
        path: the folder; it may exist if it is empty or holds the same job.
        kind: "jsonl" or "parquet", the form of the parts.
    """

    def __init__(self, path: str | Path, kind: str = "jsonl") -> None:
        self.path, self.kind = Path(path), kind

    def claim(self, record: Mapping[str, Any]) -> None:
        """Makes the folder, or sees that it is of the same job.

        Args:
            record: all that the texts depend on.

        Raises:
            ValueError: if the folder holds something else, naming what differs.
        """
        record = json.loads(json.dumps(record))
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"output={str(self.path)!r} is a file; name a folder.")
        file = self.path / RECORD
        if not file.is_file():
            if self.path.is_dir() and any(not _is_rest(entry.name) for entry in self.path.iterdir()):
                raise ValueError(f"The folder {str(self.path)!r} is not empty and holds no job; name another one.")
            self.path.mkdir(parents=True, exist_ok=True)
            self.write(file, [json.dumps(record, indent=2, ensure_ascii=False).encode()])
        try:
            held = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{file} is damaged ({reason_of(error)}); name another folder for the job.") from error
        other = [name for name in {**held, **record} if held.get(name) != record.get(name)]
        if other:
            name = other[0]
            raise ValueError(
                f"The folder {str(self.path)!r} holds another job: its {name} is {_short(held.get(name))}, here it is "
                f"{_short(record.get(name))}. Name another folder, or give the same settings to go on with that one."
            )

    def done(self) -> set[int]:
        """Numbers of the chunks that have their part."""
        found = (_PART.fullmatch(entry.name) for entry in self.path.iterdir())
        return {int(match[1]) for match in found if match}

    def tidy(self) -> None:
        """Removes what killed processes have left half-written."""
        for entry in list(self.path.iterdir()) + list((self.path / "failed").glob("*")):
            if _is_rest(entry.name):
                with contextlib.suppress(FileNotFoundError):
                    entry.unlink()

    def write_part(self, number: int, rows: list[dict[str, Any]], failed: list[dict[str, Any]]) -> None:
        """Writes what a chunk came to. The part itself comes last: once it is there, all is.

        Raises:
            OSError: if the disk is full, for example; nothing half-written stays.
        """
        name = f"part-{number:06d}"
        failures = self.path / "failed" / f"{name}.jsonl"
        if failed:
            failures.parent.mkdir(exist_ok=True)
            self.write(failures, _lines(failed))
        else:
            failures.unlink(missing_ok=True)
        if self.kind == "parquet":
            self.write(self.path / f"{name}.parquet", [_parquet_bytes(rows)])
        else:
            self.write(self.path / f"{name}.jsonl", _lines(rows))

    def gather_failed(self) -> int:
        """Joins the failed rows of all parts in one file, in order; returns how many there are."""
        count, target = 0, self.path / FAILED

        def pieces() -> Iterator[bytes]:
            nonlocal count
            for part in sorted((self.path / "failed").glob("part-*.jsonl")):
                raw = part.read_bytes()
                count += raw.count(b"\n")
                yield raw

        self.write(target, pieces())
        if not count:
            target.unlink()
        return count

    def count_failed(self) -> int:
        """Failed rows so far."""
        return sum(part.read_bytes().count(b"\n") for part in (self.path / "failed").glob("part-*.jsonl"))

    def write(self, path: Path, pieces: Iterable[bytes]) -> None:
        """Writes a file beside its place, flushes it to the disk, and moves it there in one step."""
        rest = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
        try:
            with rest.open("wb") as file:
                for piece in pieces:
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            os.replace(rest, path)
            _flush_folder(path.parent)
        except BaseException as error:
            with contextlib.suppress(OSError):
                rest.unlink(missing_ok=True)
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise OSError(
                    f"The disk that holds {str(self.path)!r} is full. What is written stays; free some space and give the same "
                    "command again to go on."
                ) from error
            raise


def _flush_folder(path: Path) -> None:
    if os.name == "posix":
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _lines(rows: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    for row in rows:
        text = json.dumps(row, ensure_ascii=False, default=str)  # of Parquet there are dates and the like
        try:
            yield text.encode() + b"\n"
        except UnicodeEncodeError:  # half of a character, in a row that failed for it
            yield json.dumps(row, default=str).encode() + b"\n"


def _parquet_bytes(rows: list[dict[str, Any]]) -> bytes:
    import pyarrow

    def column(name: str) -> Any:
        values = [row.get(name) for row in rows]
        try:
            if name not in _AS_JSON:
                return pyarrow.array(values)
        except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError):  # values of several types under one name
            pass
        return pyarrow.array([None if value is None else json.dumps(value, ensure_ascii=False) for value in values])

    table = pyarrow.table({name: column(name) for name in dict.fromkeys(name for row in rows for name in row)})
    sink = pyarrow.BufferOutputStream()
    parquet().write_table(table, sink)
    return sink.getvalue().to_pybytes()


def _is_rest(name: str) -> bool:
    return name.startswith(".") and name.endswith(".tmp")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
