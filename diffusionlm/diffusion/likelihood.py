"""An upper bound on -log p(x), in nats per token.

bound = cross-entropy at the last noise level                      (reconstruction)
      + 1/2 ∫ exp(-gamma) |e(x) - xhat|² dgamma                    (diffusion)
      + KL(q(z at gamma_max) | N(0, I)) = -D/2 log sigma²_max      (prior; for |e|² = D)

Source: Kingma et al. 2021, "Variational Diffusion Models", eq. 11 and 17. The integral is a stratified Monte Carlo
estimate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from diffusionlm.diffusion.objective import cross_entropy
from diffusionlm.diffusion.process import diffuse

if TYPE_CHECKING:
    from diffusionlm.diffusion.schedule import NoiseSchedule


class CleanEstimate(Protocol):
    """A denoiser seen from the bound: noisy latents to logits and clean estimate."""

    def __call__(self, latents: Tensor, gamma: Tensor) -> tuple[Tensor, Tensor]:
        """(B, L, D), (B,) -> logits (B, L, V), clean estimate (B, L, D)."""
        ...


@dataclass(frozen=True)
class LikelihoodBound:
    """The three parts for each sample, summed over its positions, in nats.

    Attributes:
        reconstruction: (B,).
        diffusion: (B,).
        prior: (B,).
        tokens: (B,) the number of positions that count.
    """

    reconstruction: Tensor
    diffusion: Tensor
    prior: Tensor
    tokens: Tensor

    @property
    def total(self) -> Tensor:
        """Nats of each sample, (B,)."""
        return self.reconstruction + self.diffusion + self.prior

    @property
    def per_token(self) -> float:
        """Nats per token over all samples."""
        return float(self.total.sum() / self.tokens.sum())


@torch.no_grad()
def likelihood_bound(
    denoise: CleanEstimate,
    clean: Tensor,
    tokens: Tensor,
    mask: Tensor,
    schedule: NoiseSchedule,
    num_levels: int = 32,
    generator: torch.Generator | None = None,
) -> LikelihoodBound:
    """Monte Carlo estimate of the bound.

    The integral is cut into ``num_levels`` cells with one uniform draw of gamma in each. Half of the edges are the
    schedule's, between which the integrand is nearly flat; the other half are equally far apart in gamma, for the
    schedule's first cell alone is many nats wide, and a single draw in it would decide the variance of the whole.

    Args:
        denoise: see `CleanEstimate`; may run twice for self-conditioning.
        clean: e(x) (B, L, D) with rows of length sqrt(D).
        tokens: true ids (B, L).
        mask: (B, L) bool, the positions that count.
        schedule: gives the range of gamma and where to spend the draws.
        num_levels: noise levels drawn for each sample, fewer where the schedule's clipped ends make cells empty.
        generator: of the noise.

    Returns:
        The parts of the bound.

    Raises:
        ValueError: if ``num_levels`` is below 1.
    """
    if num_levels < 1:
        raise ValueError(f"num_levels must be at least 1, got {num_levels}; 32 is usual.")
    batch, dim = clean.shape[0], clean.shape[-1]
    device = clean.device
    counts = mask.sum(-1)

    def draw(shape: tuple[int, ...]) -> Tensor:
        where = generator.device if generator is not None else device
        return torch.randn(shape, generator=generator, device=where, dtype=clean.dtype).to(device)

    share = max(1, num_levels // 2)
    quantiles = schedule.gamma(torch.linspace(0, 1, share + 1, dtype=torch.float64))
    ends = float(quantiles[0]), float(quantiles[-1])
    even = torch.linspace(*ends, num_levels - share + 2, dtype=torch.float64)[1:-1]
    edges = torch.cat([quantiles, even]).sort().values
    diffusion = torch.zeros(batch, dtype=torch.float64, device=device)
    where = generator.device if generator is not None else device
    for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        if high <= low:
            continue
        gamma = low + (high - low) * torch.rand(batch, generator=generator, device=where).to(device)
        z = diffuse(clean, draw(clean.shape), gamma.to(clean.dtype))
        _, estimate = denoise(z, gamma.to(clean.dtype))
        error = ((clean - estimate).double().square().sum(-1) * mask).sum(-1)
        diffusion += 0.5 * (high - low) * torch.exp(-gamma.double()) * error
    lowest = torch.full((batch,), float(edges[0]), dtype=clean.dtype, device=device)
    logits, _ = denoise(diffuse(clean, draw(clean.shape), lowest), lowest)
    reconstruction = cross_entropy(logits, tokens, mask).double() * counts
    log_sigma2 = torch.nn.functional.logsigmoid(edges[-1])
    prior = counts.double() * float(-0.5 * dim * log_sigma2)
    return LikelihoodBound(reconstruction, diffusion, prior, counts)
