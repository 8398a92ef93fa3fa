"""Faults that a reader sees in one text: unseen neighbours, repeated words, words that are none; and what was copied.

A judge's mean perplexity sees none of them: a text with one broken place among thirty words is as likely as real text.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from diffusionlm.evaluation.seen_text import SeenText, tokens_with_ends


@dataclass(frozen=True)
class Faults:
    """Faults of one text, and how much of it was copied.

    Attributes:
        pairs: neighbouring words and marks that were looked at.
        strange: those that stand together nowhere in the training text, as "a b".
        repeated: words that stand twice in a row, and "," for ",,".
        nonwords: words of letters alone that neither training text nor lexicon has.
        runs: runs of eight words and marks that were looked at.
        copied_runs: those that stand in the training text.
        verbatim: the whole text stands there.
        empty: there is nothing to read.
    """

    pairs: int
    strange: tuple[str, ...]
    repeated: tuple[str, ...]
    nonwords: tuple[str, ...]
    runs: int
    copied_runs: int
    verbatim: bool
    empty: bool


def find_faults(text: str, seen: SeenText, start: int = 0, among_seen: bool = False) -> Faults:
    """Faults of a text.

    Args:
        text: natural text.
        seen: the training text.
        start: characters of known text (a prompt) at its beginning: pairs, words and runs that end there do not count.
        among_seen: the text is one of the training texts: a pair or word counts as seen if another text has it, and nothing
            as copied. What real text of the training distribution has, where held-out texts are of another one.

    Raises:
        ValueError: `start` lies outside of the text.
    """
    if not 0 <= start <= len(text):
        raise ValueError(f"start must lie in 0..{len(text)}, the length of the text; got {start}.")
    words, ends = tokens_with_ends(text)
    first = next((place for place, end in enumerate(ends) if end > start), len(words))
    often = 1 if among_seen else 0
    neighbours = list(pairwise(words))[max(first - 1, 0) :]
    counts = seen.texts_with_pairs(words)[max(first - 1, 0) :]
    runs = seen.holds_runs(words)[max(first - len(words) + len(seen.holds_runs(words)), 0) :]
    return Faults(
        pairs=len(neighbours),
        strange=tuple(f"{a} {b}" for (a, b), count in zip(neighbours, counts, strict=True) if count <= often),
        repeated=tuple(a for a, b in neighbours if a == b and (a == "," or a[0].isalnum())),
        nonwords=tuple(word for word in words[first:] if word.isalpha() and seen.texts_with_word(word) <= often),
        runs=len(runs),
        copied_runs=0 if among_seen else int(runs.sum()),
        verbatim=not among_seen and seen.holds_text(text),
        empty=first == len(words),
    )
