"""Rows of a JSONL or Parquet file, in chunks that can be read apart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from diffusionlm.errors import SAVE_AS_UTF8
from diffusionlm.serving.plain_json import MOST_NESTED, is_deeper, no_field_twice

_STEP = 32  # chunks are multiples of it, as long as the file has some hundreds of them
_LARGEST_LINE = 10_000_000  # bytes


@dataclass(frozen=True)
class Broken:
    """A line that is no row.

    Attributes:
        reason: why, with the number of the line.
    """

    reason: str


@dataclass(frozen=True)
class Source:
    """A file of rows.

    Attributes:
        path: the file.
        kind: "jsonl" or "parquet".
        rows: how many there are.
        digest: of its content.
        chunk: rows of a chunk; the last may have fewer.
        offsets: (byte, line) where each chunk of a JSONL file begins.
    """

    path: str
    kind: str
    rows: int
    digest: str
    chunk: int
    offsets: tuple[tuple[int, int], ...] = ()

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return -(-self.rows // self.chunk)

    def read(self, number: int) -> Iterator[tuple[int, Any]]:
        """(number of the row from 0, row or `Broken`) of a chunk."""
        first = number * self.chunk
        count = min(self.chunk, self.rows - first)
        if self.kind == "parquet":
            yield from enumerate(_parquet_rows(self.path, first, count), first)
            return
        offset, line = self.offsets[number]
        with open(self.path, "rb") as file:
            file.seek(offset)
            while count:
                raw = file.readline()
                line += 1
                if raw.strip():
                    yield first, _parse(raw, line)
                    first, count = first + 1, count - 1


def open_source(path: str | Path, chunk: int | None = None) -> Source:
    """Counts the rows of a file and finds where its chunks begin; empty lines are no rows.

    Args:
        path: the file.
        chunk: rows of a chunk; None makes up to some 256 chunks of at least 32 rows, and at most 1024.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if its name ends in nothing known, it has no rows, or is no Parquet file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {str(path)!r} to read rows from.")
    kind = {".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}.get(path.suffix.lower())
    if kind is None:
        raise ValueError(f"The input {path.name!r} must be .jsonl (one JSON object a line) or .parquet.")
    offsets: tuple[tuple[int, int], ...] = ()
    if kind == "parquet":
        rows, digest = _parquet_count(path), sha256()
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    else:
        rows, offsets, digest = _index(path, chunk or _STEP)
    if not rows:
        raise ValueError(f"The file {str(path)!r} has no rows.")
    if chunk is None:
        every = min(32, max(1, rows // (256 * _STEP)))
        chunk, offsets = every * _STEP, offsets[::every]
    return Source(str(path.resolve()), kind, rows, digest.hexdigest(), chunk, offsets)


def _index(path: Path, chunk: int) -> tuple[int, tuple[tuple[int, int], ...], Any]:
    digest, rows, at, offsets = sha256(), 0, 0, []
    with path.open("rb") as file:
        for line, raw in enumerate(file):
            digest.update(raw)
            if raw.strip():
                if rows % chunk == 0:
                    offsets.append((at, line))
                rows += 1
            at += len(raw)
    return rows, tuple(offsets), digest


def _parse(raw: bytes, line: int) -> Any:
    if len(raw) > _LARGEST_LINE:
        return Broken(f"line {line} has {len(raw):,} bytes, at most {_LARGEST_LINE:,} are allowed")
    try:
        row = json.loads(raw.decode("utf-8-sig" if line == 1 else "utf-8"), object_pairs_hook=no_field_twice)
    except UnicodeDecodeError as error:
        return Broken(f"line {line} is not UTF-8: {error.reason} at byte {error.start}; {SAVE_AS_UTF8}")
    except RecursionError:
        return Broken(f"line {line} is nested too deeply")
    except json.JSONDecodeError as error:
        place = min(error.pos + 1, len(error.doc.rstrip("\r\n")) + 1)
        return Broken(f"line {line} is not JSON: {error.msg} at character {place}; each line is one whole object")
    except ValueError as error:
        return Broken(f"line {line} is not JSON that can be taken: {str(error)[:200]}")
    if not isinstance(row, dict):
        return Broken(f"line {line} must be a JSON object, got {type(row).__name__}")
    if is_deeper(row, MOST_NESTED):
        return Broken(f"line {line} is nested too deeply: more than {MOST_NESTED} levels")
    return row


def parquet() -> Any:
    """The module ``pyarrow.parquet``.

    Raises:
        ImportError: saying how to install it.
    """
    try:
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise ImportError("Parquet files need pyarrow: pip install 'diffusionlm-toolkit[parquet]'.") from error
    return pyarrow.parquet


def _parquet_count(path: Path) -> int:
    import pyarrow

    try:
        return parquet().ParquetFile(path).metadata.num_rows
    except pyarrow.ArrowInvalid as error:
        raise ValueError(f"{str(path)!r} is no Parquet file: {error}") from error


def _parquet_rows(path: str, first: int, count: int) -> Iterator[dict[str, Any]]:
    """Rows first..first+count; row groups outside are not read. Nulls are fields that are not there."""
    file = parquet().ParquetFile(path)
    begin = 0
    for group in range(file.num_row_groups):
        end = begin + file.metadata.row_group(group).num_rows
        if end > first and begin < first + count:
            part = file.read_row_group(group).slice(max(0, first - begin), min(end, first + count) - max(begin, first))
            for row in part.to_pylist():
                yield {name: value for name, value in row.items() if value is not None}
        begin = end
