"""DPM-Solver++ (2M): second order from one evaluation a step, by extrapolating the clean estimate."""

from __future__ import annotations

import torch
from diffusers.configuration_utils import register_to_config
from torch import Tensor

from diffusionlm.samplers.gaussian.euler import euler_step
from diffusionlm.samplers.registry import SAMPLERS
from diffusionlm.samplers.sampler import GaussianSampler

# A step longer than this many times the one before is taken at first order: the line through two estimates would be
# followed further than it was measured. Clipped ends of a schedule, where a step has no length at all, are the case
# that matters.
LONGEST_EXTRAPOLATION = 4.0


@SAMPLERS.register("dpm++2m")
class DPMSolver2MSampler(GaussianSampler):
    """Lu et al. 2022, "DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic Models", algorithm 2.

    In lambda = -gamma / 2, with h the length of this step, h_0 that of the one before, r = h_0 / h:
    D = x + (x - x_0) / (2 r), where x_0 is the clean estimate of the step before, and then Euler's step with D for x.
    The first step, the last one, and a step much longer than the one before are Euler's, which leaves the order at 2.
    So is a step that does not follow the one taken last.
    """

    order = 2
    reference = (
        "Lu et al. 2022, DPM-Solver++: fast solver for guided sampling of diffusion probabilistic models, algorithm 2"
    )

    @register_to_config
    def __init__(self) -> None:
        self._previous: tuple[int, Tensor] | None = None

    def set_timesteps(self, num_inference_steps: int, device: torch.device | str | None = None) -> None:
        """Lays the grid and forgets the history; see `Sampler.set_timesteps`."""
        super().set_timesteps(num_inference_steps, device)
        self._previous = None

    def advance(self, clean: Tensor, i: int, latents: Tensor, noise: Tensor | None) -> Tensor:
        """See class."""
        gamma, next_gamma = self._levels[i], self._levels[i + 1]
        estimate = clean
        if self._previous is not None and self._previous[0] == i - 1 and i + 1 < self.num_steps:
            length, length_before = gamma - next_gamma, self._levels[i - 1] - gamma
            if length <= LONGEST_EXTRAPOLATION * length_before and length_before > 0:
                if self._previous[1].shape != clean.shape:
                    before, now = tuple(self._previous[1].shape), tuple(clean.shape)
                    raise ValueError(
                        f"The batch changed from {before} to {now} between two steps; "
                        "call select(rows) when latents are resampled, set_timesteps when a new batch begins."
                    )
                estimate = clean + length / (2 * length_before) * (clean - self._previous[1])
        self._previous = (i, clean)
        return euler_step(estimate, latents, gamma, next_gamma)

    def select(self, rows: Tensor) -> None:
        """See `Sampler.select`."""
        if self._previous is not None:
            i, clean = self._previous
            self._previous = (i, clean.index_select(0, rows.to(clean.device)))
