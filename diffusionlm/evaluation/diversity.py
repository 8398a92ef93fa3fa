"""Diversity of a set of texts, and the share of it that was copied: entropy, distinct n-grams, self-BLEU, verbatim share.

Perplexity is bought cheaply with low diversity, so these figures stand beside it, next to those of real text. All but
the verbatim share depend on how many texts there are: compare sets of one size.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_WORD = re.compile(r"\w+(?:['’-]\w+)*|[^\w\s]")


def words(text: str) -> list[str]:
    """Words and marks of natural text, case kept: `"It's £20."` is `["It's", "£", "20", "."]`."""
    return _WORD.findall(text)


def ngrams(tokens: Sequence[str], n: int) -> list[tuple[str, ...]]:
    """All runs of `n` tokens; none if there are fewer than `n`. Raises `ValueError` for `n` below 1."""
    if n < 1:
        raise ValueError(f"n-grams need n of at least 1, got {n}")
    return [tuple(tokens[start : start + n]) for start in range(len(tokens) - n + 1)]


def distinct_n(texts: Iterable[str], n: int) -> float:
    """Different n-grams ÷ all n-grams over all texts, in [0, 1] (Li et al. 2016, https://arxiv.org/abs/1510.03055).

    Raises:
        ValueError: no text has `n` words.
    """
    counts = _count(texts, n)
    return len(counts) / counts.total()


def ngram_entropy(texts: Iterable[str], n: int = 1) -> float:
    """Entropy in nats of the n-grams of all texts taken together (Zhang et al. 2018, https://arxiv.org/abs/1809.05972).

    Raises:
        ValueError: no text has `n` words.
    """
    counts = np.array(list(_count(texts, n).values()), dtype=np.float64)
    shares = counts / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def self_bleu(texts: Sequence[str], max_n: int = 4) -> float:
    """Mean BLEU, in [0, 1], of each text with all others as references (Zhu et al. 2018, https://arxiv.org/abs/1802.01886).

    High means that the texts repeat each other. BLEU as in Papineni et al. 2002 (clipped precisions up to `max_n`,
    closest reference length); an n-gram order without a match counts as 0.1 matches (Chen and Cherry 2014, method 1).

    Raises:
        ValueError: fewer than two texts, or an empty one.
    """
    tokens = [words(text) for text in texts]
    if len(tokens) < 2 or not all(tokens):
        raise ValueError(f"self-BLEU compares two texts or more, none of them empty; got {len(tokens)} texts")
    log_precisions = np.zeros(len(tokens))
    for n in range(1, max_n + 1):
        counts = [Counter(ngrams(text, n)) for text in tokens]
        highest: dict[
            tuple[str, ...], tuple[int, int]
        ] = {}  # the two highest counts in one text: without self, one is left
        for count in counts:
            for gram, times in count.items():
                first, second = highest.get(gram, (0, 0))
                highest[gram] = (times, first) if times > first else (first, max(second, times))
        for index, count in enumerate(counts):
            matches = 0
            for gram, times in count.items():
                first, second = highest[gram]
                matches += min(times, second if times == first else first)
            log_precisions[index] += math.log(max(matches, 0.1) / max(count.total(), 1)) / max_n
    lengths = Counter(map(len, tokens))
    penalties = np.array([_brevity_penalty(len(text), lengths) for text in tokens])
    return float((penalties * np.exp(log_precisions)).mean())


def verbatim_share(texts: Sequence[str], training_texts: Iterable[str]) -> float:
    """Share of `texts` that stand word for word among the training texts (case and spacing aside), in [0, 1].

    Raises:
        ValueError: there are no texts.
    """
    if not texts:
        raise ValueError("the verbatim share of no texts is undefined: give at least one")
    known = {_normalise(text) for text in training_texts}
    return sum(_normalise(text) in known for text in texts) / len(texts)


@dataclass(frozen=True)
class Interval:
    """A figure with its confidence interval."""

    value: float
    low: float
    high: float
    level: float


def bootstrap_interval(
    statistic: Callable[..., float],
    *samples: Sequence[Any] | np.ndarray,
    paired: bool = False,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap interval of `statistic(*samples)` (Efron and Tibshirani 1993, chapter 13).

    Each resampling draws the items (first axis) of every sample with replacement: independently, or, with `paired`, the
    same items of each (two systems on the same prompts).

    Raises:
        ValueError: an empty sample, paired samples of different length, or a level outside (0, 1).
    """
    arrays = [np.asarray(sample) for sample in samples]
    sizes = [len(array) for array in arrays]
    if not sizes or min(sizes) == 0:
        raise ValueError(f"the bootstrap draws from samples of one item or more, got sizes {sizes}")
    if paired and len(set(sizes)) > 1:
        raise ValueError(f"paired samples have one length, got {sizes}: give the same items in both, or paired=False")
    if not 0 < level < 1 or resamples < 1:
        raise ValueError(f"level lies in (0, 1) and resamples is at least 1, got level={level}, resamples={resamples}")
    generator = np.random.default_rng(seed)
    values = np.empty(resamples)
    for draw in range(resamples):
        chosen = [generator.integers(size, size=size) for size in (sizes[:1] if paired else sizes)]
        chosen = chosen * len(sizes) if paired else chosen
        values[draw] = statistic(*(array[index] for array, index in zip(arrays, chosen, strict=True)))
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(statistic(*arrays)), float(low), float(high), level)


def _count(texts: Iterable[str], n: int) -> Counter[tuple[str, ...]]:
    if isinstance(texts, str):
        raise TypeError("diversity is measured over a list of texts, got one string: wrap it in a list")
    counts = Counter(gram for text in texts for gram in ngrams(words(text), n))
    if not counts:
        raise ValueError(f"none of the texts has {n} words: there is no {n}-gram to count")
    return counts


def _brevity_penalty(length: int, lengths: Counter[int]) -> float:
    others = [other for other, times in lengths.items() if times > (other == length)]
    closest = min(others, key=lambda other: (abs(other - length), other))
    return 1.0 if length >= closest else math.exp(1 - closest / length)


def _normalise(text: str) -> str:
    return " ".join(text.casefold().split())
