"""Euler's method on the probability-flow equation, which is DDIM without noise."""

from __future__ import annotations

import torch
from diffusers.configuration_utils import register_to_config
from torch import Tensor

from diffusionlm.diffusion import alpha_sigma
from diffusionlm.samplers.registry import SAMPLERS
from diffusionlm.samplers.sampler import GaussianSampler


def euler_step(clean: Tensor, latents: Tensor, gamma: Tensor, next_gamma: Tensor) -> Tensor:
    """z' = alpha' x + sigma' eps with eps = (z - alpha x) / sigma, written without that difference of near-equal
    numbers.

    Args:
        clean: x (B, L, D).
        latents: z (B, L, D).
        gamma: scalar, the level of z.
        next_gamma: scalar, the level of z'.

    Returns:
        z' (B, L, D).
    """
    _, sigma = alpha_sigma(gamma)
    next_alpha, next_sigma = alpha_sigma(next_gamma)
    return next_sigma / sigma * latents - next_alpha * torch.expm1((next_gamma - gamma) / 2) * clean


@SAMPLERS.register("euler")
class EulerSampler(GaussianSampler):
    """Deterministic, first order: DDIM with eta = 0.

    Source: Song et al. 2021, "Denoising Diffusion Implicit Models", eq. 12.
    """

    order = 1
    reference = "Song et al. 2021, Denoising diffusion implicit models, eq. 12"

    @register_to_config
    def __init__(self) -> None:
        pass

    def advance(self, clean: Tensor, i: int, latents: Tensor, noise: Tensor | None) -> Tensor:
        """See class."""
        return euler_step(clean, latents, self._levels[i], self._levels[i + 1])
