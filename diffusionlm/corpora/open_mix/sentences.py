"""Bounds of sentences, and runs of whole sentences that are short enough."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

_END = re.compile(r"[.!?]+[\"')\]]*\s+")
_LAST_WORD = re.compile(r"[\w.']*$")
# fmt: off
_TITLES = frozenset([
    "mr", "mrs", "ms", "dr", "st", "mt", "jr", "sr", "prof", "rev", "hon", "gen", "col", "capt", "lt", "sgt", "sen", "rep",
    "gov", "pres", "vs", "vol", "pp", "cf", "viz", "inc", "ltd", "corp", "dept", "approx", "jan", "feb", "aug", "sept",
    "oct", "nov", "dec", "e.g", "i.e",
])
# fmt: on
# an end only before a capital
_OFTEN_INSIDE = frozenset(["etc", "a.m", "p.m", "u.s", "u.k", "u.n", "d.c", "b.c", "a.d", "ph.d"])
_RUN_WORDS = (12, 24, 45)  # the longest run is drawn from these, so that short and long texts are learned


def sentence_ranges(text: str) -> list[tuple[int, int]]:
    """(start, end) of each sentence, without the spaces between them."""
    ranges, start = [], 0
    for found in _END.finditer(text):
        if found.end() < len(text) and _is_end(text, found):
            ranges.append((start, start + len(text[start : found.end()].rstrip())))
            start = found.end()
    if text[start:].strip():
        ranges.append((start, start + len(text[start:].rstrip())))
    return ranges


def _is_end(text: str, found: re.Match[str]) -> bool:
    marks = found[0].rstrip().rstrip("\"')]")
    lower_after = text[found.end()].islower()
    if marks != ".":
        # "... he said", and "Stop!" he said
        return not (lower_after and (marks.startswith("..") or marks != found[0].rstrip()))
    word = _LAST_WORD.search(text, 0, found.start())[0].lower().lstrip("'")  # type: ignore[index]
    if word in _TITLES or (len(word) == 1 and word.isalpha() and word != "i"):  # "J. Smith"
        return False
    if word == "no" and text[found.end()].isdigit():  # "No. 5"
        return False
    return not (lower_after and (word in _OFTEN_INSIDE or (len(word) > 2 and "." in word[:-1])))


def runs(ranges: list[tuple[int, int]], text: str, seed: str, max_words: int = 45) -> list[tuple[int, int]]:
    """(start, end) of runs of neighbouring sentences, each of ``max_words`` words or fewer; speech in quotes stays whole.

    Args:
        ranges: of the sentences, in order.
        text: that they are ranges of.
        seed: decides how long the runs may become; the same seed, the same runs.
        max_words: of one run; a longer sentence is in none.
    """
    rng = random.Random(seed)
    found: list[tuple[int, int]] = []
    begun: tuple[int, int] | None = None
    words, limit = 0, rng.choice(_RUN_WORDS)
    for start, end in _speech_whole(ranges, text):
        count = len(text[start:end].split())
        if begun is not None and words + count <= min(limit, max_words):
            begun, words = (begun[0], end), words + count
            continue
        if begun is not None:
            found.append(begun)
        begun, words, limit = ((start, end), count, rng.choice(_RUN_WORDS)) if count <= max_words else (None, 0, limit)
    return found if begun is None else [*found, begun]


def _speech_whole(ranges: list[tuple[int, int]], text: str) -> Iterator[tuple[int, int]]:
    """The ranges, those between a quotation mark and its partner as one."""
    first: int | None = None
    for start, end in ranges:
        odd = text.count('"', start, end) % 2 == 1
        if first is None and odd:
            first = start
        elif first is None or odd:
            yield (start if first is None else first), end
            first = None
    if first is not None:
        yield first, ranges[-1][1]
