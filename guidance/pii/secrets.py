"""Secrets: any number of texts that must not be said, in any case, spacing and punctuation.

Between the words of a secret there may be anything of up to `GAP` characters that is no letter or digit, or nothing, and
so there may between two digits; letters are compared without case. "Ann Lee, 12-34" is also found as "ann lee 1234" and
"ANN-LEE 12 34". A secret inside a longer word ("Ann" in "Anna") does not count.

A text is searched by the first letters of the secrets (a dictionary), so the time does not grow with their number; a
secret that is found is forbidden by an automaton of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from diffusionlm.guidance.automata import regex
from diffusionlm.guidance.automata.occurrences import Absence, Occurrence, absence

GAP = 3
KEY = 12  # letters and digits by which secrets are looked up
_BETWEEN = rf"[\W_]{{0,{GAP}}}"
_PIECES = re.compile(r"[^\W\d_]+|\d")


def read_secrets(given: str | Path | Iterable[str]) -> list[str]:
    """The distinct secrets of a list, or of a file with one a line (empty lines do not count).

    Raises:
        ValueError: if a secret is no text, or has fewer than three letters and digits.
        FileNotFoundError: if there is no such file.
    """
    if isinstance(given, str | Path):
        if not Path(given).is_file():
            raise FileNotFoundError(
                f"secrets names the file {str(given)!r}, which does not exist; give a file with one secret a line, or a list: "
                f"secrets=[{str(given)!r}]."
            )
        lines: Iterable[str] = Path(given).read_text(encoding="utf-8").splitlines()
    else:
        lines = list(given)
        for line in lines:
            if not isinstance(line, str) or not line.strip():
                raise ValueError(f"secrets must hold texts that are not empty, got {line!r}.")
    found = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    for secret in found:
        if sum(map(len, _PIECES.findall(secret))) < 3:
            raise ValueError(
                f"The secret {secret!r} has fewer than three letters or digits; it would be found everywhere."
            )
    return found


@lru_cache(maxsize=4096)
def secret_pattern(secret: str) -> str:
    """The regular expression of a secret with its variants."""
    return _BETWEEN.join(re.escape(piece) for piece in _PIECES.findall(secret))


@lru_cache(maxsize=4096)
def secret_absence(secret: str) -> Absence:
    """Texts in which the secret does not occur with a generated character in it."""
    core = regex(secret_pattern(secret), flags=re.IGNORECASE)
    before = ~regex(r"(?:.|\n)*\w")
    behind = ~regex(r"\w(?:.|\n)*")
    return absence(f"a secret of {len(secret)} characters is not said", [Occurrence(core, before, behind)])


class SecretFinder:
    """Finds secrets in texts, in time that does not depend on their number.

    Args:
        secrets: see `read_secrets`.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        self.secrets = list(secrets)
        self._by_key: dict[str, list[int]] = {}
        for number, secret in enumerate(self.secrets):
            self._by_key.setdefault(_letters(secret)[:KEY], []).append(number)
        self._lengths = sorted({len(key) for key in self._by_key})

    def find(self, text: str) -> Iterator[tuple[int, int, int]]:
        """(number of the secret, start, end) of each that occurs."""
        letters, places = [], []
        for place, character in enumerate(text):
            for letter in character.casefold() if character.isalnum() else "":
                letters.append(letter)
                places.append(place)
        joined = "".join(letters)
        for n, start in enumerate(places):
            if start and (text[start - 1].isalnum() or text[start - 1] == "_"):
                continue
            for length in self._lengths:
                for number in self._by_key.get(joined[n : n + length], ()):
                    match = _expression(self.secrets[number]).match(text, start)
                    if match:
                        yield number, match.start(), match.end()


@lru_cache(maxsize=4096)
def _expression(secret: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)(?:{secret_pattern(secret)})(?!\w)", re.IGNORECASE)


def _letters(secret: str) -> str:
    return "".join(_PIECES.findall(secret)).casefold()
