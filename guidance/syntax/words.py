"""Words as treebanks cut them: marks split off, clitics stand by themselves ("isn't" is "is" and "n't").

The rules are those that Penn Treebank, Universal Dependencies for English and spaCy share; where they differ (a hyphen
between letters) this follows spaCy and UD: "kid-friendly" is three words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

# Abbreviations that keep their stop.
_ABBREVIATIONS = "Mr|Mrs|Ms|Dr|St|Prof|Jr|Sr|Co|Inc|Ltd|vs|etc|e\\.g|i\\.e|a\\.m|p\\.m|U\\.S|No|approx"
_WORD = re.compile(
    rf"""
    (?:{_ABBREVIATIONS})\.(?!\w)                      # St.
    | \d+-[^\W\d_]+(?:-[^\W\d_]+)*                     # 5-star
    | \d+(?:[.,:]\d+)*(?:st|nd|rd|th|s)?(?!\w)         # 1,000  12:30  3.5  5th
    | \d+(?=[^\W\d_]{{1,3}}\b)                         # 5pm, 10km: the number
    | ['’](?:s|re|ll|ve|d|m|em)(?!\w)                  # clitics
    | n['’]t(?!\w)
    | (?:can)(?=not\b)                                 # cannot
    | (?:[^\W\d_](?!['’]t\b))+(?=n['’]t(?!\w))         # is|n't
    | \w+(?:['’](?!(?:s|re|ll|ve|d|m|em|t)\b)[^\W\d_]+)*  # words; O'Donnell
    | \.{{2,}} | -{{2,}}
    | [^\w\s]
    """,
    re.VERBOSE | re.IGNORECASE,
)


def split_words(text: str) -> list[tuple[int, int]]:
    """(first, last) character of each word of a text, in order; last is one behind it.

    Example:
        >>> [text[a:b] for text in ["It isn't kid-friendly."] for a, b in split_words(text)]
        ['It', 'is', "n't", 'kid', '-', 'friendly', '.']
    """
    return [match.span() for match in _WORD.finditer(text)]


def words_of(text: str) -> list[str]:
    """The words of a text."""
    return [text[a:b] for a, b in split_words(text)]


def token_openings(text: str, places: Sequence[tuple[int, int]], words: Sequence[tuple[int, int]]) -> list[int]:
    """What each token does: k if it opens word k with its first letter, -1 if it goes on with one, -2 - k if word k is the
    last one to begin inside it (" isn" holds the beginnings of "is" and "n't").

    Args:
        text: the text.
        places: (first, last) character of each token, leading space counted.
        words: (first, last) character of each word.
    """
    starts = {a: k for k, (a, _) in enumerate(words)}
    found = []
    for first, last in places:
        inside = [c for c in range(first, last) if c in starts]
        lead = first + (text[first:last].startswith(" "))
        if not inside:
            found.append(-1)
        elif inside == [lead]:
            found.append(starts[lead])
        else:
            found.append(-2 - starts[inside[-1]])
    return found


def longest_first(data: bytes, tokens: Mapping[bytes, int]) -> Iterator[int | None]:
    """Tokens of some bytes from the left, the longest first, as byte-level BPE mostly cuts; None for a byte that none has."""
    while data:
        size = next((n for n in range(len(data), 0, -1) if data[:n] in tokens), 1)
        yield tokens.get(data[:size])
        data = data[size:]
