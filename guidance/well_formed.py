"""`WellFormed`: no stray spaces, no chains of marks, no "word" without a letter or digit where the model writes.

A length that the network would not have chosen is otherwise filled with what counts least: Length(words=1) on thirty
positions gave one word of twenty commas. `Length` brings this rule along. It joins a sample only where the likeliest text
breaks it, so it costs nothing elsewhere, and known text may break it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from diffusionlm.guidance.automata import Language, TokenAutomaton, regex
from diffusionlm.guidance.automata.absence_over_tokens import compile_absence
from diffusionlm.guidance.automata.occurrences import Absence, Occurrence, absence
from diffusionlm.guidance.lazy_constraint import LazyConstraint, Ranges
from diffusionlm.text import Vocabulary

NAME = "well-formed text"
_ANY = r"(?:.|\n)*"
_LETTER = r"[^\W\d_]"
_MARK = r"(?:[^\w\s]|_)"
_FORBIDDEN = (  # core, with what stands before and behind it
    (r"\s", r"\A", ""),
    (r"\s", "", r"\Z"),
    (r"[^\S\n]{2}", "", ""),
    (r"[,;:][^\S\n]?[,;:.!?-]", "", ""),
    (rf"[,;:!?]{_LETTER}", "", ""),  # words run together
    (rf"\w\w\.{_LETTER}", "", ""),
    (rf"{_LETTER}{{19}}", "", ""),
    (r"(?:-\w+){4}", "", ""),
    (rf"{_MARK}+", r"(?:\A|\s)", r"(?:\Z|\s)"),
)


@lru_cache(maxsize=1)
def _absence() -> Absence:
    marks = regex(rf"{_MARK}{{3}}") - regex(r"\.\.[.\"')”’]")  # an ellipsis, closed or not, is no chain of marks
    found = [Occurrence(marks)]
    for core, before, behind in _FORBIDDEN:
        left: Language | None = regex(_ANY + before) if before else None
        right: Language | None = regex(behind + _ANY) if behind else None
        found.append(Occurrence(regex(core), left, right))
    return absence(NAME, found)


class WellFormed(LazyConstraint):
    """Generated text neither begins nor ends with a space, has no two spaces, no chains of marks (",,"), no words run
    together ("cheap,pub", or more than 18 letters), and each of its words has a letter or digit. Known text may be
    otherwise.

    Example:
        >>> WellFormed().broken("cheap,,food", [(0, 11)])
        ['well-formed text']
    """

    def broken(self, text: str, written: Ranges) -> list[str]:
        """Whether a generated character is part of what must not occur."""
        return [] if _absence().accepts(text, written) else [NAME]

    def part(self, name: str, vocabulary: Vocabulary, finished: bool) -> TokenAutomaton | None:
        """The one rule."""
        return compile_absence(_absence(), vocabulary)

    def certify(self, text: str, span_ids: Sequence[Sequence[int]]) -> dict[str, bool]:
        """Nothing: it was not asked for by itself."""
        return {}
