"""Personal data found by reading characters: Python's `re` and plain Python, no automaton. This is what certifies."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from diffusionlm.guidance.pii.luhn import LEAST, MOST, luhn_valid
from diffusionlm.guidance.pii.patterns import KINDS, SEPARATOR, WIDE, Kind, Pattern

OPAQUE = "\ufffc"
_SIGNS = re.compile(r"[0-9@:]|[?&]\w+=|[\w\-]\.+\w")  # every pattern needs one of these


@lru_cache(maxsize=256)
def expression(pattern: Pattern) -> re.Pattern[str]:
    """A pattern in the syntax of `re`, what stands before and behind as look-around."""
    before = "".join(f"(?<!{text})" for text in pattern.not_before)
    only = f"(?<={pattern.only_behind})" if pattern.only_behind else ""
    behind = f"(?!{'|'.join(pattern.not_behind)})" if pattern.not_behind else ""
    return re.compile(f"{before}{only}(?:{pattern.core}){behind}")


def find(pattern: Pattern, text: str) -> Iterator[tuple[int, int]]:
    """Where a pattern occurs: (start, end), for each start the longest."""
    seeker = expression(pattern)
    match = seeker.search(text)
    while match:
        start = match.start()
        if pattern.luhn:
            ends = list(_card_ends(text, start))
        else:
            ends = [match.end()]
        for end in ends[-1:]:
            if not any(re.fullmatch(other, text[start:end]) for other in pattern.unless):
                yield start, end
        match = seeker.search(text, start + 1)


def _card_ends(text: str, start: int) -> Iterator[int]:
    """Where a number that begins at `start` may end so that its sum is valid."""
    digits = ""
    for place in range(start, len(text)):
        if text[place] in "0123456789":
            digits += text[place]
            if len(digits) > MOST:
                return
            ends = place + 1 == len(text) or text[place + 1] not in "0123456789"
            if ends and len(digits) >= LEAST and luhn_valid(digits):
                yield place + 1
        elif not _separates(text, place):
            return


def _separates(text: str, place: int) -> bool:
    return re.match(SEPARATOR, text[place]) is not None and text[place - 1] in "0123456789"


def find_kind(kind: Kind, text: str) -> list[tuple[int, int]]:
    """Where a kind occurs, in order: (start, end) in characters."""
    places = {place for pattern in kind.patterns for place in find(pattern, text)}
    return sorted(places, key=lambda place: (place[0], -place[1]))


def find_personal_data(text: str, kinds: Sequence[str] | None = None) -> list[tuple[str, int, int]]:
    """Personal data of fixed form in a text.

    Args:
        text: any text.
        kinds: names from `KINDS`; None: all.

    Returns:
        (kind, start, end), in order of the text.

    Example:
        >>> find_personal_data("Write to ann@example.org.")
        [('email', 9, 24)]
    """
    if not _SIGNS.search(text):
        return []
    found: list[tuple[str, int, int]] = []
    for name in KINDS if kinds is None else kinds:
        end = 0
        for start, until in find_kind(KINDS[name], text):  # of those that begin within another only the first is shown
            if start >= end:
                found.append((name, start, until))
                end = until
    special = [(start, end) for name, start, end in found if name not in WIDE]
    found = [
        item for item in found if item[0] not in WIDE or not any(a <= item[1] and item[2] <= b for a, b in special)
    ]
    return sorted(found, key=lambda item: item[1:])


def touches(places: Sequence[tuple[int, int]], written: Sequence[tuple[int, int]] | None) -> bool:
    """Whether a place holds a character of what was written; None: everything was."""
    if written is None:
        return bool(places)
    return any(max(start, since) < min(end, until) for start, end in places for since, until in written)


def breaks(kind: Kind, text: str, written: Sequence[tuple[int, int]] | None, allowed: re.Pattern[str] | None) -> bool:
    """Whether a kind occurs in what was written, texts that may be named put aside."""
    if not _SIGNS.search(text) or not touches(find_kind(kind, text), written):
        return False
    if allowed is None:
        return True
    hidden = allowed.sub(lambda match: OPAQUE * len(match.group()), text)
    return hidden == text or touches(find_kind(kind, hidden), written)


def allowed_expression(texts: Sequence[str]) -> re.Pattern[str] | None:
    """Finds texts that may be named, as whole words and in any case; None if there are none."""
    if not texts:
        return None
    longest = sorted(texts, key=len, reverse=True)
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest))})(?!\w)", re.IGNORECASE)
