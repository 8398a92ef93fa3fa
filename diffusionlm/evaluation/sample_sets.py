"""Sets of samples that evaluations make, keep and compare: `Shelf` holds them, `compare` measures them.

Guided and unguided samples come in pairs of one seed, so they begin in the same noise. Intervals draw pairs.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from diffusionlm.evaluation.diversity import Interval, bootstrap_interval, ngrams, words
from diffusionlm.evaluation.electricity import Energy, EnergyMeter
from diffusionlm.evaluation.judge import load_judge
from diffusionlm.evaluation.record import read_json, settings_key, write_json
from diffusionlm.pipeline import DiffusionLMPipeline

CHUNK = 64  # texts that are scored between two writings of the file


@dataclass(frozen=True)
class SampleSet:
    """Texts of one way to write them.

    Attributes:
        texts: in the order of their seeds.
        certificates: the hard constraints of each text and whether they hold.
        seconds: wall time of writing all of them.
        unmet: how many texts missed a goal that guidance was given.
        energy: electricity of writing all of them, where it was measured.
    """

    texts: list[str]
    certificates: list[dict[str, bool]] = field(default_factory=list)
    seconds: float = 0.0
    unmet: int = 0
    energy: Energy | None = None

    @property
    def certified(self) -> float:
        """Share of texts all of whose constraints hold; NaN where there were none."""
        given = [all(held.values()) for held in self.certificates if held]
        return sum(given) / len(given) if given else math.nan

    def __add__(self, other: SampleSet) -> SampleSet:
        return SampleSet(
            self.texts + other.texts,
            self.certificates + other.certificates,
            self.seconds + other.seconds,
            self.unmet + other.unmet,
            self.energy + other.energy if self.energy and other.energy else self.energy or other.energy,
        )

    @classmethod
    def from_dict(cls, kept: dict[str, Any]) -> SampleSet:
        """Inverse of `dataclasses.asdict`."""
        known = {item.name: kept[item.name] for item in dataclasses.fields(cls) if item.name in kept}
        return cls(**known | {"energy": Energy(**kept["energy"]) if kept.get("energy") else None})


def write(
    pipe: DiffusionLMPipeline, count: int, seed: int, meter: EnergyMeter | None = None, **settings: Any
) -> SampleSet:
    """Samples of the pipeline with seeds from ``seed`` on, and with a ``meter`` the electricity that they took."""
    with meter.measure() if meter else nullcontext() as energy:
        result = pipe(num_samples=count, seed=seed, **settings)
    unmet = len({goal.sample for goal in result.trace.unmet}) if result.trace else 0
    groups = result.texts if result.batched else [result.texts]
    certificates = result.certificates if result.batched else [result.certificates]
    return SampleSet(
        [" ".join(text.split()) for group in groups for text in group],
        [held for group in certificates for held in group],
        result.timings["total"],
        unmet,
        energy,
    )


class Shelf:
    """Keeps sample sets and the judge's scores as files, so that an interrupted benchmark goes on.

    Args:
        folder: of the benchmark.
        settings: what all sets have in common: weights, steps, seed.
        judge: name of the judge; loaded when first needed.
        progress: wraps what is gone through, as `rich.progress.track` does: ``progress(items, description)``.
    """

    def __init__(
        self, folder: Path, settings: dict[str, Any], judge: str, progress: Callable[..., Any] | None = None
    ) -> None:
        self.folder, self.settings, self.judge_name = folder, settings, judge
        self._progress = progress or partial(track, transient=True)
        self._judge: Any = None
        # a folder is known by its name: two judges of one name must not share an --out
        self._scores_file = folder / f"scores-{settings_key({'judge': Path(judge).name, 'worst': True})}.json"
        self._scores: dict[str, tuple[float, int, float]] = {}
        if self._scores_file.is_file():
            self._scores = read_json(self._scores_file, "delete it to score the texts again")

    def samples(
        self,
        name: str,
        settings: dict[str, Any],
        make: Callable[[], SampleSet],
        serves: Callable[[SampleSet], bool] = lambda kept: True,
    ) -> SampleSet:
        """The set of these settings: made now, or kept from an earlier call if it ``serves``."""
        file = self.folder / f"{name.replace('/', '-')}-{settings_key(self.settings | settings)}.json"
        if file.is_file():
            kept = SampleSet.from_dict(read_json(file, "delete it to write the samples again"))
            if serves(kept):
                return kept
        write_json(file, {"settings": self.settings | settings, **dataclasses.asdict(make())})
        return SampleSet.from_dict(read_json(file, "delete it to write the samples again"))

    def score(self, texts: Sequence[str]) -> np.ndarray:
        """Nats and tokens of each text under the judge (texts, 2); zeros for empty ones."""
        return self.score_with_worst(texts)[:, :2]

    def score_with_worst(self, texts: Sequence[str]) -> np.ndarray:
        """Nats, tokens, and nats of the least likely token of each text (texts, 3); zeros for empty ones."""
        keys = [sha256(text.encode()).hexdigest()[:24] for text in texts]
        new = {key: text for key, text in zip(keys, texts, strict=True) if text and key not in self._scores}
        chunks = [list(new.items())[i : i + CHUNK] for i in range(0, len(new), CHUNK)]
        for chunk in self._progress(chunks, "perplexity") if chunks else ():
            scores = self._loaded().score([text for _, text in chunk])
            rows = zip(scores.nats, scores.tokens, scores.worst, strict=True)
            self._scores |= dict(zip((key for key, _ in chunk), rows, strict=True))
            write_json(self._scores_file, self._scores)
        found = [self._scores[key] if text else (0.0, 0, 0.0) for key, text in zip(keys, texts, strict=True)]
        return np.array(found).reshape(len(texts), 3)

    def features(self, texts: Sequence[str]) -> np.ndarray:
        """Features of the judge after the last token of each text (texts, D); not kept."""
        chunks = [texts[i : i + CHUNK] for i in range(0, len(texts), CHUNK)]
        return np.concatenate([self._loaded().features(chunk) for chunk in self._progress(chunks, "features")])

    def _loaded(self) -> Any:
        if self._judge is None:
            self._judge = load_judge(self.judge_name, quiet=True)
        return self._judge


@dataclass(frozen=True)
class Comparison:
    """A set of texts beside another one, pair by pair; every interval is a bootstrap over pairs (95 %).

    Attributes:
        texts: how many pairs.
        empty: how many of the texts are empty; their pairs count in ``success`` and nowhere else.
        success: share of the texts that do what was asked for.
        perplexity: under the judge, token-weighted.
        perplexity_ratio: ÷ that of the other set.
        entropy: of single words, nats.
        entropy_ratio: ÷ that of the other set.
        distinct_4: different 4-grams ÷ all.
        distinct_4_ratio: ÷ that of the other set.
    """

    texts: int
    empty: int
    success: Interval
    perplexity: float
    perplexity_ratio: Interval
    entropy: float
    entropy_ratio: Interval
    distinct_4: float
    distinct_4_ratio: Interval

    def to_dict(self) -> dict[str, Any]:
        """Nested plain values."""
        return dataclasses.asdict(self)

    def cells(self) -> list[str]:
        """Cells of a table: success, perplexity ratio, entropy ratio, distinct-4 ratio."""
        return [
            percent(self.success),
            *(ratio(value) for value in (self.perplexity_ratio, self.entropy_ratio, self.distinct_4_ratio)),
        ]


CELLS = ("success", "perplexity ÷", "entropy ÷", "distinct-4 ÷")


def compare(
    shelf: Shelf, texts: Sequence[str], others: Sequence[str], successes: Sequence[bool], seed: int = 0
) -> Comparison:
    """Measures texts beside others of the same seeds.

    Args:
        shelf: of the judge's scores.
        texts: guided.
        others: unguided, as many.
        successes: whether each text does what was asked for.
        seed: of the bootstrap.

    Raises:
        ValueError: another number of texts, or no pair without an empty text.
    """
    if not len(texts) == len(others) == len(successes):
        raise ValueError(f"pairs are compared: {len(texts)} texts, {len(others)} others, {len(successes)} successes")
    kept = [i for i, pair in enumerate(zip(texts, others, strict=True)) if all(pair)]
    if not kept:
        raise ValueError("every pair holds an empty text: nothing is left to compare")
    ours, theirs = ([group[i] for i in kept] for group in (texts, others))
    scores = np.concatenate([shelf.score(ours), shelf.score(theirs)], axis=1)
    # an expected number of distinct items depends on how many texts there are, so both sides are resampled alike
    grams = {n: _numbered([ours, theirs], n) for n in (1, 4)}
    rows = np.arange(len(kept))

    def entropy(side: int, chosen: np.ndarray) -> float:
        counts = np.bincount(np.concatenate([grams[1][side][i] for i in chosen]))
        shares = counts[counts > 0] / counts.sum()
        return float(-(shares * np.log(shares)).sum())

    def distinct(side: int, chosen: np.ndarray) -> float:
        own = np.concatenate([grams[4][side][i] for i in chosen])
        return len(np.unique(own)) / max(1, len(own))

    def quotient(figure: Callable[[int, np.ndarray], float]) -> Interval:
        return bootstrap_interval(
            lambda chosen: figure(0, chosen) / max(figure(1, chosen), 1e-9), rows, resamples=300, seed=seed
        )

    return Comparison(
        texts=len(texts),
        empty=sum(not text for text in texts),
        success=bootstrap_interval(lambda held: float(held.mean()), np.array(successes, dtype=float), seed=seed),
        perplexity=math.exp(scores[:, 0].sum() / scores[:, 1].sum()),
        perplexity_ratio=bootstrap_interval(_perplexity_ratio, scores, seed=seed),
        entropy=entropy(0, rows),
        entropy_ratio=quotient(entropy),
        distinct_4=distinct(0, rows),
        distinct_4_ratio=quotient(distinct),
    )


def percent(value: Interval) -> str:
    """A share with its interval."""
    return f"{value.value:.1%} ({value.low:.1%} to {value.high:.1%})"


def ratio(value: Interval) -> str:
    """A ratio with its interval."""
    return f"{value.value:.3f} ({value.low:.3f} to {value.high:.3f})"


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def verdict(what: str, value: float, sign: str, goal: float, form: str = ".4g") -> str:
    """One line: a figure, what it should be, and whether it is."""
    reached = value <= goal if sign == "≤" else value >= goal
    return f"{what}: {value:{form}} (goal {sign} {goal:{form}}) {'reached' if reached else 'missed'}"


def _perplexity_ratio(scores: np.ndarray) -> float:
    """(pairs, 4): nats and tokens of a text, nats and tokens of the other."""
    nats, tokens, other_nats, other_tokens = scores.sum(0)
    return float(np.exp(nats / tokens - other_nats / other_tokens))


def _numbered(groups: Sequence[Sequence[str]], n: int) -> list[list[np.ndarray]]:
    """The n-grams of every text as numbers, the same for equal n-grams."""
    number: dict[tuple[str, ...], int] = {}
    return [
        [
            np.array([number.setdefault(gram, len(number)) for gram in ngrams(words(text), n)], dtype=np.int64)
            for text in group
        ]
        for group in groups
    ]
