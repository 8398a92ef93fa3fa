"""A text as a source gives it, and the files that sources are read from."""

from __future__ import annotations

import hashlib
import json
import lzma
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diffusionlm.errors import SAVE_AS_UTF8


@dataclass(frozen=True)
class Found:
    """A text and what is known of it.

    Attributes:
        text: cleaned; empty for one that its source leaves out.
        group: texts of one group are all trained on or all held out; "" is a group of its own.
        conditions: of its prompt, after the source.
        always: whether the conditions stand in every prompt rather than in half of them.
        toxic: 0 or 1; None where nobody said.
        labels: name -> 0 or 1; None where nobody said.
        spans: [start, end, TYPE] in characters; None where nobody said.
        previous: what was said before, in a dialogue.
        made: an invented text, which is not judged by `reason_to_drop`: its card numbers are meant to be there.
    """

    text: str
    group: str = ""
    conditions: Sequence[str] = field(default_factory=tuple)
    always: bool = False
    toxic: int | None = None
    labels: dict[str, int] | None = None
    spans: list[list[Any]] | None = None
    previous: str = ""
    made: bool = False


def same_text(text: str) -> int:
    """A number that texts share which differ in case, marks and spaces only."""
    letters = "".join(filter(str.isalnum, text.casefold()))
    return int.from_bytes(hashlib.blake2b(letters.encode(), digest_size=8).digest(), "big")


def lines(path: Path) -> Iterator[str]:
    """The lines of a text file that are not empty.

    Raises:
        ValueError: if the file is not UTF-8; the message names the place.
    """
    for _, line in numbered(path):
        yield line


def objects(path: Path, needed: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The rows of a file of JSON lines.

    Raises:
        ValueError: if a line is no JSON object, or lacks a field that is ``needed``; the message names the line.
    """
    for number, line in numbered(path):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}, line {number} is not JSON: {error}.") from error
        missing = [name for name in needed if name not in row] if isinstance(row, dict) else needed
        if missing:
            raise ValueError(
                f"{path}, line {number} needs the fields {', '.join(needed)}; it lacks {', '.join(missing)}."
            )
        yield row


def numbered(path: Path) -> Iterator[tuple[int, str]]:
    """(number, line) of the lines that are not empty, of a text file or of one packed by xz.

    Raises:
        ValueError: if the file is not UTF-8, or damaged; the message names the file and the line.
    """
    number = 0
    try:
        with lzma.open(path) if path.suffix == ".xz" else path.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
                if text:
                    yield number, text
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}, line {number} is not UTF-8 text: {error.reason} at byte {error.start}; {SAVE_AS_UTF8}."
        ) from error
    except (lzma.LZMAError, EOFError) as error:
        raise ValueError(f"{path} is damaged after line {number}: {error}.") from error
