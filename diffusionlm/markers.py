"""Markers of spans in a text, ``[SPAN]``, ``[SPAN:n]`` and ``[CHOICE:a|b]``, told from brackets that are text.

A bracket is a marker's only before the words SPAN, CHOICE and CONCEPT, so ``see [1]`` and ``[sic]`` are text. A backslash
before it keeps a marker as text; before ``|``, ``[`` or ``]`` in an option it keeps that sign. What begins or ends like a
marker and is none is refused with its place, never taken as text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_WORDS = "SPAN|CHOICE|CONCEPT"
_MARKER = re.compile(
    rf"\\(?P<kept>\[\s*(?i:{_WORDS})\b)|\[SPAN(?::(?P<length>\d+))?\]|\[CHOICE:(?P<options>(?:\\[|\[\]]|[^\[\]])+)\]"
)
_BAR = re.compile(r"(?<!\\)\|")
_KEPT_SIGN = re.compile(r"\\([|\[\]])")
_MOST_DIGITS = 18  # of the length of a span
_NEAR = re.compile(
    rf"\[\s*(?:(?i:{_WORDS})\s*(?::[^\[\]]*)?|(?i:{_WORDS})[\s=;,_\-\uff1a]*\d+\s*|(?:{_WORDS})(?![A-Za-z])[^\[\]]{{0,80}}"
    r"|(?i:CHOICES?)\b[^\[\]]*\|[^\[\]]*)\]"
)
_OPEN = re.compile(rf"\[(?:(?:{_WORDS})\b[^\[\]]*|\s*(?i:{_WORDS})\s*(?::[^\[\]]*)?)(?=\[|\Z)")
_SHUT = re.compile(r"\b(?:SPAN(?::\d+)?|CHOICE:[^\[\]]+|CONCEPT:[^\[\]]+)\]")
_AS_TEXT = "To keep it as text, put a backslash before its bracket, or pass a Canvas."


@dataclass(frozen=True)
class Marker:
    """A span as it was written.

    Attributes:
        length: of ``[SPAN:n]``.
        options: of ``[CHOICE:a|b]``, without blanks at their ends; none for a span.
    """

    length: int | None = None
    options: tuple[str, ...] = ()


def read_markers(text: str) -> Iterator[str | Marker]:
    """Known text and markers in order of a text; backslashes before markers that are text are gone.

    Raises:
        ValueError: if something begins or ends like a marker and is none; the message shows where.
    """
    cursor = 0
    for match in _MARKER.finditer(text):
        yield _known(text, cursor, match.start())
        cursor = match.end()
        if match["kept"]:
            yield match["kept"]
        elif match["options"]:
            yield Marker(options=tuple(_KEPT_SIGN.sub(r"\1", part.strip()) for part in _BAR.split(match["options"])))
        elif len(match["length"] or "") > _MOST_DIGITS:
            raise ValueError(
                f"The span at character {match.start()} asks for a length of {len(match['length'])} digits."
            )
        else:
            yield Marker(int(match["length"]) if match["length"] else None)
    yield _known(text, cursor, len(text))


def _known(text: str, start: int, end: int) -> str:
    """Text between two markers."""
    part = text[start:end]
    if near := _NEAR.search(part):
        raise ValueError(
            f"{near[0]!r} is no span (character {start + near.start()}): write [SPAN], [SPAN:n] with a number, or "
            "[CHOICE:a|b] (bracket or bar in an option behind a backslash); [CONCEPT:name] stands at the beginning of a text. "
            + _AS_TEXT
        )
    if opened := _OPEN.search(part):
        raise ValueError(
            f"The span that begins at character {start + opened.start()}, {_shown(opened[0])}, is not closed: write [SPAN], "
            "[SPAN:n] or [CHOICE:a|b]; a bracket within an option stands behind a backslash. " + _AS_TEXT
        )
    for shut in _SHUT.finditer(part):
        place = start + shut.start()
        if text.rfind("[", 0, place) <= text.rfind("]", 0, place):
            raise ValueError(
                f"{_shown(shut[0])} at character {place} lacks its first bracket: write {_shown('[' + shut[0])}. To keep it as "
                "text, pass a Canvas."
            )
    return part


def _shown(found: str) -> str:
    return repr(found if len(found) <= 40 else found[:40] + "...")
