"""Secrets: any number of texts that must not be said, in any case, spelling, spacing and punctuation.

Texts are compared by their letters and digits alone, in plain form (`pii.folding`) and without case: "Ann Lee, 12-34" is
also found as "ann lee 1234", "ANN... LEE 12_34" and in fullwidth letters, "Straße" as "STRASSE". Anything that is no
letter or digit may stand between any two of them, but not a letter or digit right before or behind: a secret inside a
longer word ("Ann" in "Anna") does not count. Scripts that are written without spaces have no such words: a secret counts
wherever it stands beside one of their letters.

Look-alikes may part the capital of a letter from the small one: of Greek, "Υ" looks like "Y" and "υ" like "u". Where that
is so a secret is also looked for in its own letters, without case and accents.

A text is searched by the first letters of the secrets (a dictionary), so the time does not grow with their number; a
secret that is found is forbidden by an automaton of its own.

Nothing here prints a secret: errors name its place in the list.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, overload

from diffusionlm.guidance.automata import regex
from diffusionlm.guidance.automata.look_alikes import UNSPACED, is_unspaced
from diffusionlm.guidance.automata.occurrences import Absence, Occurrence, absence
from diffusionlm.guidance.pii.folding import Form, plain, plain_character
from diffusionlm.text.lines import read_lines

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


def own_character(character: str) -> str:
    """What a character counts as in its own script: letters without case and accents, digits, or one blank.

    Example:
        >>> own_character("Ύ"), own_character("ς"), own_character("Σ")
        ('υ', 'σ', 'σ')
    """
    found = ""
    for form in unicodedata.normalize("NFKD", character.casefold()):
        category = unicodedata.category(form)
        if category not in ("Mn", "Me", "Cf"):
            digit = unicodedata.digit(form, None)
            found += str(digit) if digit is not None else form.casefold() if form.isalnum() else " "
    return found


def in_own_letters(secret: str) -> bool:
    """Whether case changes what the letters of a secret look like, so that it is looked for in its own letters too."""
    return len({_letters(secret), _letters(secret.upper()), _letters(secret.lower())}) > 1


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
        lines: Sequence[Any] = read_lines(given, "the file of secrets")
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
def secret_absence(secret: str, character: Form = secret_character) -> Absence:
    """Texts in the form of ``character`` in which the secret does not occur with a generated character in it."""
    letters = _letters(secret, character)
    core = regex(" *".join(map(re.escape, letters)))
    word = f"[^ {_UNSPACED}]"
    before = None if is_unspaced(letters[0]) else ~regex(rf"(?:.|\n)*{word}")
    behind = None if is_unspaced(letters[-1]) else ~regex(rf"{word}(?:.|\n)*")
    return absence(f"a secret of {len(letters)} letters and digits is not said", [Occurrence(core, before, behind)])


_UNSPACED = "".join(f"{chr(first)}-{chr(last - 1)}" for first, last in UNSPACED)


class SecretFinder:
    """Finds secrets in texts, in time that does not depend on their number.

    Args:
        secrets: see `read_secrets`.
        character: what a character counts as.
        only: whether a secret is looked for; None: all are.
    """

    def __init__(
        self,
        secrets: Iterable[str],
        character: Form = secret_character,
        only: Callable[[str], bool] | None = None,
    ) -> None:
        self.secrets = list(secrets)
        self.character = character
        self._letters = [_letters(secret, character) for secret in self.secrets]
        self._by_key: dict[str, list[int]] = {}
        for number, letters in enumerate(self._letters):
            if only is None or only(self.secrets[number]):
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
        if not self._by_key:
            return
        form = plain(text, self.character)
        own = form.ranges(written)
        places = [place for place, one in enumerate(form.text) if one != " "]
        joined = "".join(form.text[place] for place in places)
        for n, start in enumerate(places):
            inside = start > 0 and _one_word(form.text[start - 1], form.text[start])
            for length in () if inside else self._lengths:
                for number in self._by_key.get(joined[n : n + length], ()):
                    letters = self._letters[number]
                    if not joined.startswith(letters, n):
                        continue
                    end = places[n + len(letters) - 1] + 1
                    if end < len(form.text) and _one_word(form.text[end - 1], form.text[end]):
                        continue
                    if own is None or any(max(start, since) < min(end, until) for since, until in own):
                        yield number, *form.place(start, end)


def _one_word(first: str, second: str) -> bool:
    """Whether two characters that stand side by side belong to one word; blanks belong to none."""
    return " " not in (first, second) and not is_unspaced(first) and not is_unspaced(second)


def _letters(secret: str, character: Form = secret_character) -> str:
    return plain(secret, character).text.replace(" ", "")
