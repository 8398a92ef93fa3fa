"""Particles: several candidates for each sample, weighted by exp(-w E) and resampled; needs no gradient.

Feynman-Kac steering (Singhal et al., "A general framework for inference-time scaling and steering of diffusion models",
2025) with the difference potential G_t = exp(-(w_t E_t - w_{t-1} E_{t-1})), whose product telescopes to exp(-w E) of the
finished text; systematic resampling where the effective sample size falls below a threshold. Candidates only drift apart
again after a resampling if the sampler is stochastic.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

_STREAM = 0xFEED  # keeps these draws apart from the pipeline's noise, which has the same seed


class ParticleFilter:
    """Weights of the candidates of a batch; rows of one sample are consecutive.

    Args:
        count: K, candidates for each sample.
        threshold: share of K below which the effective sample size triggers a resampling.
        seeds: of each row; the first of a sample's rows counts.
        device: of the weights.

    Attributes:
        log_weights: of each row (B,).
        ess: effective sample size of each sample at the last update, repeated for its rows (B,).
    """

    def __init__(self, count: int, threshold: float, seeds: Sequence[int], device: torch.device) -> None:
        self.count, self.threshold = count, threshold
        self.log_weights = torch.zeros(len(seeds), device=device)
        self.potential = torch.zeros(len(seeds), device=device)
        self.ess = torch.full((len(seeds),), float(count), device=device)
        self._draws = [np.random.default_rng((seed, _STREAM)) for seed in seeds[::count]]

    def update(self, potential: Tensor) -> Tensor | None:
        """Takes -w E (B,) of this step.

        Returns:
            The rows (B,) that go on in the place of each row, or None if none was resampled.
        """
        self.log_weights = self.log_weights + potential - self.potential
        self.potential = potential
        weights = self.log_weights.view(-1, self.count).softmax(-1)
        ess = 1.0 / weights.square().sum(-1)
        self.ess = ess.repeat_interleave(self.count)
        rows = torch.arange(len(potential), device=potential.device)
        poor = torch.nonzero(ess < self.threshold * self.count).flatten().tolist()
        if self.count == 1 or not poor:
            return None
        for sample in poor:
            chosen = systematic(weights[sample].double().cpu().numpy(), self._draws[sample].random())
            first = sample * self.count
            rows[first : first + self.count] = first + torch.from_numpy(chosen).to(rows.device)
            self.log_weights[first : first + self.count] = 0.0
        self.potential = self.potential[rows]
        return rows


def systematic(weights: np.ndarray, draw: float) -> np.ndarray:
    """Systematic resampling (Kitagawa 1996): K indices, each index about K times its weight often.

    Args:
        weights: (K,), summing to 1.
        draw: one number in [0, 1).
    """
    count = len(weights)
    cumulative = np.cumsum(weights)
    cumulative[-1] = 1.0
    return np.searchsorted(cumulative, (draw + np.arange(count)) / count, side="right").clip(max=count - 1)
