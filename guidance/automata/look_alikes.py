"""Characters that a reader does not tell apart, and characters that a reader does not see.

A phrase that must not be said is not said in another typography either: "don't" with a straight, a curly or a modifier
apostrophe is one word to a reader. Groups follow the typographic families of Unicode's chapter 6.2 (Writing Systems and
Punctuation); accents may be one character or a letter and a combining mark (Unicode Standard Annex 15).
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

import numpy as np

from diffusionlm.guidance.automata.alphabet import NUM_CODE_POINTS, CharSet, matching_characters

GROUPS = (
    "'\u2018\u2019\u201b\u02bc\u02b9\u02bb\u02bd\u02c8\u2032\u00b4`\uff07\ua78c",  # apostrophes, single quotes, primes
    '"\u201c\u201d\u201e\u201f\u2033\u02ba\uff02',  # double quotes
    "-\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d\u00ad",  # hyphens, figure and en dash, minus
    "\u2014\u2015\ufe58",  # em dashes
    " \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000",  # spaces
)
INVISIBLE = (
    "\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2061\u2062\u2063\u2064\ufeff\ufe0e\ufe0f"
)
_MARKS_LIE_IN = (*range(0x20000), *range(0xE0100, 0xE01F0))
_GROUP_OF = {character: group for group in GROUPS for character in group}


def ranges(characters: str) -> CharSet:
    """Characters as a sorted set of ranges, one for each character."""
    return tuple((code, code + 1) for code in sorted({ord(character) for character in characters}))


def look_alikes(character: str) -> str:
    """Characters that look like this one, itself among them."""
    return _GROUP_OF.get(character, character)


def spellings(phrase: str) -> list[str]:
    """A phrase with its accents as typed, composed and decomposed, without invisible characters; distinct ones, the
    phrase itself first if nothing else is left of it."""
    seen = "".join(character for character in phrase if character not in INVISIBLE) or phrase
    return list(dict.fromkeys([seen, unicodedata.normalize("NFC", seen), unicodedata.normalize("NFD", seen)]))


@lru_cache(maxsize=1)
def word_characters() -> CharSet:
    """What makes up words: \\w of `re` and combining marks, without apostrophes that Unicode counts as letters."""
    inside = np.zeros(NUM_CODE_POINTS + 1, dtype=bool)
    for first, last in matching_characters(r"\w"):
        inside[first:last] = True
    inside[[code for code in _MARKS_LIE_IN if unicodedata.category(chr(code))[0] == "M"]] = True
    inside[[ord(character) for character in {*"".join(GROUPS), *INVISIBLE}]] = False
    edges = np.nonzero(inside[1:] != inside[:-1])[0] + 1  # neither the first nor the last code point is inside
    return tuple(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
