"""The masked process: hidden tokens, the training loss and the bound on the log-likelihood.

A token is hidden with probability t = sigmoid(gamma). Source: Sahoo et al. 2024, "Simple and effective masked diffusion
language models", eq. 10, with alpha_t = 1 - t: -log p(x) <= E_t (1/t) sum over hidden positions of -log p(x_i | what is seen).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Sequence

LEAST_SHARE = 1e-3  # of hidden tokens: below it a single token's loss would weigh more than a thousand others


class HiddenLogits(Protocol):
    """A denoiser seen from the bound: hidden positions to logits."""

    def __call__(self, hidden: Tensor, gamma: Tensor) -> Tensor:
        """(B, L) bool, (B,) -> logits (B, L, V)."""
        ...


def hide(noise: Tensor, gamma: Tensor, mask: Tensor) -> Tensor:
    """Hidden positions (B, L) bool: those in use whose standard normal noise (B, L) lies in its lowest share sigmoid(gamma).

    Noise that a Gaussian process would use thus serves both, and the same seed hides the same tokens.

    Args:
        noise: (B, L).
        gamma: (B,).
        mask: (B, L) bool, positions in use.
    """
    return mask & (torch.special.ndtr(noise) < torch.sigmoid(gamma)[:, None])


def masked_cross_entropy(logits: Tensor, tokens: Tensor, hidden: Tensor, mask: Tensor, gamma: Tensor) -> Tensor:
    """The bound of each sample at its noise level, nats per token (B,): cross-entropy of hidden tokens over their share.

    Args:
        logits: (B, L, V).
        tokens: (B, L) ids.
        hidden: (B, L) bool.
        mask: (B, L) bool, positions that count.
        gamma: (B,).
    """
    precise = logits.to(torch.promote_types(logits.dtype, torch.float32)).flatten(0, 1)
    nll = F.cross_entropy(precise, tokens.flatten(), reduction="none").view_as(tokens)
    share = torch.sigmoid(gamma).clamp_min(LEAST_SHARE)
    return nll.masked_fill(~hidden, 0.0).sum(-1) / (share * mask.sum(-1).clamp(min=1))


@torch.no_grad()
def masked_bound(
    logits_of: HiddenLogits, tokens: Tensor, mask: Tensor, num_levels: int, generators: Sequence[torch.Generator]
) -> Tensor:
    """Monte Carlo estimate of the bound of each sample, nats (B,), with one draw of t in each of ``num_levels`` equal cells.

    Args:
        logits_of: the denoiser.
        tokens: (B, L) ids.
        mask: (B, L) bool, positions that count.
        num_levels: draws of t.
        generators: of each row.

    Raises:
        ValueError: if ``num_levels`` is below 1.
    """
    if num_levels < 1:
        raise ValueError(f"num_levels must be at least 1, got {num_levels}; 32 is usual.")
    total = torch.zeros(len(tokens), dtype=torch.float64, device=tokens.device)
    for cell in range(num_levels):
        draws = torch.stack([torch.rand(tokens.shape[1] + 1, generator=own) for own in generators]).to(tokens.device)
        share = ((cell + draws[:, 0]) / num_levels).clamp(LEAST_SHARE, 1 - 1e-6)
        hidden = mask & (draws[:, 1:] < share[:, None])
        gamma = torch.logit(share)
        nats = masked_cross_entropy(logits_of(hidden, gamma), tokens, hidden, mask, gamma)
        total += nats.double() * mask.sum(-1) / num_levels
    return total
