"""JSON strings: from the language of what a string says to the language of how it is written.

A string is written in one way only, as ``json.dumps(..., ensure_ascii=False)`` writes it: what must be escaped is escaped,
nothing else is. So a pattern, a length and an exclusion are products over what the string says, and escapes come last.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np

from diffusionlm.guidance import automata
from diffusionlm.guidance.automata import Language
from diffusionlm.guidance.automata.alphabet import classify, common_partition, partition
from diffusionlm.guidance.structured.net import one_of_texts
from diffusionlm.guidance.structured.schema_validity import strict

ESCAPES = {'"': '"', "\\": "\\", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t"}


@lru_cache(maxsize=1)
def any_content() -> Language:
    """What a string may say: any characters but control characters, of which line breaks and tabs are let through."""
    return automata.regex(r"[^\x00-\x08\x0b-\x1f\x7f]*").renamed("any text")


@lru_cache(maxsize=256)
def matching(pattern: str) -> Language:
    """Contents in which ``pattern`` is found, both as ECMAScript (ASCII classes, ``$`` is the end) and as Python reads it.

    Raises:
        UnsupportedPattern: if no finite automaton can do it.
        AutomatonTooLarge: beyond the caps of `automata.regex`.
    """
    wide, narrow = (automata.regex(strict(pattern), "contains", flags) for flags in (0, re.ASCII))
    return narrow if wide == narrow else (wide & narrow).renamed(narrow.name)


@lru_cache(maxsize=256)
def not_matching(pattern: str) -> Language:
    """Contents in which ``pattern`` is found neither as ECMAScript nor as Python reads it."""
    wide, narrow = (automata.regex(strict(pattern), "excludes", flags) for flags in (0, re.ASCII))
    return narrow if wide == narrow else wide & narrow


def content(
    least: int = 0,
    most: int | None = None,
    rules: Sequence[Language] = (),
    without: Iterable[str] = (),
) -> Language:
    """What a string may say.

    Args:
        least, most: bounds on its characters.
        rules: languages it must belong to, all of them.
        without: texts that it must not be.
    """
    found = any_content()
    for rule in rules:
        found = found & rule
    if least > 0 or most is not None:
        found = found & automata.length(least, most, "characters")
    if excluded := sorted(set(without)):
        found = found - one_of_texts(excluded, "excluded")
    return found


@lru_cache(maxsize=1)
def _tidy() -> Language:
    return automata.regex(r"(?: ?\S(?:(?:.|\n)*\S)?)?").renamed("no idle blanks")


def tidy(said: Language) -> Language:
    """Of some contents those that end in no blank and begin with none but the one space that a word brings along; all of
    them if none is so.

    Words of a vocabulary mostly begin with a space. Without it a model goes on in the middle of a word ("pt on the
    riverside"), so the one is let through; `diffusionlm.structured.generate_json` takes it off again.
    """
    found = said & _tidy()
    return said if found.is_empty() else found


def written(said: Language, name: str = "a string") -> Language:
    """The JSON strings that say a text of ``said``; control characters without a short escape cannot be written."""
    escapes = {letter: ((ord(code), ord(code) + 1),) for code, letter in ESCAPES.items()}
    signs = ['"', "\\", *sorted(set(ESCAPES.values()) - {'"', "\\"})]
    control = ((0, 0x20),)
    own = partition([*(((ord(sign), ord(sign) + 1),) for sign in signs), control])
    cuts, classes, columns = common_partition([(said.cuts, said.classes), own[:2]])
    member = own[2][:, columns[1]]
    size, width = said.num_states, len(columns[0])
    inner = said.delta[:, columns[0]]
    dead, start, end = 2 * size, 2 * size + 1, 2 * size + 2
    hopeless = ~said.accepting & (said.delta == np.arange(size)[:, None]).all(axis=1)
    delta = np.full((2 * size + 3, width), dead, dtype=np.int64)
    raw = ~(member[0] | member[1] | member[-1])
    delta[:size, raw] = inner[:, raw]
    quote, slash = (int(np.nonzero(member[k])[0][0]) for k in (0, 1))
    delta[:size, quote] = np.where(said.accepting, end, dead)
    delta[:size, slash] = np.arange(size) + size
    of_code = {letter: int(classify(code, said.cuts, said.classes)[0]) for code, letter in ESCAPES.items()}
    for letter in escapes:
        column = int(np.nonzero(member[signs.index(letter)])[0][0])
        delta[size : 2 * size, column] = said.delta[:, of_code[letter]]
    delta[start, quote] = 0
    lost = np.concatenate([hopeless, np.zeros(size + 3, dtype=bool)])
    delta[lost[delta]] = dead
    accepting = np.zeros(len(delta), dtype=bool)
    accepting[end] = True
    return Language.from_arrays(name, cuts, classes, delta, accepting, start)


@lru_cache(maxsize=1)
def any_string() -> Language:
    """All JSON strings."""
    return written(any_content())


@lru_cache(maxsize=1)
def any_tidy_string() -> Language:
    """All JSON strings without idle blanks, see `tidy`."""
    return written(tidy(any_content()))
