"""Personal data found by reading characters: Python's `re` and plain Python, no automaton. This is what certifies.

All of it reads the plain form of a text (`pii.folding`); places are given in the text as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from diffusionlm.errors import suggestion
from diffusionlm.guidance.pii.allowances import Allowances
from diffusionlm.guidance.pii.folding import Plain, plain
from diffusionlm.guidance.pii.harmless import BETWEEN, S, T
from diffusionlm.guidance.pii.kind import MOST_LEAD, Kind, Pattern
from diffusionlm.guidance.pii.luhn import LEAST, MOST, luhn_valid
from diffusionlm.guidance.pii.patterns import KINDS, WIDE

Places = list[tuple[int, int]]
_NUMBER = re.compile(rf"[0-9](?:{T}[0-9])*")
_RUN = re.compile(rf"[0-9](?:{S}[0-9])*")
_BETWEEN = re.compile(BETWEEN)


@lru_cache(maxsize=256)
def expression(pattern: Pattern) -> re.Pattern[str]:
    """A pattern in the syntax of `re`, what stands right before and behind as look-around."""
    before = "".join(f"(?<!{text})" for text in pattern.not_before)
    behind = f"(?!{'|'.join(pattern.not_behind)})" if pattern.not_behind else ""
    return re.compile(f"{before}(?:{pattern.core}){behind}", pattern.flags)


@lru_cache(maxsize=256)
def _matcher(text: str, flags: int) -> re.Pattern[str]:
    return re.compile(text, flags)


def find(pattern: Pattern, text: str) -> Iterator[tuple[int, int]]:
    """Where a pattern occurs in a plain text: (start, end), for each start the longest."""
    for start, end in _candidates(pattern, text):
        if not _led(pattern, text, start):
            continue
        if pattern.luhn:
            ends = [one for one in _card_ends(text, start) if not _excused(pattern, text[start:one])]
            yield from ((start, one) for one in ends[-1:])
        elif not _excused(pattern, text[start:end]):
            yield start, end


def _candidates(pattern: Pattern, text: str) -> Iterator[tuple[int, int]]:
    """Places where the core stands with what may stand right before and behind it."""
    seeker = expression(pattern)
    if pattern.whole or pattern.luhn:
        for run in (_NUMBER if pattern.whole else _RUN).finditer(text):
            match = seeker.match(text, *run.span()) if pattern.whole else seeker.match(text, run.start())
            if match and (pattern.luhn or match.end() == run.end()):
                yield match.span()
        return
    match = seeker.search(text)
    while match:
        yield match.span()
        match = seeker.search(text, match.start() + 1)


def _led(pattern: Pattern, text: str, start: int) -> bool:
    since = max(0, start - MOST_LEAD)  # look-behind still sees what stands before it
    if pattern.led_by and not _matcher(rf"(?:{pattern.led_by})\Z", pattern.flags).search(text, since, start):
        return False
    lifted = pattern.not_led_by and _matcher(rf"(?<!\w)(?:{pattern.not_led_by})\Z", pattern.flags)
    return not (lifted and lifted.search(text, since, start))


def _excused(pattern: Pattern, core: str) -> bool:
    return any(_matcher(one, pattern.flags).fullmatch(core) for one in pattern.unless)


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
        elif not _BETWEEN.match(text[place]):
            return


def may_occur(kind: Kind, text: str) -> bool:
    """Whether a text holds a sign of a kind."""
    return _matcher(kind.signs, 0).search(text) is not None


def find_in_plain(kind: Kind, text: str) -> Places:
    """Where a kind occurs in a plain text, in order: (start, end) in its characters."""
    if not may_occur(kind, text):
        return []
    places = {place for pattern in kind.patterns for place in find(pattern, text)}
    return sorted(places, key=lambda place: (place[0], -place[1]))


def without_allowed(kind: Kind, text: str, allowed: Allowances | None) -> str:
    """A plain text of the same length in which what may be named of a kind is put aside."""
    if allowed is None:
        return text
    return allowed.of(kind, lambda given: bool(find_in_plain(kind, given))).hide(text)


def find_kind(kind: Kind, text: str, allowed: Allowances | None = None) -> Places:
    """Where a kind occurs in a text, in order: (start, end) in characters.

    Args:
        kind: one of `pii.patterns.KINDS`, or another.
        text: any text.
        allowed: texts that may be named; those of the kind are put aside first.
    """
    form = plain(text)
    places = [form.place(*place) for place in find_in_plain(kind, without_allowed(kind, form.text, allowed))]
    if kind.raw and form.text != text:
        places += find_in_plain(kind, without_allowed(kind, text, allowed))
    return sorted(set(places), key=lambda place: (place[0], -place[1]))


def find_personal_data(
    text: str, kinds: Sequence[str] | Mapping[str, Kind] | None = None, allowed: Allowances | None = None
) -> list[tuple[str, int, int]]:
    """Personal data of fixed form in a text.

    Args:
        text: any text.
        kinds: names from `KINDS`, or kinds by name; None: all of `KINDS`.
        allowed: texts that may be named.

    Returns:
        (kind, start, end), in order of the text.

    Raises:
        ValueError: if there is no kind of a name.

    Example:
        >>> find_personal_data("Write to ann@example.org.")
        [('email', 9, 24)]
    """
    found: list[tuple[str, int, int]] = []
    for name, kind in _named(kinds).items():
        end = 0
        for start, until in find_kind(kind, text, allowed):  # of those that begin within another the first is shown
            if start >= end:
                found.append((name, start, until))
                end = until
    special = [(start, end) for name, start, end in found if name not in WIDE]
    found = [
        item for item in found if item[0] not in WIDE or not any(a <= item[1] and item[2] <= b for a, b in special)
    ]
    return sorted(found, key=lambda item: item[1:])


def _named(kinds: Sequence[str] | Mapping[str, Kind] | None) -> Mapping[str, Kind]:
    if isinstance(kinds, Mapping):
        return kinds
    for name in kinds or ():
        if name not in KINDS:
            raise ValueError(f"There is no kind of personal data {name!r}; {suggestion(name, KINDS)}")
    return {name: KINDS[name] for name in (KINDS if kinds is None else kinds)}


def touches(places: Sequence[tuple[int, int]], written: Sequence[tuple[int, int]] | None) -> bool:
    """Whether a place holds a character of what was written; None: everything was."""
    if written is None:
        return bool(places)
    return any(max(start, since) < min(end, until) for start, end in places for since, until in written)


def breaks(
    kind: Kind, text: str | Plain, written: Sequence[tuple[int, int]] | None, allowed: Allowances | None = None
) -> bool:
    """Whether a kind occurs in what was written, texts that may be named put aside.

    Args:
        kind: what is looked for.
        text: any text, or its plain form if that is there already (then a `raw` kind is looked for in it alone).
        written: (start, end) of what was generated, in the text as given; None: all of it.
        allowed: texts that may be named.
    """
    form = text if isinstance(text, Plain) else plain(text)
    if touches(find_in_plain(kind, without_allowed(kind, form.text, allowed)), form.ranges(written)):
        return True
    if not kind.raw or isinstance(text, Plain) or form.text == text:
        return False
    return touches(find_in_plain(kind, without_allowed(kind, text, allowed)), written)
