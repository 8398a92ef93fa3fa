"""Quality of a set of texts as a reader sees it: shares of texts with a fault, by kind, beside real text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from diffusionlm.evaluation.faults import Faults, find_faults
from diffusionlm.evaluation.figures import Figure, measure
from diffusionlm.evaluation.seen_text import SeenText

TAIL = 0.95  # quantile of real texts behind which a text is less fluent than they are
KINDS = ("fault", "strange", "strange pairs", "repeat", "nonword", "stumble", "tail", "peer tail", "empty")
COPIES = ("verbatim copies", "copied 8-grams")


@dataclass(frozen=True)
class Limits:
    """Fluency of the 95th percentile of real texts under a judge.

    Attributes:
        mean: nats per token of a text; a text above it counts as *tail*.
        worst: nats of a text's least likely token; a text above it counts as *stumble*.
    """

    mean: float
    worst: float

    @classmethod
    def of(cls, scores: np.ndarray) -> Limits:
        """Limits of real texts.

        Args:
            scores: nats, tokens and nats of the least likely token of each real text, (texts, 3).

        Raises:
            ValueError: there are fewer than 20 texts, so that no text lies behind the quantile.
        """
        if len(scores) < 20:
            raise ValueError(f"The 95th percentile of real texts needs 20 texts or more, got {len(scores)}.")
        return cls(float(np.quantile(scores[:, 0] / scores[:, 1], TAIL)), float(np.quantile(scores[:, 2], TAIL)))


@dataclass(frozen=True)
class TextQuality:
    """Faults of a set of texts with what judges say of them.

    Attributes:
        texts: the set.
        faults: of each.
        tail: whether each is less fluent than the 95th percentile of real texts; None without a judge.
        stumble: whether its least likely token is; None without a judge.
        peer_tail: as `tail`, under an in-domain model; None without one.
    """

    texts: Sequence[str]
    faults: Sequence[Faults]
    tail: np.ndarray | None = None
    stumble: np.ndarray | None = None
    peer_tail: np.ndarray | None = None

    @property
    def faulty(self) -> np.ndarray:
        """True if each text has a fault of any kind but *tail*, (texts,) bool; an empty text has one."""
        found = np.array([bool(f.strange or f.repeated or f.nonwords or f.empty) for f in self.faults])
        return found if self.stumble is None else found | self.stumble

    def items(self) -> dict[str, tuple[str, list[Any]]]:
        """For each measure: its kind (see `diffusionlm.evaluation.figures.KINDS`), and an item for each text."""
        own = self.faults
        found: dict[str, tuple[str, list[Any]]] = {
            "fault": ("mean", [float(value) for value in self.faulty]),
            "strange": ("mean", [float(bool(f.strange)) for f in own]),
            "strange pairs": ("quotient", [(len(f.strange), f.pairs) for f in own]),
            "repeat": ("mean", [float(bool(f.repeated)) for f in own]),
            "nonword": ("mean", [float(bool(f.nonwords)) for f in own]),
        }
        judged = (("stumble", self.stumble), ("tail", self.tail), ("peer tail", self.peer_tail))
        for name, values in judged:
            if values is not None:
                found[name] = ("mean", [float(value) for value in values])
        found["empty"] = ("mean", [float(f.empty) for f in own])
        found["verbatim copies"] = ("mean", [float(f.verbatim) for f in own])
        found["copied 8-grams"] = ("quotient", [(f.copied_runs, f.runs) for f in own])
        return found

    def shares(self) -> dict[str, float]:
        """The value of each measure in [0, 1]; 0 where there was nothing to look at."""
        values = {}
        for name, (kind, items) in self.items().items():
            rows = np.array(items, dtype=float).reshape(len(items), -1).sum(0)
            values[name] = float(rows[0] / (len(items) if kind == "mean" else rows[1])) if rows[-1] else 0.0
        return values

    def figures(
        self, prefix: str = "", *, keys: Sequence[Any] | None = None, judge: str = "", label: str = ""
    ) -> list[Figure]:
        """A `Figure` with its interval for each measure.

        Args:
            prefix: of the names: "", "real text: ", "guided: ".
            keys: what each text stands for, so that two runs can be compared text by text.
            judge: name of the judge of *tail* and *stumble*.
            label: a warning that stands beside those.
        """
        keys = list(range(len(self.texts))) if keys is None else keys
        figures = []
        for name, (kind, items) in self.items().items():
            judged = name in ("tail", "stumble", "fault") and self.stumble is not None
            extra: dict[str, Any] = {"judge": judge, "label": label} if judged else {}
            figures.append(measure(f"{prefix}{name}", kind, items, keys=keys, unit="%", better="lower", **extra))
        return figures

    def commonest(self, count: int = 12) -> dict[str, list[tuple[str, int]]]:
        """The commonest strange pairs, repeats and nonwords, with how often each stands in the texts."""
        names = {"strange pairs": "strange", "repeats": "repeated", "nonwords": "nonwords"}
        return {
            name: Counter(item for f in self.faults for item in getattr(f, attribute)).most_common(count)
            for name, attribute in names.items()
        }


def text_quality(
    texts: Sequence[str],
    seen: SeenText,
    *,
    scores: np.ndarray | None = None,
    limits: Limits | None = None,
    peer_scores: np.ndarray | None = None,
    peer_limits: Limits | None = None,
    starts: Sequence[int] | None = None,
    among_seen: bool = False,
) -> TextQuality:
    """Measures a set of texts.

    Args:
        texts: natural texts, samples or real ones.
        seen: the training text.
        scores: a judge's nats, tokens and nats of the least likely token, (texts, 3); zeros for empty texts.
        limits: of real texts under that judge.
        peer_scores: those of an in-domain model, (texts, 3).
        peer_limits: of real texts under it.
        starts: characters of known text at the beginning of each; see `find_faults`.
        among_seen: the texts are training texts; see `find_faults`.

    Raises:
        ValueError: no texts, another number of scores or starts, or scores without limits.
    """
    if not texts:
        raise ValueError("The quality of no texts is undefined: give at least one.")
    for name, rows in (("scores", scores), ("peer_scores", peer_scores), ("starts", starts)):
        if rows is not None and len(rows) != len(texts):
            raise ValueError(f"{name} holds {len(rows)} rows for {len(texts)} texts.")
    if (scores is None) != (limits is None) or (peer_scores is None) != (peer_limits is None):
        raise ValueError("Scores of a judge are compared with the limits of real texts: give both or neither.")
    faults = [find_faults(text, seen, 0 if starts is None else starts[i], among_seen) for i, text in enumerate(texts)]
    return TextQuality(
        list(texts),
        faults,
        tail=None if scores is None or limits is None else _means(scores) > limits.mean,
        stumble=None if scores is None or limits is None else scores[:, 2] > limits.worst,
        peer_tail=None if peer_scores is None or peer_limits is None else _means(peer_scores) > peer_limits.mean,
    )


def _means(scores: np.ndarray) -> np.ndarray:
    """Nats per token, (texts,); 0 for empty texts."""
    return scores[:, 0] / np.maximum(scores[:, 1], 1)
