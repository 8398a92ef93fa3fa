"""Index of a training corpus: its words, neighbouring words, runs of eight words and whole texts."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from itertools import islice

import numpy as np

RUN = 8  # words of a run whose copying is counted
_TOKEN = re.compile(r"\w+|[^\w\s]")
_PLAIN_QUOTES = str.maketrans("’‘“”", "''\"\"")
_CHUNK = 4096  # texts indexed at once; 12 bits of the codes below
_FACTORS = np.random.default_rng(0x5EED).integers(1, 2**63, RUN, dtype=np.uint64) * np.uint64(2) + np.uint64(1)


def tokens(text: str) -> list[str]:
    """Words and marks as faults are counted on: runs of letters, digits and _, or one other sign; case folded, quotes plain.

    `"It's £20-25."` is `["it", "'", "s", "£", "20", "-", "25", "."]`.
    """
    return _TOKEN.findall(text.translate(_PLAIN_QUOTES).casefold())


def tokens_with_ends(text: str) -> tuple[list[str], list[int]]:
    """`tokens`, and the character of `text` behind each of them."""
    found = list(_TOKEN.finditer(text.translate(_PLAIN_QUOTES)))
    return [match.group().casefold() for match in found], [match.end() for match in found]


class SeenText:
    """Words, pairs of neighbouring words, runs of eight words and whole texts of a corpus, read once.

    Holds numbers, not texts: about 20 bytes for each word of the corpus (26 million words: half a GB).

    Args:
        texts: the corpus.
        lexicon: further real texts whose words are words, but whose pairs do not count as seen.

    Raises:
        ValueError: the corpus holds no word.
    """

    def __init__(self, texts: Iterable[str], lexicon: Iterable[str] = ()) -> None:
        self._words: dict[str, int] = {}
        self.texts = 0
        pairs, runs, whole, known = [], [], [], []
        remaining = iter(texts)
        while chunk := list(islice(remaining, _CHUNK)):
            self.texts += len(chunk)
            rows = [self._number(tokens(text)) for text in chunk]
            ids = np.array([number for row in rows for number in row], dtype=np.int64)
            of = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
            pairs.append(np.unique(_of_text(_pair_codes(ids), of[1:])[of[1:] == of[:-1]]))
            known.append(np.unique(_of_text(ids, of)))
            runs.append(np.unique(_run_codes(ids)[of[RUN - 1 :] == of[: max(len(of) - RUN + 1, 0)]]))
            whole.append(np.unique(np.array([_digest(text) for text in chunk], dtype=np.uint64)))
        if not self._words:
            raise ValueError("The training text holds no word: there is nothing to compare with.")
        # how many texts hold each pair and word, so that a text of the corpus can be measured by what the others hold
        self._pairs, self._pair_texts = np.unique(np.concatenate(pairs) >> np.uint64(12), return_counts=True)
        own, counts = np.unique(np.concatenate(known) >> np.uint64(12), return_counts=True)
        self._word_texts = np.zeros(len(self._words), dtype=np.int64)
        self._word_texts[own.astype(np.int64)] = counts
        self._run_codes = np.unique(np.concatenate(runs))
        self._whole = np.unique(np.concatenate(whole))
        self._lexicon = frozenset(word for text in lexicon for word in tokens(text) if word not in self._words)

    @property
    def words(self) -> int:
        """Different words and marks of the corpus."""
        return len(self._words)

    def texts_with_pairs(self, words: Sequence[str]) -> np.ndarray:
        """Number of texts that hold each pair of neighbours, (len(words) - 1,)."""
        ids = np.array([self._words.get(word, -1) for word in words], dtype=np.int64)
        if len(ids) < 2:
            return np.zeros(0, dtype=np.int64)
        known = (ids[:-1] >= 0) & (ids[1:] >= 0)
        codes = _pair_codes(np.maximum(ids, 0))
        found = known & _among(codes, self._pairs)
        counts = np.zeros(len(codes), dtype=np.int64)
        counts[found] = self._pair_texts[np.searchsorted(self._pairs, codes[found])]
        return counts

    def texts_with_word(self, word: str) -> int:
        """Number of texts that hold a word; the lexicon counts as two more."""
        number = self._words.get(word)
        own = 0 if number is None else int(self._word_texts[number])
        return own + 2 * (word in self._lexicon)

    def holds_runs(self, words: Sequence[str]) -> np.ndarray:
        """True if each run of eight words stands in the corpus, (len(words) - 7,) bool; empty for shorter texts."""
        ids = np.array([self._words.get(word, -1) for word in words], dtype=np.int64)
        if len(ids) < RUN:
            return np.zeros(0, dtype=bool)
        known = np.lib.stride_tricks.sliding_window_view(ids >= 0, RUN).all(-1)
        return known & _among(_run_codes(np.maximum(ids, 0)), self._run_codes)

    def holds_text(self, text: str) -> bool:
        """True if the text stands in the corpus word for word, case, spacing and the form of quotes aside."""
        return bool(_among(np.array([_digest(text)], dtype=np.uint64), self._whole)[0])

    def _number(self, words: Iterable[str]) -> list[int]:
        numbers = self._words
        return [numbers.setdefault(word, len(numbers)) for word in words]


def _of_text(codes: np.ndarray, texts: np.ndarray) -> np.ndarray:
    """Codes that carry the number of their text within the chunk in the lowest 12 bits."""
    return (codes.astype(np.uint64) << np.uint64(12)) | texts.astype(np.uint64)


def _pair_codes(ids: np.ndarray) -> np.ndarray:
    return (ids[:-1].astype(np.uint64) << np.uint64(26)) | ids[1:].astype(np.uint64)


def _run_codes(ids: np.ndarray) -> np.ndarray:
    """Codes of all runs of eight words; two runs share one by chance with a probability of about 2^-63."""
    count = max(len(ids) - RUN + 1, 0)
    codes = np.zeros(count, dtype=np.uint64)
    for place, factor in enumerate(_FACTORS):
        codes += (ids[place : place + count].astype(np.uint64) + np.uint64(1)) * factor
    return codes


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(" ".join(tokens(text)).encode(), digest_size=8).digest(), "big")


def _among(codes: np.ndarray, known: np.ndarray) -> np.ndarray:
    """True if each code is among the sorted ones that are known."""
    if not len(known):
        return np.zeros(len(codes), dtype=bool)
    return known[np.minimum(np.searchsorted(known, codes), len(known) - 1)] == codes
