"""Secrets: any number of texts that must not be said, in any case, spelling, spacing and punctuation.

Texts are compared by their letters and digits alone, in plain form (`pii.folding`) and without case: "Ann Lee, 12-34" is
also found as "ann lee 1234", "ANN... LEE 12_34" and in fullwidth letters, "Straße" as "STRASSE". Anything that is no
letter or digit may stand between any two of them, but not a letter or digit right before or behind: a secret inside a
longer word ("Ann" in "Anna") does not count.

A text is searched by the first letters of the secrets (a dictionary), so the time does not grow with their number; a
secret that is found is forbidden by an automaton of its own.

Nothing here prints a secret: errors name its place in the list.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, overload

from diffusionlm.guidance.automata import regex
from diffusionlm.guidance.automata.occurrences import Absence, Occurrence, absence
from diffusionlm.guidance.pii.folding import plain, plain_character

KEY = 12  # letters and digits by which secrets are looked up
WITHHELD = "withheld"


def secret_character(character: str) -> str:
    """What a character counts as where secrets are looked for: letters and digits without case, or one blank.

    Example:
        >>> secret_character("ẞ"), secret_character("_"), secret_character("\\u200b")
        ('ss', ' ', '')
    """
    return "".join(one if one.isalnum() else " " for form in plain_character(character) for one in _caseless(form))


def _caseless(character: str) -> str:
    return "".join(map(plain_character, character.casefold()))


class Secrets(Sequence[str]):
    """Secrets as they were given, which do not show themselves.

    Args:
        texts: what must not be said.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = tuple(texts)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[str]: ...
    def __getitem__(self, place: int | slice) -> str | Sequence[str]:
        return self._texts[place] if isinstance(place, int) else Secrets(self._texts[place])

    def __len__(self) -> int:
        return len(self._texts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secrets) and self._texts == other._texts

    def __hash__(self) -> int:
        return hash(self._texts)

    def __repr__(self) -> str:
        return f"<{len(self)} secret{'' if len(self) == 1 else 's'}, {WITHHELD}>"

    def to_dict(self) -> dict[str, int]:
        """What records say of them: how many there are."""
        return {WITHHELD: len(self)}


def kept_secrets(given: str | Path | Iterable[str]) -> str | Path | Secrets | tuple[()]:
    """The setting in the form in which a plugin keeps it: the name of a file, or texts that do not show themselves.

    Raises:
        ValueError: if it is a record from which the secrets were left out.
        TypeError: if it is neither a file nor texts.
    """
    if isinstance(given, Mapping):
        count = given.get(WITHHELD, "some")
        raise ValueError(
            f"These settings of PII come from a record, which leaves out its secrets ({count} of them): give them again, "
            "secrets=[...] or secrets=FILE."
        )
    if isinstance(given, str | Path | Secrets):
        return given
    if given is None or isinstance(given, bytes) or not isinstance(given, Iterable):
        raise TypeError(f"secrets is a list of texts, or a file with one a line; got {type(given).__name__}.")
    texts = tuple(given)
    return Secrets(texts) if texts else ()


def read_secrets(given: str | Path | Iterable[str]) -> list[str]:
    """The distinct secrets of a list, or of a file with one a line (empty lines do not count).

    Raises:
        ValueError: if a secret is no text, or has fewer than three letters and digits.
        FileNotFoundError: if there is no such file.
    """
    if isinstance(given, str | Path):
        if not Path(given).is_file():
            raise FileNotFoundError(
                f"secrets is one text of {len(str(given))} characters, which is read as the name of a file with one secret a "
                "line, but there is no such file; give a file that exists, or a list: secrets=[...]."
            )
        lines: Sequence[Any] = Path(given).read_text(encoding="utf-8-sig").splitlines()
    else:
        lines = list(given)
        for number, line in enumerate(lines, start=1):
            if not isinstance(line, str) or not line.strip():
                what = "an empty text" if isinstance(line, str) else f"a {type(line).__name__}"
                raise ValueError(f"secrets must hold texts that are not empty, but number {number} is {what}.")
    for number, line in enumerate(lines, start=1):
        if line.strip() and len(_letters(line)) < 3:
            raise ValueError(
                f"Secret number {number} of {len(lines)} has fewer than three letters or digits; it would be found everywhere."
            )
    return list(dict.fromkeys(line.strip() for line in lines if line.strip()))


@lru_cache(maxsize=4096)
def secret_absence(secret: str) -> Absence:
    """Texts in the form of `secret_character` in which the secret does not occur with a generated character in it."""
    letters = _letters(secret)
    core = regex(" *".join(map(re.escape, letters)))
    before = ~regex(r"(?:.|\n)*[^ ]")
    behind = ~regex(r"[^ ](?:.|\n)*")
    return absence(f"a secret of {len(letters)} letters and digits is not said", [Occurrence(core, before, behind)])


class SecretFinder:
    """Finds secrets in texts, in time that does not depend on their number.

    Args:
        secrets: see `read_secrets`.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        self.secrets = list(secrets)
        self._letters = [_letters(secret) for secret in self.secrets]
        self._by_key: dict[str, list[int]] = {}
        for number, letters in enumerate(self._letters):
            self._by_key.setdefault(letters[:KEY], []).append(number)
        self._lengths = sorted({len(key) for key in self._by_key})

    def __repr__(self) -> str:
        return f"SecretFinder({Secrets(self.secrets)!r})"

    def find(self, text: str, written: Sequence[tuple[int, int]] | None = None) -> Iterator[tuple[int, int, int]]:
        """(number of the secret, start, end) of each that occurs with a written character in it.

        Args:
            text: any text.
            written: (start, end) of what was generated; None: all of it.
        """
        form = plain(text, secret_character)
        own = form.ranges(written)
        places = [place for place, one in enumerate(form.text) if one != " "]
        joined = "".join(form.text[place] for place in places)
        for n, start in enumerate(places):
            if start and form.text[start - 1] != " ":
                continue
            for length in self._lengths:
                for number in self._by_key.get(joined[n : n + length], ()):
                    letters = self._letters[number]
                    if not joined.startswith(letters, n):
                        continue
                    end = places[n + len(letters) - 1] + 1
                    if end < len(form.text) and form.text[end] != " ":
                        continue
                    if own is None or any(max(start, since) < min(end, until) for since, until in own):
                        yield number, *form.place(start, end)


def _letters(secret: str) -> str:
    return plain(secret, secret_character).text.replace(" ", "")
