"""The training loss: cross-entropy of the true tokens given noisy embeddings, with self-conditioning.

Sources: Dieleman et al. 2022 (CDCD, cross-entropy for continuous diffusion), Chen et al. 2022 ("Analog Bits",
self-conditioning).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Callable


class Denoise(Protocol):
    """A denoiser with its memory bound: noisy latents to logits."""

    def __call__(self, latents: Tensor, gamma: Tensor, clean_estimate: Tensor | None) -> Tensor:
        """(B, L, D), (B,), (B, L, D) or None -> logits (B, L, V)."""
        ...


def draw_progress(
    batch_size: int, generator: torch.Generator | None = None, device: torch.device | str = "cpu"
) -> Tensor:
    """Low-discrepancy draws of u, one for each of ``batch_size`` samples: each 1/B of [0, 1] gets one, in random order.

    After Kingma et al. 2021, appendix I.1; every draw is marginally uniform and the variance of the loss falls.
    """
    offset = torch.rand((), generator=generator, device=device)
    order = torch.randperm(batch_size, generator=generator, device=device)
    return (order + offset) / batch_size


def cross_entropy(logits: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
    """Mean cross-entropy of each sample over its true positions, nats per token.

    Args:
        logits: (B, L, V).
        tokens: (B, L) ids.
        mask: (B, L) bool, the positions that count.

    Returns:
        (B,); 0 for a sample without positions.
    """
    precise = logits.to(torch.promote_types(logits.dtype, torch.float32)).flatten(0, 1)
    nll = F.cross_entropy(precise, tokens.flatten(), reduction="none").view_as(tokens)
    return nll.masked_fill(~mask, 0.0).sum(-1) / mask.sum(-1).clamp(min=1)


def diffusion_loss(
    denoise: Denoise,
    latents: Tensor,
    gamma: Tensor,
    tokens: Tensor,
    mask: Tensor,
    clean_from_logits: Callable[[Tensor], Tensor] | None,
) -> Tensor:
    """Cross-entropy of each sample; with ``clean_from_logits`` a first, gradient-free pass feeds self-conditioning.

    Args:
        denoise: the network.
        latents: z (B, L, D) at noise level ``gamma`` (B,).
        gamma: (B,).
        tokens: true ids (B, L).
        mask: (B, L) bool, span positions that are in use.
        clean_from_logits: logits (B, L, V) -> clean estimate (B, L, D); None leaves self-conditioning out.

    Returns:
        (B,) nats per token.
    """
    estimate = None
    if clean_from_logits is not None:
        with torch.no_grad():
            estimate = clean_from_logits(denoise(latents, gamma, None)).detach()
    return cross_entropy(denoise(latents, gamma, estimate), tokens, mask)
