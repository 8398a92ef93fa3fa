"""A figure with its interval and the items it was made of, so that two runs can be compared item by item."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np

from diffusionlm.evaluation.diversity import bootstrap_interval, ngrams, words
from diffusionlm.evaluation.record import settings_key

RESAMPLES = 1000
TEXT_RESAMPLES = 300  # figures of texts are recounted at every draw
GROUPS = 20


@dataclass(frozen=True)
class Figure:
    """One number of a task.

    Attributes:
        name: what it is, unique within the task.
        value: the number; None where it is undefined.
        low: lower end of the 95 % bootstrap interval, None without one.
        high: upper end.
        unit: of the number.
        better: "higher", "lower", or "" where neither is better.
        kind: how it comes from the items, one of `KINDS`; "" for a number that has none.
        items: one entry for each sample or target, as the kind reads them.
        pairing: equal for two runs whose items stand for the same targets and seeds.
        judge: who says so, where a model does.
        label: a warning that stands wherever the figure does.
    """

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    unit: str = ""
    better: str = ""
    kind: str = ""
    items: list[Any] = field(default_factory=list)
    pairing: str = ""
    judge: str = ""
    label: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Figure:
        """Inverse of `to_dict`; entries that this version does not know are left out."""
        known = {item.name for item in fields(cls)}
        return cls(**{key: value for key, value in data.items() if key in known})

    def shown(self) -> str:
        """The number with its interval, for a table."""
        if self.value is None or not math.isfinite(self.value):
            return "undefined"
        form = _form(self.unit)
        ends = "" if self.low is None or self.high is None else f" ({form(self.low)} to {form(self.high)})"
        return form(self.value) + ends + (f" {self.unit}" if self.unit and self.unit != "%" else "")


def _form(unit: str) -> Callable[[float], str]:
    return (lambda value: f"{value:.1%}") if unit == "%" else (lambda value: f"{value:.4g}")


# ---- kinds ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """Rule by which a figure comes from items: `prepare` once, `value` for every draw of them.

    Figures of varied n-grams fall when texts are drawn twice, so the interval of one alone comes from a jackknife
    (``repeats_bias``); differences of two sets drawn alike do not have this trouble.
    """

    prepare: Callable[[Sequence[Any]], Any]
    value: Callable[[Any, np.ndarray], float]
    resamples: int = RESAMPLES
    repeats_bias: bool = False


def _rows(items: Sequence[Any]) -> np.ndarray:
    return np.asarray(items, dtype=float).reshape(len(items), -1)


def _numbered(n: int) -> Callable[[Sequence[str]], list[np.ndarray]]:
    def prepare(texts: Sequence[str]) -> list[np.ndarray]:
        known: dict[tuple[str, ...], int] = {}
        return [
            np.array([known.setdefault(gram, len(known)) for gram in ngrams(words(text), n)], dtype=np.int64)
            for text in texts
        ]

    return prepare


def _entropy(grams: list[np.ndarray], chosen: np.ndarray) -> float:
    counts = np.bincount(np.concatenate([grams[i] for i in chosen]))
    shares = counts[counts > 0] / max(1, counts.sum())
    return float(-(shares * np.log(shares)).sum())


def _distinct(grams: list[np.ndarray], chosen: np.ndarray) -> float:
    own = np.concatenate([grams[i] for i in chosen])
    return len(np.unique(own)) / len(own) if len(own) else math.nan


def _quotient(rows: np.ndarray, chosen: np.ndarray) -> float:
    above, below = rows[chosen].sum(0)
    return float(above / below) if below else math.nan


KINDS: dict[str, Kind] = {
    "mean": Kind(_rows, lambda rows, chosen: float(rows[chosen, 0].mean())),
    "quotient": Kind(_rows, _quotient),
    "perplexity": Kind(_rows, lambda rows, chosen: math.exp(_quotient(rows, chosen))),
    "entropy": Kind(_numbered(1), _entropy, TEXT_RESAMPLES, True),
    "distinct_4": Kind(_numbered(4), _distinct, TEXT_RESAMPLES, True),
}


def measure(
    name: str,
    kind: str,
    items: Sequence[Any],
    *,
    keys: Sequence[Any] | None = None,
    unit: str = "",
    better: str = "",
    judge: str = "",
    label: str = "",
    seed: int = 0,
) -> Figure:
    """A figure of items with its 95 % interval over them: bootstrap, or jackknife for entropy and distinct n-grams.

    Args:
        name: of the figure.
        kind: one of `KINDS`. "mean": numbers; "quotient": pairs, sum of the first ÷ sum of the second; "perplexity": pairs
            (nats, tokens); "entropy" and "distinct_4": texts.
        items: what it is made of.
        keys: what each item stands for (a target, a seed); equal keys make two runs comparable item by item.
        unit: "%" for shares in [0, 1].
        better: "higher", "lower" or "".
        judge: who says so.
        label: a warning that goes with it.
        seed: of the bootstrap.

    Raises:
        ValueError: no items, or another number of keys.
    """
    items = [item.tolist() if isinstance(item, np.ndarray) else item for item in items]
    if not items or (keys is not None and len(keys) != len(items)):
        raise ValueError(
            f"The figure {name!r} needs items, and a key for each: {len(items)} items, {keys and len(keys)} keys."
        )
    how = KINDS[kind]
    data = how.prepare(items)
    everything = np.arange(len(items))
    value = how.value(data, everything)
    pairing = settings_key({"keys": list(keys)}) if keys is not None else ""
    ends: tuple[float | None, float | None] = (None, None)
    if len(items) > 1:
        low, high = (
            _jackknife(how, data, len(items), seed) if how.repeats_bias else _bootstrap(how, data, len(items), seed)
        )
        ends = (low, high) if math.isfinite(low + high) else ends
    return Figure(
        name, value if math.isfinite(value) else None, *ends, unit, better, kind, items, pairing, judge, label
    )


def _bootstrap(how: Kind, data: Any, count: int, seed: int) -> tuple[float, float]:
    found = bootstrap_interval(
        lambda chosen: how.value(data, chosen), np.arange(count), resamples=how.resamples, seed=seed
    )
    return found.low, found.high


def _jackknife(how: Kind, data: Any, count: int, seed: int) -> tuple[float, float]:
    """Value ± 1.96 standard errors, groups of items left out in turn (Efron and Tibshirani 1993, chapter 11)."""
    order = np.random.default_rng(seed).permutation(count)
    groups = min(GROUPS, count)
    without = np.array([how.value(data, np.delete(order, np.s_[i::groups])) for i in range(groups)])
    error = math.sqrt((groups - 1) / groups * ((without - without.mean()) ** 2).sum())
    value = how.value(data, order)
    return value - 1.96 * error, value + 1.96 * error


def number(name: str, value: float | None, unit: str = "", better: str = "", label: str = "") -> Figure:
    """A figure without items: a time, a count."""
    return Figure(name, None if value is None else float(value), unit=unit, better=better, label=label)


# ---- what a task gives ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Table:
    """A table of a report."""

    title: str
    head: list[str]
    rows: list[list[Any]]

    def to_markdown(self) -> str:
        """With its title above it."""
        lines = [self.head, ["---"] * len(self.head), *self.rows]
        return "\n".join([f"**{self.title}**", "", *(f"| {' | '.join(map(str, line))} |" for line in lines)])


@dataclass(frozen=True)
class Curve:
    """A plot: for each series the points (x, y, what is written beside it)."""

    title: str
    x: str
    y: str
    series: dict[str, list[tuple[float, float, str]]]
    logarithmic: bool = False


@dataclass
class TaskResult:
    """Findings of a task.

    Attributes:
        figures: the numbers, the most important first.
        tables: what does not fit one number.
        curves: plots.
        samples: some of the texts, to look at.
        notes: how it was done, what was left out and why.
    """

    figures: list[Figure] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    samples: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Nested plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> TaskResult:
        """Inverse of `to_dict`."""
        return cls(
            [Figure.from_dict(item) for item in data.get("figures", [])],
            [Table(**item) for item in data.get("tables", [])],
            [Curve(**item) for item in data.get("curves", [])],
            list(data.get("samples", [])),
            list(data.get("notes", [])),
        )
