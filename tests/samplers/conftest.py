"""A data distribution on which everything is known: independent Gaussian numbers."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from diffusionlm.diffusion import NoiseSchedule, alpha_sigma


@dataclass(frozen=True)
class LinearSchedule(NoiseSchedule):
    """gamma linear in u: all steps are alike, so errors fall with N in pure powers."""

    def raw_gamma(self, u: Tensor) -> Tensor:
        return self.gamma_min + (self.gamma_max - self.gamma_min) * u


@dataclass(frozen=True)
class Gaussian:
    """x ~ N(mean, std²), hence z ~ N(alpha mean, alpha² std² + sigma²) at every level."""

    mean: float = 0.7
    std: float = 0.6

    def moments(self, gamma: Tensor) -> tuple[Tensor, Tensor]:
        alpha, sigma = alpha_sigma(gamma)
        return alpha * self.mean, alpha**2 * self.std**2 + sigma**2

    def denoise(self, z: Tensor, gamma: Tensor) -> Tensor:
        """E[x | z]."""
        mean, variance = self.moments(gamma)
        return self.mean + alpha_sigma(gamma)[0] * self.std**2 / variance * (z - mean)

    def flow(self, z: Tensor, gamma: Tensor, gamma_end: Tensor) -> Tensor:
        """Where the probability-flow equation takes z: it keeps the number of standard deviations from the mean."""
        (mean, variance), (end_mean, end_variance) = self.moments(gamma), self.moments(gamma_end)
        return end_mean + (z - mean) * (end_variance / variance).sqrt()


@pytest.fixture
def gaussian():
    return Gaussian()


@pytest.fixture
def linear():
    """Builds a schedule: linear(low, high)."""
    return LinearSchedule


@pytest.fixture
def walk(gaussian):
    """Runs a sampler on the Gaussian: walk(sampler, schedule, N, latents, generator=None) -> latents at the end."""

    def walk(sampler, schedule, num_steps, latents, generator=None, denoise=gaussian.denoise):
        sampler.set_schedule(schedule)
        sampler.set_timesteps(num_steps)
        for i in range(num_steps):
            noise = None
            if sampler.noise_per_step:
                noise = torch.randn(latents.shape, generator=generator, dtype=latents.dtype)
            latents = sampler.step(denoise(latents, sampler.gammas[i]), i, latents, noise)
        return latents

    return walk


@pytest.fixture
def start():
    """Latents (3, 4, 2) of pure noise in float64."""
    return torch.randn(3, 4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(11))
