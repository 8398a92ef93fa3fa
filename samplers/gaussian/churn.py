"""Stochastic churn: every step first goes back up a little, with fresh noise, and then down."""

from __future__ import annotations

import math

import torch
from diffusers.configuration_utils import register_to_config
from torch import Tensor

from diffusionlm.diffusion import alpha_sigma
from diffusionlm.samplers.gaussian.euler import euler_step
from diffusionlm.samplers.registry import SAMPLERS
from diffusionlm.samplers.sampler import GaussianSampler


def renoise(latents: Tensor, gamma: Tensor, higher_gamma: Tensor, noise: Tensor) -> Tensor:
    """Moves z from level ``gamma`` up to ``higher_gamma`` along the forward process; shapes as in `euler_step`."""
    alpha, _ = alpha_sigma(gamma)
    higher_alpha, higher_sigma = alpha_sigma(higher_gamma)
    added = higher_sigma * torch.sqrt(-torch.expm1(gamma - higher_gamma))
    return higher_alpha / alpha * latents + added * noise


@SAMPLERS.register("churn")
class ChurnSampler(GaussianSampler):
    """Algorithm 2 of Karras et al. 2022 ("Elucidating the Design Space of Diffusion-Based Generative Models"), Euler
    part.

    Their noise level t is sigma / alpha = exp(gamma / 2); raising it by a factor 1 + c raises gamma by 2 log(1 + c),
    with c = min(churn / N, sqrt(2) - 1). The loop is turned by half a step, for the network's evaluation lies between
    the way up and the way down: ``gammas`` holds the raised levels, and `step` goes down to the grid and up again to
    the next of them. The first level is not raised, for there is nothing above pure noise, nor is the last.

    Args:
        churn: total amount S_churn, at least 0; 1 to 10 are usual.
        gamma_low: no churn at levels below this one; None for no bound.
        gamma_high: no churn at levels above this one; None for no bound.
        noise_scale: factor S_noise of the fresh noise; 1 keeps the marginals.
    """

    order = 1
    noiseless = {"churn": 0.0}
    reference = "Karras et al. 2022, Elucidating the design space of diffusion-based generative models, algorithm 2"

    @register_to_config
    def __init__(
        self,
        *,
        churn: float = 2.5,
        gamma_low: float | None = None,
        gamma_high: float | None = None,
        noise_scale: float = 1.0,
    ) -> None:
        if not churn >= 0:
            raise ValueError(f"churn must be at least 0, got {churn}; 1 to 10 are usual, 0 is deterministic.")
        if not noise_scale > 0:
            raise ValueError(f"noise_scale must be positive, got {noise_scale}; 1 keeps the marginals.")
        if gamma_low is not None and gamma_high is not None and not gamma_low < gamma_high:
            raise ValueError(f"gamma_low must be below gamma_high, got {gamma_low} and {gamma_high}.")
        self._churn, self._noise_scale, self.stochastic = churn, noise_scale, churn > 0
        self._low = -math.inf if gamma_low is None else gamma_low
        self._high = math.inf if gamma_high is None else gamma_high

    def set_timesteps(self, num_inference_steps: int, device: torch.device | str | None = None) -> None:
        """Lays the grid and the raised levels; see `Sampler.set_timesteps`."""
        schedule = self._need_schedule()
        u = schedule.steps(num_inference_steps)
        self._targets = schedule.gamma(u)
        inside = (self._targets >= self._low) & (self._targets <= self._high)
        inside[0] = inside[-1] = False
        rise = 2 * math.log1p(min(self._churn / num_inference_steps, math.sqrt(2) - 1))
        raised = torch.where(inside, (self._targets + rise).clamp(max=schedule.gamma_max), self._targets)
        self._set_grid(u, raised, device)

    def advance(self, clean: Tensor, i: int, latents: Tensor, noise: Tensor | None) -> Tensor:
        """See class."""
        down = euler_step(clean, latents, self._levels[i], self._targets[i + 1])
        if noise is None or self._levels[i + 1] == self._targets[i + 1]:
            return down
        return renoise(down, self._targets[i + 1], self._levels[i + 1], self._noise_scale * noise)
