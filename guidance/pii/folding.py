"""The plain form in which personal data is looked for: what a reader sees, whatever characters spell it.

Every character becomes what it looks like: digits of all scripts ASCII digits, letters that look Latin (Cyrillic, Greek,
fullwidth, mathematical) Latin ones without accents, dashes "-", spaces " ", line ends "\\n"; marks and characters of no
width (zero-width spaces, soft hyphens, variation selectors) nothing at all. The form is made character by character, so
an automaton over plain texts reads any text as it is, with no state more: the inverse image of a regular language under
a homomorphism is regular (Hopcroft and Ullman 1979, theorem 3.5).

Source of the compatible forms: Unicode 15, NFKD; look-alike letters: Unicode Technical Standard 39, the single letters
that fonts do not tell apart.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from diffusionlm.guidance.automata.alphabet import NUM_CODE_POINTS
from diffusionlm.guidance.automata.occurrences import Absence

OPAQUE = "\ufffc"
"""What a text that may be named counts as: no letter, no digit, no sign, and nothing that stands within a number."""

_LOOK_ALIKE = {
    # Cyrillic
    "абвгеёзкмнорстухцчьіїјѕԁԛԝһӏғҝүқңё": "a6bree3kmhopctyxu4biijsdqwhlfkyqhe",
    "АВЕЁЗКМНОРСТУХЬІЇЈЅԚԜҺӀҚҮ": "ABEE3KMHOPCTYXbIIJSQWhIKY",
    # Greek
    "ανικορτυχωγεη": "avikoptuxwyen",
    "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ": "ABEZHIKMNOPTYX",
    # Latin beyond ASCII, Armenian, Cherokee
    "ıȷɑɡɩɪʀʏꞮłŁøØđĐħĦŧŦƠơƯưɢʙʜʟɴᴀᴄᴅᴇᴊᴋᴍᴏᴘᴛᴜᴠᴡᴢ": "ijagiiryIlLoOdDhHtTOoUugbhlnacdejkmoptuvwz",
    "օոսհցւԼՍՕ": "onuhguLUO",
    "ᎪᏴᏟᎠᎬᎻᎫᏦᏞᎷᎾᏢᎡᏚᎢᏙᎳᏃ": "ABCDEHJKLMOPRSTVWZ",
}
_LINE_ENDS = "\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
_SIGNS = {
    **dict.fromkeys("\u2212\u2043\u02d7\u207b\u208b\u30fc\uff70\u2012\u2500\u23af\u2e3a\u2e3b\u00af\u02c9", "-"),
    **dict.fromkeys("\t\u2800\u3164\u115f\u1160\uffa0\x1f", " "),
    **dict.fromkeys(_LINE_ENDS, "\n"),
    **dict.fromkeys("\u3002\u06d4\uff61\u2024\u0701\u0702\ua4f8", "."),
    **dict.fromkeys("\u060c\u3001\u066b\u066c\u201a\uff64", ","),
    **dict.fromkeys("\u2044\u2215\u29f8\u27cb", "/"),
    **dict.fromkeys("\u2236\u02d0\ua789\u05c3\ufe55", ":"),
    **dict.fromkeys("\u2018\u2019\u02bc\u02b9\u0060\u00b4", "'"),
}
_AS_LETTERS = {"ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE"}
_MAP = {
    **{letter: plain for given, ours in _LOOK_ALIKE.items() for letter, plain in zip(given, ours, strict=True)},
    **_SIGNS,
    **_AS_LETTERS,
}
_OTHER_ASCII = re.compile(r"[\t\r\v\f\x1c-\x1f`]")
_INVISIBLE = ("Mn", "Me", "Cf")

Form = Callable[[str], str]
"""What a character counts as: a text of none, one or several characters."""


@lru_cache(maxsize=65536)
def plain_character(character: str) -> str:
    """What a character counts as: a text of none, one or several characters.

    Example:
        >>> plain_character("４"), plain_character("а"), plain_character("\\u200b"), plain_character("é")
        ('4', 'a', '', 'e')
    """
    if character < "\x80":
        return _MAP.get(character, character)
    if character == OPAQUE:
        return character
    category = unicodedata.category(character)
    if category in _INVISIBLE or "\U000e0000" <= character <= "\U000e0fff":
        return ""
    if character in _MAP:
        return _MAP[character]
    digit = unicodedata.digit(character, None)
    if digit is not None:
        return str(digit)
    if category == "Pd":
        return "-"
    if category == "Zs":
        return " "
    parts = unicodedata.normalize("NFKD", character)
    if parts == character:
        return character
    return "".join(map(plain_character, parts))


@dataclass(frozen=True)
class Plain:
    """A text in its plain form.

    Attributes:
        text: the plain form.
        owners: for each of its characters the place in the given text, ascending.
        length: of the given text.
    """

    text: str
    owners: Sequence[int]
    length: int

    def place(self, start: int, end: int) -> tuple[int, int]:
        """A place (start, end) of the plain text in the given text."""
        return self.owners[start], self.owners[end - 1] + 1

    def ranges(self, given: Sequence[tuple[int, int]] | None) -> list[tuple[int, int]] | None:
        """Ranges of the given text in the plain one; what has no width falls out of them. None stays None."""
        if given is None:
            return None
        return [(bisect_left(self.owners, start), bisect_left(self.owners, end)) for start, end in given]


def plain(text: str, character: Form = plain_character) -> Plain:
    """The plain form of a text.

    Args:
        text: any text.
        character: what a character counts as.
    """
    if character is plain_character and text.isascii() and not _OTHER_ASCII.search(text):
        return Plain(text, range(len(text)), len(text))
    parts = [character(one) for one in text]
    owners = [place for place, part in enumerate(parts) for _ in part]
    return Plain("".join(parts), owners, len(text))


@lru_cache(maxsize=256)
def reading(rule: Absence, character: Form = plain_character) -> Absence:
    """The texts whose plain form obeys a rule over plain texts, as an automaton with the states of the rule.

    It is narrower in one point, which keeps it small over bytes: digits beyond ASCII may be known, but not generated.
    """
    classes = np.zeros(NUM_CODE_POINTS, dtype=np.int64)
    classes[rule.cuts] = np.diff(rule.classes, prepend=0)
    classes = np.cumsum(classes)
    columns = [rule.delta[:, :, c] for c in range(rule.delta.shape[2])]
    number: dict[tuple[int, ...], int] = {(c,): c for c in range(len(columns))}
    own = classes.copy()
    lost = int(rule.lost[0])
    for code, form in _changed(character):
        word = tuple(int(classes[ord(one)]) for one in form)
        if form.isdigit():
            word = (-1, *word)
        if word not in number:
            number[word] = len(columns)
            column = _after(rule, word[1:] if word[:1] == (-1,) else word)
            if word[:1] == (-1,):
                column[:, 0] = lost
            columns.append(column)
        own[code] = number[word]
    cuts = np.flatnonzero(np.diff(own, prepend=-1))
    return Absence(rule.name, cuts, own[cuts], np.stack(columns, axis=2), rule.accepting)


def _after(rule: Absence, word: tuple[int, ...]) -> np.ndarray:
    """(S, 2): where each state comes to by some classes, all generated or all known."""
    states = np.tile(np.arange(rule.num_states)[:, None], (1, 2))
    for symbol in word:
        states = np.stack([rule.delta[states[:, mark], mark, symbol] for mark in (0, 1)], axis=1)
    return states


@lru_cache(maxsize=4)
def _changed(character: Form) -> list[tuple[int, str]]:
    """Every code point that a vocabulary of bytes may have to read otherwise, and what it counts as."""
    every = (chr(code) for first, last in _READ for code in range(first, last))
    return [(ord(one), form) for one in every if (form := character(one)) != one]


_READ = ((0, 0x3400), (0xA000, 0xD800), (0xF900, 0x1F800), (0x2F800, 0x2FA20), (0xE0000, 0xE1000))
"""Ranges of code points outside of which every character is its own plain form."""
