"""From expanded parts to text: articles, capitals, spacing, and typed character spans.

While a text is made, a span is a pair of private-use characters around its words; all rules look through them.
"""

from __future__ import annotations

import re

_FIRST, _END = 0xE000, "\uf000"
_MARK = "[\ue000-\uf000]*"
_ARTICLE = re.compile(rf"(?<![\w'.@-])([Aa])n? ({_MARK})([\w$€£]+)")
_SENTENCE = re.compile(rf"(^|[.!?][\"')]* )({_MARK})([a-z])(?!\w*[.@]\w)")
_SPACES = re.compile(r"\s+")
_BEFORE_PUNCTUATION = re.compile(r" +([,.!?])")
_SILENT_H = ("hour", "honest", "honour", "honor", "heir")
_CONSONANT_SOUND = re.compile(r"(uni(?!n|m)|use|usual|usab|user|util|eu|one|once|u[- ]|ubiq|uk\b|us\b)", re.IGNORECASE)

TYPES: list[str] = []


def mark(kind: str, text: str) -> str:
    """`text` with the marks of a span of this type around it."""
    if kind not in TYPES:
        TYPES.append(kind)
    return f"{chr(_FIRST + TYPES.index(kind))}{text}{_END}"


def starts_with_vowel_sound(word: str) -> bool:
    """True if "an" stands before this word rather than "a"."""
    if word[0].isdigit():
        return word[0] == "8" or (word[:2] in ("11", "18") and len(word) == 2)
    if len(word) > 1 and word.isupper():
        return word[0] in "AEFHILMNORSX"
    lower = word.lower()
    return lower.startswith(_SILENT_H) or (lower[0] in "aeiou" and not _CONSONANT_SOUND.match(lower))


def finish(raw: str, capitals: bool = True) -> tuple[str, list[tuple[int, int, str]]]:
    """The text as it is read, and its spans (start, end, type) in characters.

    Args:
        raw: text with marks.
        capitals: put articles right and begin sentences with a capital.
    """
    raw = _BEFORE_PUNCTUATION.sub(r"\1", _SPACES.sub(" ", raw).strip())
    raw = re.sub(r"([.!?])\.(?=\s|$)", r"\1", raw)
    if capitals:
        raw = _ARTICLE.sub(lambda m: f"{m[1]}{'n' if starts_with_vowel_sound(m[3]) else ''} {m[2]}{m[3]}", raw)
        raw = _SENTENCE.sub(lambda m: m[1] + m[2] + m[3].upper(), raw)
    text, spans, opened = "", [], list[tuple[int, str]]()
    for character in raw:
        if character == _END:
            start, kind = opened.pop()
            spans.append((start, len(text), kind))
        elif _FIRST <= ord(character) < ord(_END):
            opened.append((len(text), TYPES[ord(character) - _FIRST]))
        else:
            text += character
    return text, sorted(spans)
