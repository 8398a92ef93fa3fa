"""Progressive distillation for posteriors: one deterministic step that leads where two steps of a teacher lead.

Source: Salimans and Ho 2022, "Progressive distillation for fast sampling of diffusion models", appendix G, in the form that the
clean estimate gives it. With s = alpha / sigma, Euler's step is z' / sigma' = z / sigma + (s' - s) x. Two of them, over the
levels t, m and r with the clean estimates x1 and x2, end where one ends with

    x = w x1 + (1 - w) x2,    w = (s_m - s_t) / (s_r - s_t),

and as the clean estimate is the mean embedding under the token posterior, that one step belongs to the posterior
w p1 + (1 - w) p2: what a student learns is a distribution over tokens, and guidance finds in it what it finds in its teacher's.
"""

from __future__ import annotations

import torch
from torch import Tensor

from diffusionlm.diffusion.posterior import LOWEST


def first_share(gamma: Tensor, middle: Tensor, end: Tensor) -> Tensor:
    """The weight w of the first of two Euler steps in the clean estimate of the one step that leads as far.

    Args:
        gamma: the level t where both begin, any shape, float64 advised.
        middle: the level m between them, below ``gamma``; same shape.
        end: the level r where both end, below ``middle``; same shape.

    Returns:
        w in [0, 1], same shape.
    """
    # s_t is taken out of both differences: expm1 keeps what they have in common from cancelling
    return torch.expm1((gamma - middle) / 2) / torch.expm1((gamma - end) / 2)


def two_step_posterior(first: Tensor, second: Tensor, share: Tensor) -> Tensor:
    """The posterior whose one step leads where two steps with the posteriors ``first`` and ``second`` lead.

    Args:
        first: log-probabilities p1 (B, L, V), normalised.
        second: log-probabilities p2 (B, L, V), normalised.
        share: w (B,), from `first_share`.

    Returns:
        Probabilities (B, L, V).
    """
    return torch.lerp(second.exp(), first.exp(), share.to(first.dtype)[:, None, None])


def divergence(target: Tensor, logits: Tensor, mask: Tensor) -> Tensor:
    """Mean KL divergence of a student from its target, over the true positions of each sample.

    Args:
        target: probabilities (B, L, V).
        logits: of the student (B, L, V).
        mask: (B, L) bool, the positions that count.

    Returns:
        (B,) nats per token, 0 where the student says what the target says; 0 for a sample without positions.
    """
    precise = logits.to(torch.promote_types(logits.dtype, torch.float32))
    own = precise.log_softmax(-1).clamp_min(LOWEST)
    apart = (torch.xlogy(target, target) - target * own).sum(-1)
    return apart.masked_fill(~mask, 0.0).sum(-1) / mask.sum(-1).clamp(min=1)
