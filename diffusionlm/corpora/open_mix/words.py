"""Words: which are common in a mix, and names that give way to other names."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

_WORD = re.compile(r"[a-z]+(?:'[a-z]+)*")


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, without numbers and marks."""
    return _WORD.findall(text.lower())


def commonest(counts: Counter[str], number: int) -> frozenset[str]:
    """The ``number`` words that most texts have; of those that equally many have, the first by name."""
    return frozenset(sorted(counts, key=lambda word: (-counts[word], word))[:number])


class OtherNames:
    """Puts other names in the place of a few that a source uses in every third sentence.

    Args:
        names: name -> those that take its place; one of them is drawn for a text, by the seed.
    """

    def __init__(self, names: Mapping[str, Sequence[str]]) -> None:
        self.names = {name: tuple(others) for name, others in names.items()}
        alternatives = "|".join(map(re.escape, sorted(self.names, key=len, reverse=True)))
        self._found = re.compile(rf"\b(?:{alternatives})\b") if self.names else None

    def __call__(self, text: str, seed: str) -> str:
        """The text with its names changed, each name of it to one other, two names never to the same."""
        if self._found is None:
            return text
        chosen: dict[str, str] = {}
        rng = random.Random(seed)
        for name in self._found.findall(text):
            if name not in chosen:
                free = [other for other in self.names[name] if other not in chosen.values()]
                chosen[name] = rng.choice(free or self.names[name])
        return self._found.sub(lambda found: chosen[found[0]], text)


def pattern_of(words: Iterable[str]) -> re.Pattern[str] | None:
    """Finds any of these words, in whatever case; None if there are none."""
    joined = "|".join(map(re.escape, sorted(words, key=len, reverse=True)))
    return re.compile(rf"(?<![\w'])(?:{joined})(?![\w'])", re.IGNORECASE) if joined else None
