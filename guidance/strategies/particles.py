"""Particles: several candidates for each sample, weighted by exp(-w E) and resampled; needs no gradient.

Feynman-Kac steering (Singhal et al., "A general framework for inference-time scaling and steering of diffusion models",
2025) with the difference potential G_t = exp(-(w_t E_t - w_{t-1} E_{t-1})), whose product telescopes to exp(-w E) of the
finished text; systematic resampling where the effective sample size falls below a threshold. Candidates only drift apart
again after a resampling if the sampler is stochastic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import Tensor

from diffusionlm.guidance.engine.calls import energy_of
from diffusionlm.guidance.strategies.strategy import STRATEGIES, Strategy, check_count

if TYPE_CHECKING:
    from diffusionlm.guidance.engine.session import GuidanceSession
    from diffusionlm.guidance.engine.step import Step
    from diffusionlm.guidance.guidance import Guidance

_STREAM = 0xFEED  # keeps these draws apart from the pipeline's noise, which has the same seed


@STRATEGIES.register("particles")
@dataclass(frozen=True)
class Particles(Strategy):
    """Several candidates for each sample, weighted and resampled; see `diffusionlm.guidance.strategies.particles`.

    Args:
        count: candidates for each sample.
        threshold: candidates are resampled when the effective sample size falls below this share of ``count``.
        every: denoising steps between two scorings, for scorers that are slow.
    """

    order: ClassVar[int] = 90
    needs_gradient: ClassVar[bool] = False
    reference: ClassVar[str] = (
        "Singhal et al. 2025, A general framework for inference-time scaling and steering of diffusion models"
    )
    count: int = 4
    threshold: float = 0.5
    every: int = 1

    def __post_init__(self) -> None:
        check_count("Particles", "count", self.count)
        check_count("Particles", "every", self.every)
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"Particles.threshold must lie in [0, 1], got {self.threshold!r}.")

    @classmethod
    def act(cls, session: GuidanceSession, step: Step, plugins: Sequence[tuple[str, Guidance]]) -> None:
        """Weighs the candidates by all energies together, and resamples where the weights have become uneven."""
        particles = session.particles
        assert particles is not None
        state = session.state_maker(step)(step.log_probs.exp())
        weigh = session.weigher(step, plugins)
        for k, (name, plugin) in enumerate(plugins):
            how = plugin.how
            assert isinstance(how, Particles)
            if step.index % how.every and step.index + 1 < session.num_steps and name in particles.potentials:
                continue
            energy = energy_of(plugin, state)
            weight = weigh(k, energy)
            particles.potentials[name] = -weight * energy
            session.record(step, name, plugin, energy, weight, torch.zeros_like(energy))
        step.rows = particles.update(torch.stack(list(particles.potentials.values())).sum(0))


class ParticleFilter:
    """Weights of the candidates of a batch; rows of one sample are consecutive.

    Args:
        count: K, candidates for each sample.
        threshold: share of K below which the effective sample size triggers a resampling.
        seeds: of each row; the first of a sample's rows counts.
        device: of the weights.

    Attributes:
        log_weights: of each row (B,).
        potentials: -w E of each plugin at its last scoring (B,), by name.
        ess: effective sample size of each sample at the last update, repeated for its rows (B,).
    """

    def __init__(self, count: int, threshold: float, seeds: Sequence[int], device: torch.device) -> None:
        self.count, self.threshold = count, threshold
        self.log_weights = torch.zeros(len(seeds), device=device)
        self.potential = torch.zeros(len(seeds), device=device)
        self.ess = torch.full((len(seeds),), float(count), device=device)
        self.potentials: dict[str, Tensor] = {}
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
        self.potentials = {name: value[rows] for name, value in self.potentials.items()}
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
