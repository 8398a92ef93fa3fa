"""`WellFormed`: words are words and spaces single, where the model writes.

A length that the network would not have chosen is otherwise filled with what counts least: Length(words=1) on thirty
positions gave one "word" of twenty commas. `Length` brings this rule along. It joins a sample only where the likeliest text
breaks it, so it costs nothing elsewhere, and known text may break it.

A word may open with a quote, a bracket or a currency sign, then has letters and digits, joined by single hyphens,
apostrophes or slashes (digits also by "." "," ":"), and may close with few marks: at most one of "," ";" ":", an ellipsis
or one of "." "!" "?", quotes and brackets.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from diffusionlm.guidance.automata import TokenAutomaton
from diffusionlm.guidance.automata.absence_over_tokens import compile_absence
from diffusionlm.guidance.automata.alphabet import CharSet, matching_characters, partition
from diffusionlm.guidance.automata.look_alikes import ranges
from diffusionlm.guidance.automata.occurrences import Absence, minimal_absence
from diffusionlm.guidance.constraints.lazy import LazyConstraint, Ranges
from diffusionlm.text import Vocabulary

NAME = "well-formed text"
KINDS = {
    "newline": "\n\r",
    "space": r"\s",
    "digit": r"\d",
    "apostrophe": "'’ʼ",
    "letter": r"[^\W_]",
    "sign": "£$€¥#@+~",  # opens a number or a name
    "opening": "([{“‘",
    "quote": '"',
    "closing": ")]}”%°",
    "hyphen": "-‐‑–—/&_",
    "comma": ",",
    "colon": ":",
    "semicolon": ";",
    "stop": ".",
    "cry": "!?…",
}
"""Kinds of character, the first that fits; any other is a mark that no word holds. A pattern of `re`, or the characters."""

_START = "letter>first digit>digit apostrophe>quoted opening>quoted quote>quoted sign>signed"
_CLOSE = "space>space newline>line"
_TAIL = (
    f"{_CLOSE} comma>comma colon>comma semicolon>comma stop>stop cry>cry closing>closed quote>closed apostrophe>closed"
)
RULES = {  # state: what generated characters lead to; anything else is forbidden
    "begin": _START,
    "space": _START,
    "line": f"{_START} newline>line",
    "known space": _START,
    "quoted": "letter>first digit>digit sign>signed",
    "signed": "letter>first digit>digit",
    "first": f"{_TAIL} letter>letter digit>digit hyphen>joined apostrophe>apostrophe stop>initial",
    "letter": f"{_TAIL} letter>letter digit>digit hyphen>joined apostrophe>apostrophe",
    "digit": f"{_TAIL} letter>letter digit>digit hyphen>joined apostrophe>apostrophe stop>point comma>point colon>point",
    "joined": "letter>letter digit>digit sign>signed hyphen>dash",
    "dash": "letter>letter digit>digit sign>signed",
    "apostrophe": f"{_TAIL} letter>letter digit>digit apostrophe>",
    "initial": f"{_TAIL} letter>first comma>comma stop>second",
    "point": f"{_CLOSE} digit>digit stop>second closing>closed quote>closed apostrophe>closed",
    "comma": f"{_CLOSE} closing>ended quote>ended apostrophe>ended",
    "stop": f"{_CLOSE} stop>second closing>closed quote>closed apostrophe>closed",
    "second": "stop>third",
    "third": f"{_CLOSE} closing>ended quote>ended apostrophe>ended cry>ended",
    "cry": f"{_CLOSE} cry>third closing>closed quote>closed apostrophe>closed",
    "closed": f"{_CLOSE} hyphen>joined comma>comma colon>comma semicolon>comma stop>ended cry>ended closing>ended quote>ended",
    "ended": f"{_CLOSE} stop>shut comma>shut",
    "shut": _CLOSE,
    "known mark": f"{_TAIL} {_START} hyphen>joined",
    "lost": "",
}
_KNOWN = {"letter": "letter", "digit": "digit", "space": "known space", "newline": "known space"}
_UNFINISHED = ("space", "line", "quoted", "signed", "joined", "dash", "second", "lost")


def _characters(kind: str) -> CharSet:
    return matching_characters(kind) if "\\" in kind else ranges(kind)


@lru_cache(maxsize=1)
def _absence() -> Absence:
    states = list(RULES)
    cuts, classes, member = partition([_characters(kind) for kind in KINDS.values()])
    kinds = [next((name for name, inside in zip(KINDS, column, strict=True) if inside), "") for column in member.T]
    delta = np.full((len(states), 2, len(kinds)), states.index("lost"))
    for state, rules in RULES.items():
        targets = {kind: target for kind, _, target in (rule.partition(">") for rule in rules.split()) if target}
        for column, kind in enumerate(kinds):
            if kind in targets:
                delta[states.index(state), 0, column] = states.index(targets[kind])
            if state != "lost":
                delta[states.index(state), 1, column] = states.index(_KNOWN.get(kind, "known mark"))
    accepting = np.array([state not in _UNFINISHED for state in states])
    return minimal_absence(NAME, cuts, classes, delta, accepting)


class WellFormed(LazyConstraint):
    """Generated text neither begins nor ends with a space, has no two spaces and no chains of marks (",,"), and each of
    its words has a letter or digit. Known text may be otherwise.

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
