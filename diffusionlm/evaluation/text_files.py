"""Texts of files and folders of any of our corpora, packed or not: lines, JSON lines, E2E."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from diffusionlm.corpora.detokenize import detokenize

_OPENERS: dict[str, Callable[..., IO[Any]]] = {".xz": lzma.open, ".gz": gzip.open, ".bz2": bz2.open}
_ENDINGS = (".txt", ".text", ".jsonl")


def read_texts(paths: str | Path | Iterable[str | Path], field: str = "text") -> Iterator[str]:
    """Texts in the order of the paths; a folder gives its files in the order of their names.

    A file holds one text a line (.txt), or JSON lines (.jsonl) whose `field` is the text; packed by xz, gz or bz2 likewise.
    Lines of E2E's form (`field : value||sentence`) give the sentence as natural text. A folder's other files are passed over.

    Args:
        paths: files and folders.
        field: of JSON lines.

    Raises:
        FileNotFoundError: a path is not there, or a folder holds no such file.
        ValueError: the name of a file does not tell its form, or a line cannot be read; the message names it.
    """
    for path in [paths] if isinstance(paths, (str, Path)) else paths:
        for file in _files(Path(path)):
            yield from _texts(file, field)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        if _form(path) is None:
            raise ValueError(
                f"The name of {path} does not tell its form: texts are read from .txt and .jsonl, also packed (.xz, .gz, "
                ".bz2)."
            )
        return [path]
    if not path.is_dir():
        raise FileNotFoundError(f"There is no file or folder of texts {path}.")
    found = sorted(file for file in path.rglob("*") if file.is_file() and _form(file) is not None)
    if not found:
        raise FileNotFoundError(f"The folder {path} holds no file of texts (.txt or .jsonl, packed or not).")
    return found


def _form(file: Path) -> str | None:
    """The ending that tells the form: of `a.txt.xz` it is `.txt`."""
    ending = Path(file.stem).suffix if file.suffix in _OPENERS else file.suffix
    return ending.lower() if ending.lower() in _ENDINGS else None


def _texts(file: Path, field: str) -> Iterator[str]:
    with _OPENERS.get(file.suffix, io.open)(file, "rt", encoding="utf-8") as lines:
        done = 0
        try:
            for line in lines:
                if line.strip():
                    yield _json_text(line, field) if _form(file) == ".jsonl" else _line_text(line)
                done += 1
        except (ValueError, EOFError, lzma.LZMAError, OSError) as error:
            raise ValueError(f"{file}, line {done + 1}: {str(error).rstrip('.')}.") from error


def _json_text(line: str, field: str) -> str:
    row = json.loads(line)
    text = row.get(field) if isinstance(row, dict) else None
    if not isinstance(text, str):
        raise ValueError(f"expected an object with a text in {field!r}, got {line.strip()[:80]}")
    return text


def _line_text(line: str) -> str:
    fields, mark, text = line.partition("||")
    return detokenize(text) if mark and ":" in fields else line.strip()
