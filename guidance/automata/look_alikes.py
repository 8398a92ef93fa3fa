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
    "-\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d",  # hyphens, figure and en dash, minus
    "\u2014\u2015\ufe58",  # em dashes
    " \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000",  # spaces
)
_SEEN_FORMATS = (
    "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"  # signs of numbers
)
INVISIBLE = "".join(
    chr(code)
    for code in (*range(0x20000), *range(0xE0000, 0xE0200))
    if unicodedata.category(chr(code)) == "Cf"
    or 0xFE00 <= code <= 0xFE0F
    or 0xE0100 <= code <= 0xE01EF
    or code in (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x3164, 0xFFA0)
    if chr(code) not in _SEEN_FORMATS
)
"""What has no width and no look of its own: format characters, variation selectors, fillers (Unicode Standard Annex 44,
Default_Ignorable_Code_Point)."""
UNSPACED = (
    (0x0E00, 0x10A0),  # Thai, Lao, Tibetan, Burmese
    (0x1780, 0x1800),  # Khmer
    (0x1950, 0x1AB0),  # Tai
    (0x1B00, 0x1B80),  # Balinese
    (0x3005, 0x3008),
    (0x3040, 0x3100),  # Hiragana, Katakana
    (0x31F0, 0x3200),
    (0x3400, 0x4DC0),  # ideographs
    (0x4E00, 0xA000),
    (0xA980, 0xA9E0),  # Javanese
    (0xAA60, 0xAA80),
    (0xF900, 0xFB00),
    (0xFF66, 0xFFA0),
    (0x20000, 0x33480),
)
"""Scripts that are written without spaces: where one of their letters stands, no word ends or begins to the eye."""
_LIGATURES = {"ffi": "ﬃ", "ffl": "ﬄ", "ff": "ﬀ", "fi": "ﬁ", "fl": "ﬂ", "st": "ﬆ", "...": "…"}
_MOST_SPELLINGS = 32
_MARKS_LIE_IN = (*range(0x20000), *range(0xE0100, 0xE01F0))
_GROUP_OF = {character: group for group in GROUPS for character in group}


def ranges(characters: str) -> CharSet:
    """Characters as a sorted set of ranges, one for each character."""
    return tuple((code, code + 1) for code in sorted({ord(character) for character in characters}))


def look_alikes(character: str) -> str:
    """Characters that look like this one, itself among them."""
    return _GROUP_OF.get(character, character)


def spellings(phrase: str, ignore_case: bool = False) -> list[str]:
    """A phrase with its accents as typed, composed and decomposed, its ligatures and ellipses in one character or several,
    and without case also as its capitals are spelt ("STRASSE"); without invisible characters, distinct ones, the phrase
    itself first if nothing else is left of it."""
    seen = "".join(character for character in phrase if character not in INVISIBLE) or phrase
    found = [seen, unicodedata.normalize("NFC", seen), unicodedata.normalize("NFD", seen)]
    found += [_joined(found[1], several, one) for several, one in ((None, None), *_LIGATURES.items())]
    for several, one in _LIGATURES.items():
        found += [_joined(text, several, one) for text in dict.fromkeys(found[:_MOST_SPELLINGS])]
    if ignore_case:
        found += [
            change(text) for text in found[:_MOST_SPELLINGS] for change in (str.upper, str.casefold, _with_eszett)
        ]
    return list(dict.fromkeys(found))


def _joined(text: str, several: str | None, one: str | None) -> str:
    """A text with a ligature in place of its letters; without a ligature named, with the letters of every one in it."""
    if several is None or one is None:
        for letters, ligature in _LIGATURES.items():
            text = text.replace(ligature, letters)
        return text.replace("ﬅ", "st")
    return text.replace(several, one)


def _with_eszett(text: str) -> str:
    return text.lower().replace("ss", "ß")


def is_unspaced(character: str) -> bool:
    """Whether a character is of a script that is written without spaces between words."""
    return any(first <= ord(character) < last for first, last in UNSPACED)


@lru_cache(maxsize=1)
def word_characters() -> CharSet:
    """What makes up words: \\w of `re` and combining marks, without apostrophes that Unicode counts as letters, and
    without scripts that are written without spaces: a phrase there is always part of a longer run of letters."""
    inside = np.zeros(NUM_CODE_POINTS + 1, dtype=bool)
    for first, last in matching_characters(r"\w"):
        inside[first:last] = True
    inside[[code for code in _MARKS_LIE_IN if unicodedata.category(chr(code))[0] == "M"]] = True
    inside[[ord(character) for character in {*"".join(GROUPS), *INVISIBLE}]] = False
    for first, last in UNSPACED:
        inside[first:last] = False
    edges = np.nonzero(inside[1:] != inside[:-1])[0] + 1  # neither the first nor the last code point is inside
    return tuple(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
