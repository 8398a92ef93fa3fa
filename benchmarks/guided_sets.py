"""Texts that each follow a rule of their own, beside unguided ones: success, perplexity, faults and time.

Every request has its own rule and its own seed; the unguided text of the same seed is written in turn with it, so that a busy
machine slows both alike. Success is judged by a plain function of the request, which knows nothing of the plugin.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from diffusionlm import DiffusionLMPipeline
from diffusionlm.evaluation.diversity import Interval, bootstrap_interval
from diffusionlm.evaluation.quality import Limits, text_quality
from diffusionlm.evaluation.sample_sets import percent, ratio
from diffusionlm.evaluation.seen_text import SeenText
from diffusionlm.guidance import UnsatisfiableConstraint

CELLS = (
    "success",
    "perplexity ÷ unguided",
    "perplexity ÷ real",
    "faulty texts: guided, unguided, real",
    "time ÷ unguided, rule new",
    "rule compiled",
)


@dataclass(frozen=True)
class Request:
    """What is asked of one text.

    Attributes:
        said: the rule in words.
        guidance: the plugin that asks for it.
        holds: whether a text does it.
        real: a held-out text that does it.
        read: the part of a text that is language (faults are sought there).
    """

    said: str
    guidance: Any
    holds: Callable[[str], bool]
    real: str
    read: Callable[[str], str] = field(default=lambda text: text)


@dataclass(frozen=True)
class Pair:
    """A guided text and the unguided one of its seed, with processor seconds; ``again`` is the guided call a second time."""

    request: Request
    guided: str
    unguided: str
    seconds: float
    again: float
    unguided_seconds: float


@dataclass(frozen=True)
class Written:
    """Pairs of texts, and the requests that were refused because no text that does it fits the canvas."""

    pairs: list[Pair]
    refused: list[Request]


def write_pairs(
    pipe: DiffusionLMPipeline,
    requests: Sequence[Request],
    seed: int,
    progress: Callable[[Sequence[Request]], Any] = iter,
    **settings: Any,
) -> Written:
    """A guided and an unguided text for each request, of one seed each; ``settings`` are of both calls."""
    pairs, refused = [], []
    pipe(seed=seed, **settings)
    for number, request in enumerate(progress(requests)):
        own = {"seed": seed + number, **settings}
        try:
            guided, seconds = _timed(pipe, guidance=request.guidance, **own)
        except UnsatisfiableConstraint:
            refused.append(request)
            continue
        unguided, plain = _timed(pipe, **own)
        again = _timed(pipe, guidance=request.guidance, **own)[1]
        pairs.append(Pair(request, guided, unguided, seconds, again, plain))
    return Written(pairs, refused)


def figures_of(
    written: Written,
    score: Callable[[Sequence[str]], np.ndarray],
    seen: SeenText,
    limits: Limits,
    seed: int = 0,
) -> dict[str, Any]:
    """Measures of a set of pairs.

    Args:
        written: the pairs.
        score: nats, tokens, and nats of the least likely token of texts, (texts, 3).
        seen: training text.
        limits: of real texts under the judge.
        seed: of the bootstrap.

    Raises:
        ValueError: there is no pair.
    """
    pairs = written.pairs
    if not pairs:
        raise ValueError(
            f"None of {len(written.refused)} requests fits the canvas: give another --model or other rules."
        )
    held = [pair.request.holds(pair.guided) for pair in pairs]
    kept = [pair for pair in pairs if pair.guided and pair.unguided]
    sides = [score(texts)[:, :2] for texts in zip(*((p.guided, p.unguided, p.request.real) for p in kept), strict=True)]
    prose = {
        "guided": [pair.request.read(pair.guided) if ok else pair.guided for pair, ok in zip(pairs, held, strict=True)],
        "unguided": [pair.unguided for pair in pairs],
        "real": [pair.request.read(pair.request.real) for pair in pairs],
    }
    plain = sum(pair.unguided_seconds for pair in pairs)
    return {
        "texts": len(pairs),
        "refused": [request.said for request in written.refused],
        "success": bootstrap_interval(lambda own: float(own.mean()), np.array(held, dtype=float), seed=seed),
        "success_unguided": float(np.mean([pair.request.holds(pair.unguided) for pair in pairs])),
        "perplexity_ratio": _ratio(sides[0], sides[1], seed),
        "perplexity_ratio_to_real": _ratio(sides[0], sides[2], seed),
        "faulty": {
            side: float(text_quality(texts, seen, scores=score(texts), limits=limits).faulty.mean())
            for side, texts in prose.items()
        },
        "time_ratio": sum(pair.seconds for pair in pairs) / plain,
        "time_ratio_compiled": sum(pair.again for pair in pairs) / plain,
        "seconds_unguided": plain / len(pairs),
        "failures": [
            {"asked": pair.request.said, "text": pair.guided} for pair, ok in zip(pairs, held, strict=True) if not ok
        ],
        "examples": [{"asked": pair.request.said, "text": pair.guided} for pair in pairs[:5]],
    }


def cells(figures: Mapping[str, Any]) -> list[str]:
    """Cells of a table, in the order of `CELLS`."""
    faulty = figures["faulty"]
    return [
        percent(figures["success"]),
        ratio(figures["perplexity_ratio"]),
        ratio(figures["perplexity_ratio_to_real"]),
        ", ".join(f"{faulty[side]:.2f}" for side in ("guided", "unguided", "real")),
        f"{figures['time_ratio']:.2f}",
        f"{figures['time_ratio_compiled']:.2f}",
    ]


def _timed(pipe: DiffusionLMPipeline, **settings: Any) -> tuple[str, float]:
    began = time.process_time()
    text = pipe(**settings).texts[0]
    return " ".join(text.split()), time.process_time() - began


def _ratio(ours: np.ndarray, theirs: np.ndarray, seed: int) -> Interval:
    """Perplexity ÷ perplexity, from nats and tokens (pairs, 2), with an interval over pairs."""

    def quotient(rows: np.ndarray) -> float:
        nats, tokens, other_nats, other_tokens = rows.sum(0)
        return float(np.exp(nats / tokens - other_nats / other_tokens))

    return bootstrap_interval(quotient, np.concatenate([ours, theirs], axis=1), seed=seed)
