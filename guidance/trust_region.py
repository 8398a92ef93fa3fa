"""The trust region: how far guidance may move the token posterior, in nats of KL per position and step.

For a tilt t the guided posterior is q_s = softmax(log p + base + s t). The largest factor s in (0, 1] is sought for which
the mean over a sample's span positions of KL(q_s || p) stays within the budget.
"""

from __future__ import annotations

import torch
from torch import Tensor

TOLERANCE = 0.02  # share of the budget that may go unused
MAX_EVALUATIONS = 20
LOWEST = -80.0  # nats; what is below counts as this: nothing in a sum, while exp is slow on infinities and denormals


def tilted(log_p: Tensor, tilt: Tensor) -> Tensor:
    """log softmax(log p + tilt), -inf where p is zero: (B, L, V)."""
    return (log_p + tilt).log_softmax(-1)


def mean_kl(log_p: Tensor, tilt: Tensor, mask: Tensor) -> Tensor:
    """Mean over span positions of KL(q || p), q = softmax(log p + tilt): (B, L, V), (B, L) -> (B,), in nats.

    Uses log q - log p = tilt - log Z, so tokens of probability zero never meet an infinity.
    """
    shifted = log_p + tilt
    log_z = shifted.logsumexp(-1)
    q = (shifted - log_z[..., None]).exp_()
    kl = ((q * tilt).sum(-1) - log_z).clamp_min(0.0) * mask
    return kl.sum(-1) / mask.sum(-1).clamp_min(1)


def divergence(log_q: Tensor, log_p: Tensor, mask: Tensor) -> Tensor:
    """Mean over span positions of KL(q || p): (B, L, V), (B, L, V), (B, L) -> (B,), in nats."""
    floored = log_q.clamp_min(LOWEST)
    ratio = floored - log_p.clamp_min(LOWEST)
    return (torch.linalg.vecdot(floored.exp(), ratio) * mask).sum(-1) / mask.sum(-1).clamp_min(1)


def mean_entropy(log_q: Tensor, mask: Tensor) -> Tensor:
    """Mean over span positions of the entropy of q: (B, L, V), (B, L) -> (B,), in nats."""
    floored = log_q.clamp_min(LOWEST)
    return -(torch.linalg.vecdot(floored.exp(), floored) * mask).sum(-1) / mask.sum(-1).clamp_min(1)


def largest_step(log_p: Tensor, tilt: Tensor, budget: Tensor, mask: Tensor, base: Tensor | None = None) -> Tensor:
    """The largest factor (B,) in [0, 1] on ``tilt`` that keeps the mean KL from p within the budget.

    Args:
        log_p: log posterior (B, L, V), -inf at forbidden tokens, where the tilts must be 0.
        tilt: (B, L, V).
        budget: (B,), nats per position.
        mask: (B, L) span positions.
        base: a tilt (B, L, V) that is applied already and lies within the budget.

    Returns:
        1 where the whole tilt fits; else a factor that uses at least 98 % of the budget and never more than all of it.
    """

    def cost(rows: Tensor, factor: Tensor) -> Tensor:
        part = tilt[rows] * factor[:, None, None]
        return mean_kl(log_p[rows], part if base is None else part + base[rows], mask[rows])

    step = torch.ones_like(budget)
    rows = torch.arange(len(budget), device=budget.device)
    high_cost = cost(rows, step)
    rows = rows[high_cost > budget]
    if not len(rows):
        return step
    limit, high_cost = budget[rows], high_cost[rows]
    low, high = torch.zeros_like(limit), torch.ones_like(limit)
    low_cost = torch.zeros_like(limit) if base is None else cost(rows, low)
    for i in range(MAX_EVALUATIONS):
        # KL grows about as the square of the factor: false position on its root, every third time a plain bisection
        a, b = (x.clamp_min(0).sqrt() for x in (low_cost, high_cost))
        share = ((0.995 * limit).sqrt() - a) / (b - a).clamp_min(1e-12)
        middle = low + (high - low) * (torch.full_like(share, 0.5) if i % 3 == 2 else share.clamp(0.02, 0.98))
        value = cost(rows, middle)
        fits = value <= limit
        low, low_cost = torch.where(fits, middle, low), torch.where(fits, value, low_cost)
        high, high_cost = torch.where(fits, high, middle), torch.where(fits, high_cost, value)
        if bool(((low_cost >= (1 - TOLERANCE) * limit) | (limit <= 0)).all()):
            break
    step[rows] = torch.where(limit > 0, low, 0.0).to(step.dtype)  # rounding may show small steps as free
    return step
