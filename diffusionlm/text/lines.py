"""Lines of a text file that a user names: UTF-8, whatever the ends of its lines, with a byte-order mark or without."""

from __future__ import annotations

from pathlib import Path

from diffusionlm.errors import SAVE_AS_UTF8


def read_lines(path: str | Path, what: str = "") -> list[str]:
    """Lines of a file, without their ends; only a line end of text files ends one, not any of the signs by which Unicode
    separates lines (U+2028, U+0085), which stand within texts and JSON.

    Args:
        path: the file.
        what: the noun for it in messages, such as "the word list".

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is not UTF-8 text; the message names the file and the byte.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")  # which makes \n of \r\n and \r
    except UnicodeDecodeError as error:
        named = f"{what} {str(path)!r}".strip()
        raise ValueError(
            f"{named[0].upper()}{named[1:]} is not UTF-8 text: {error.reason} at byte {error.start}; {SAVE_AS_UTF8}."
        ) from error
    return text.removesuffix("\n").split("\n") if text else []
