"""The variance-preserving Gaussian process over embeddings.

Notation: gamma = log(sigma² / alpha²) is the noise level (+large: pure noise, -large: clean), alpha² = sigmoid(-gamma),
sigma² = sigmoid(gamma), z = alpha e + sigma eps (Kingma et al. 2021, "Variational Diffusion Models", eq. 1).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def alpha_sigma(gamma: Tensor) -> tuple[Tensor, Tensor]:
    """Scales of signal and noise at noise level ``gamma``; any shape, alpha² + sigma² = 1."""
    return torch.sigmoid(-gamma).sqrt(), torch.sigmoid(gamma).sqrt()


def log_alpha_sigma(gamma: Tensor) -> tuple[Tensor, Tensor]:
    """log alpha and log sigma, exact where alpha or sigma underflows; any shape."""
    return 0.5 * F.logsigmoid(-gamma), 0.5 * F.logsigmoid(gamma)


def diffuse(clean: Tensor, noise: Tensor, gamma: Tensor) -> Tensor:
    """Noisy latents z = alpha e + sigma eps.

    Args:
        clean: embeddings e (B, L, D).
        noise: standard normal eps (B, L, D).
        gamma: noise level (B,) or scalar.

    Returns:
        z (B, L, D).
    """
    alpha, sigma = alpha_sigma(_per_sample(gamma, clean))
    return alpha * clean + sigma * noise


def noise_estimate(latents: Tensor, clean: Tensor, gamma: Tensor) -> Tensor:
    """The noise that ``latents`` hold if ``clean`` is right: eps = (z - alpha x) / sigma; shapes as in `diffuse`."""
    alpha, sigma = alpha_sigma(_per_sample(gamma, latents))
    return (latents - alpha * clean) / sigma


def token_log_likelihood(latents: Tensor, embeddings: Tensor, gamma: Tensor) -> Tensor:
    """log p(z | token v) up to a constant of v: (alpha / sigma²) <z, e_v>.

    Exact when all embeddings have one length, for then |z - alpha e_v|² differs between tokens by -2 alpha <z, e_v>
    only.

    Args:
        latents: z (B, L, D).
        embeddings: (V, D), every row of the same length.
        gamma: (B,) or scalar.

    Returns:
        (B, L, V).
    """
    log_alpha, log_sigma = log_alpha_sigma(_per_sample(gamma, latents))
    return (latents * torch.exp(log_alpha - 2 * log_sigma)) @ embeddings.t()


def _per_sample(gamma: Tensor, like: Tensor) -> Tensor:
    return gamma.reshape(gamma.shape + (1,) * (like.dim() - gamma.dim())) if gamma.dim() else gamma
