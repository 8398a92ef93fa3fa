"""Fluency of finished texts as the model itself sees them: broken ones show, whatever goal they reach.

A text is noised again to the middle of the way and the model asked, unguided, for its tokens. Where the text is the model's
own, minus the log-probability of a token is on average the entropy of the posterior that it came from; words that guidance
forced, or broke, are less probable than that. Fluency is the perplexity that the model expects ÷ that of the text:
exp(mean of entropies - mean of surprisals), and near 0 for broken texts.

It is 1 on average over texts drawn from the posterior at temperature 1; below that, texts are surer than the posterior, and it
is higher (1.3 in the median of `restaurant`). It scatters by a factor of two to either side, because two looks at some twenty
tokens are few, and as a mean over the text it hardly shows one odd word: `benchmarks/bench_fluency_floor.py`.
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from diffusionlm.diffusion import NoisyTokens
from diffusionlm.diffusion.posterior import LOWEST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from diffusionlm.diffusion import NoiseSchedule
    from diffusionlm.generation.canvas_batch import CanvasBatch, TokenPosterior
    from diffusionlm.generation.results import Sample
    from diffusionlm.guidance.engine.trace import GoalReport

NAME = "fluency"  # of the floor among goals
ATTEMPTS = 3  # how often a text below the floor is written
MIDDLE = 0.5  # of the way: the words around a token are mostly known there, the token itself is not
LOOKS = 2  # times that a text is noised


def check_fluency(value: Any) -> float:
    """A floor as Python's own number.

    Raises:
        ValueError: if it is no number in [0, 1].
    """
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not (number and 0 <= value <= 1):
        raise ValueError(
            f"fluency must be a number from 0 to 1, got {value!r}; 0.8 has guided texts written again that are less fluent "
            "than most of the model's own, 0 only measures."
        )
    return float(value)


@torch.no_grad()
def fluency_of(ids: Tensor, batch: CanvasBatch, ask: TokenPosterior, schedule: NoiseSchedule) -> list[float]:
    """Fluency of finished texts (B,).

    Args:
        ids: tokens (B, L).
        batch: their rows; noise comes from its random numbers.
        ask: the model.
        schedule: of the noise.
    """
    mask = batch.places.span_mask
    plain = copy.copy(ask)
    plain.temperature = 1.0
    gamma = schedule.gamma(torch.tensor(MIDDLE, dtype=torch.float64)).to(batch.device, torch.float32)
    gap = torch.zeros(ids.shape, dtype=torch.float64, device=ids.device)
    count = torch.zeros_like(gap)
    for _ in range(LOOKS):
        noisy = batch.model.corrupt(ids, mask, gamma.expand(len(ids)), batch.draws)
        log_probs = plain(noisy, gamma, None)
        floored = log_probs.clamp_min(LOWEST)
        entropy = -(floored.exp() * floored).sum(-1)
        own = floored.gather(-1, ids[..., None])[..., 0]
        hidden = noisy.undecided if isinstance(noisy, NoisyTokens) else mask  # of decided tokens it has nothing to say
        gap += ((entropy + own) * hidden).double()
        count += hidden
    closed = batch.places.open_mask & (ids == batch.tokenizer.pad_id)  # behind the end of a text nothing can be broken
    kept = (count > 0) & ~closed
    mean = (gap / count.clamp_min(1) * kept).sum(-1) / kept.sum(-1).clamp_min(1)
    return [math.exp(value) for value in mean.clamp(-50.0, 50.0).tolist()]


def below_floor(samples: Sequence[Sample], floor: float | None) -> list[GoalReport]:
    """Reports of the samples that are less fluent than the floor, as of goals that were not reached."""
    from diffusionlm.guidance.engine.trace import GoalReport

    found = []
    for number, sample in enumerate(samples):
        if floor and sample.fluency is not None and sample.fluency < floor:
            short = shortfall(sample.fluency, floor)
            found.append(GoalReport(NAME, number, f"{NAME} above {floor:g}", sample.fluency, False, short))
    return found


def shortfall(value: float, floor: float) -> float:
    """How far a fluency is below the floor, relative to it."""
    return (floor - value) / floor
