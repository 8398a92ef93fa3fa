"""Fluency of samples beside real text: perplexity under a judge, with entropy, distinct 4-grams and copies."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from diffusionlm.evaluation.diversity import (
    Interval,
    bootstrap_interval,
    distinct_n,
    ngram_entropy,
    self_bleu,
    verbatim_share,
    words,
)
from diffusionlm.evaluation.judge import CausalJudge, JudgeScores


@dataclass(frozen=True)
class TextFigures:
    """Figures of one set of texts.

    Attributes:
        texts: how many there are, empty ones included.
        empty: how many are empty. They count in `texts` and in no other figure.
        words: mean length in words and marks.
        perplexity: token-weighted, under the judge.
        entropy: of single words, in nats.
        distinct_4: different 4-grams ÷ all 4-grams.
        self_bleu: mean BLEU of a text against all others.
        verbatim: share of texts that stand in the training set word for word.
    """

    texts: int
    empty: int
    words: float
    perplexity: float
    entropy: float
    distinct_4: float
    self_bleu: float
    verbatim: float


@dataclass(frozen=True)
class FluencyReport:
    """Samples and real text by the same measures, and the ratios samples ÷ real text.

    `perplexity_ratio` carries a bootstrap interval over texts. `verbatim_ratio` is None where real text has no copies.
    `diversity_texts` is how many texts of each set entropy, distinct 4-grams and self-BLEU were measured on.
    """

    judge: str
    samples: TextFigures
    reference: TextFigures
    diversity_texts: int
    perplexity_ratio: Interval
    entropy_ratio: float
    distinct_4_ratio: float
    verbatim_ratio: float | None

    def to_dict(self) -> dict[str, Any]:
        """Nested plain values, ready for `json.dumps`."""
        return dataclasses.asdict(self)

    def to_markdown(self) -> str:
        """A table of the figures, one row a measure."""
        rows = ["| measure | samples | real text | ratio |", "|---|---|---|---|"]
        ratio = self.perplexity_ratio
        ratios = {
            "perplexity": f"{ratio.value:.3f} ({ratio.low:.3f} to {ratio.high:.3f})",
            "entropy": f"{self.entropy_ratio:.3f}",
            "distinct_4": f"{self.distinct_4_ratio:.3f}",
            "verbatim": "" if self.verbatim_ratio is None else f"{self.verbatim_ratio:.2f}",
        }
        for field in dataclasses.fields(TextFigures):
            left, right = getattr(self.samples, field.name), getattr(self.reference, field.name)
            rows.append(f"| {field.name} | {left:.4g} | {right:.4g} | {ratios.get(field.name, '')} |")
        return "\n".join(rows)


def fluency_report(
    samples: Sequence[str],
    reference_texts: Sequence[str],
    training_texts: Sequence[str],
    judge: CausalJudge,
    *,
    reference_scores: JudgeScores | None = None,
    seed: int = 0,
    progress: bool = False,
) -> FluencyReport:
    """Measure samples and held-out real text alike.

    Both lists are natural text (`detokenize` first if it is tokenised). Entropy, distinct 4-grams and self-BLEU depend
    on the number of texts, so the longer list is cut to the length of the shorter for them (drawn with `seed`).

    Args:
        samples: what a model wrote. Empty samples are counted, and left out of the other figures.
        reference_texts: held-out real text.
        training_texts: what the model was trained on, for the share of copies.
        judge: scores both.
        reference_scores: the judge's scores of `reference_texts`, if they are known from an earlier report.
        seed: of the cut and of the bootstrap.
        progress: show a progress bar.

    Raises:
        ValueError: fewer than two samples or references that are not empty, an empty reference text, or scores of
            another number of texts.
    """
    written = [text for text in samples if text.strip()]
    if len(written) < 2 or len(reference_texts) < 2:
        raise ValueError(
            f"a report needs two samples and two reference texts or more, got {len(samples)} samples "
            f"({len(written)} not empty) and {len(reference_texts)} reference texts"
        )
    if reference_scores is not None and len(reference_scores.nats) != len(reference_texts):
        raise ValueError(f"reference_scores holds {len(reference_scores.nats)} texts, not {len(reference_texts)}")
    sample_scores = judge.score(written, progress=progress)
    reference_scores = reference_scores or judge.score(reference_texts, progress=progress)
    size = min(len(written), len(reference_texts))
    known = list(training_texts)
    ours = _figures(samples, written, _cut(written, size, seed), sample_scores, known)
    real = _figures(reference_texts, reference_texts, _cut(reference_texts, size, seed), reference_scores, known)
    return FluencyReport(
        judge=judge.name,
        samples=ours,
        reference=real,
        diversity_texts=size,
        perplexity_ratio=bootstrap_interval(
            _perplexity_ratio, _pairs(sample_scores), _pairs(reference_scores), seed=seed
        ),
        entropy_ratio=ours.entropy / real.entropy,
        distinct_4_ratio=ours.distinct_4 / real.distinct_4,
        verbatim_ratio=ours.verbatim / real.verbatim if real.verbatim else None,
    )


def _figures(
    texts: Sequence[str], written: Sequence[str], cut: Sequence[str], scores: JudgeScores, known: list[str]
) -> TextFigures:
    return TextFigures(
        texts=len(texts),
        empty=len(texts) - len(written),
        words=sum(len(words(text)) for text in written) / len(written),
        perplexity=scores.perplexity,
        entropy=ngram_entropy(cut, 1),
        distinct_4=distinct_n(cut, 4),
        self_bleu=self_bleu(cut),
        verbatim=verbatim_share(written, known),
    )


def _cut(texts: Sequence[str], size: int, seed: int) -> Sequence[str]:
    return texts if len(texts) == size else random.Random(seed).sample(texts, size)


def _pairs(scores: JudgeScores) -> np.ndarray:
    """(texts, 2): nats and tokens of each text."""
    return np.stack([scores.nats, scores.tokens], axis=1)


def _perplexity_ratio(samples: np.ndarray, reference: np.ndarray) -> float:
    (nats, tokens), (real_nats, real_tokens) = samples.sum(0), reference.sum(0)
    return float(np.exp(nats / tokens - real_nats / real_tokens))
