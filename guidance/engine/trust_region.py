"""The trust region: how far guidance may move the token posterior, in nats of KL per position and step.

For a tilt t the guided posterior is q_s = softmax(log p + base + s t). The largest factor s in (0, 1] is sought for which
the mean over a sample's span positions of KL(q_s || p) stays within the budget.
"""

from __future__ import annotations

import torch
from torch import Tensor

TOLERANCE = 0.1  # share of the budget that may go unused: each further evaluation costs a pass over (B, L, V)
MAX_EVALUATIONS = 30
TINY = 1e-30
LOWEST = -80.0  # nats; what is below counts as this: nothing in a sum, while exp is slow on infinities and denormals


def tilted(log_p: Tensor, tilt: Tensor) -> Tensor:
    """log softmax(log p + tilt), -inf where p is zero: (B, L, V)."""
    return (log_p + tilt).log_softmax(-1)


def mean_kl(log_p: Tensor, tilt: Tensor, mask: Tensor) -> Tensor:
    """Mean over span positions of KL(q || p), q = softmax(log p + tilt): (B, L, V), (B, L) -> (B,), in nats.

    Uses log q - log p = tilt - log Z, so tokens of probability zero never meet an infinity.
    """
    q, log_z = _tilted_by_position(log_p, tilt)
    kl = (torch.linalg.vecdot(q, tilt) / q.sum(-1) - log_z).clamp_min(0.0) * mask
    return kl.sum(-1) / mask.sum(-1).clamp_min(1)


def _tilted_by_position(log_p: Tensor, tilt: Tensor) -> tuple[Tensor, Tensor]:
    """The tilted distribution up to a factor at each position (B, L, V), and log Z (B, L)."""
    shifted = log_p + tilt
    top = shifted.amax(-1, keepdim=True)
    q = shifted.sub_(top).clamp_min_(LOWEST).exp_()
    return q, q.sum(-1).log() + top[..., 0]


def divergence(log_q: Tensor, log_p: Tensor, mask: Tensor) -> Tensor:
    """Mean over span positions of KL(q || p): (B, L, V), (B, L, V), (B, L) -> (B,), in nats."""
    floored = log_q.clamp_min(LOWEST)
    return mean_over_spans(torch.linalg.vecdot(floored.exp(), floored - log_p.clamp_min(LOWEST)), mask)


def entropy_of(probs: Tensor, floored: Tensor) -> Tensor:
    """Entropy at each position (B, L) in nats, of probabilities and their logarithms, floored at `LOWEST` (B, L, V)."""
    return -torch.linalg.vecdot(probs, floored)


def mean_over_spans(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over span positions: (B, L), (B, L) -> (B,)."""
    return (values * mask).sum(-1) / mask.sum(-1).clamp_min(1)


def largest_step(
    log_p: Tensor, tilt: Tensor, budget: Tensor, mask: Tensor, base: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The largest factor (B,) in [0, 1] on ``tilt`` that keeps the mean KL from p within the budget.

    Args:
        log_p: log posterior (B, L, V), -inf at forbidden tokens.
        tilt: (B, L, V), finite.
        budget: (B,), nats per position.
        mask: (B, L) span positions.
        base: a tilt (B, L, V) that is applied already and lies within the budget.

    Returns:
        1 where the whole tilt fits; else a factor that uses at least 90 % of the budget and never more than all of it (B,).
        And the mean KL from p that base and tilt cost with that factor (B,).
    """

    step = torch.ones_like(budget)
    whole = mean_kl(log_p, tilt if base is None else tilt + base, mask)
    rows = torch.nonzero(whole > budget).flatten()
    if not len(rows):
        return step, whole
    if len(rows) < len(budget):
        log_p, tilt, mask, base = log_p[rows], tilt[rows], mask[rows], None if base is None else base[rows]
    limit = budget[rows]
    target = (1 - TOLERANCE / 4) * limit
    low, high = torch.zeros_like(limit), torch.ones_like(limit)
    cost, slope, curvature = _expansion(log_p, tilt, low, mask, base)
    room = (target - cost).clamp_min(0.0)
    guess = 2 * room / (slope + (slope.square() + 2 * curvature * room).sqrt()).clamp_min(TINY)  # to second order
    step[rows], whole[rows] = 0.0, cost
    spent = cost
    going = cost < (1 - TOLERANCE) * limit  # the others have nothing left to spend
    for i in range(MAX_EVALUATIONS):
        if not bool(going.any()):
            break
        if not bool(going.all()):
            kept = (rows, limit, target, low, high, guess, spent)
            rows, limit, target, low, high, guess, spent = (x[going] for x in kept)
            log_p, tilt, mask, base = log_p[going], tilt[going], mask[going], None if base is None else base[going]
        bisection = torch.where((low > 0) & (high > 4 * low), (low * high).sqrt(), (low + high) / 2)
        factor = torch.where((guess > low) & (guess < high), guess, bisection) if i % 4 < 3 else bisection
        cost, slope, _ = _expansion(log_p, tilt, factor, mask, base)
        fits = cost <= limit
        low, high = torch.where(fits, factor, low), torch.where(fits, high, factor)
        spent = torch.where(fits, cost, spent)
        step[rows], whole[rows] = low.to(step.dtype), spent
        going = ~fits | (cost < (1 - TOLERANCE) * limit)
        # Newton's method for the square root of the cost, which is nearly linear while the tilt is small
        root = cost.clamp_min(TINY).sqrt()
        guess = factor + (target.sqrt() - root) * 2 * root / slope.clamp_min(TINY)
    return step, whole


def _expansion(
    log_p: Tensor, tilt: Tensor, factor: Tensor, mask: Tensor, base: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """`mean_kl` of base + factor * tilt (B,), its derivative in the factor, and the variance of the tilt (the second
    derivative where base and factor are 0)."""
    total = tilt * factor[:, None, None]
    if base is not None:
        total += base
    q, log_z = _tilted_by_position(log_p, total)
    norm = q.sum(-1)
    mean = torch.linalg.vecdot(q, total) / norm
    kl = (mean - log_z).clamp_min(0.0)
    pulled = q.mul_(tilt)
    pull = pulled.sum(-1) / norm
    slope = torch.linalg.vecdot(pulled, total) / norm - mean * pull
    variance = torch.linalg.vecdot(pulled, tilt) / norm - pull.square()
    count = mask.sum(-1).clamp_min(1)
    kl, slope, variance = ((x * mask).sum(-1) / count for x in (kl, slope.clamp_min(0.0), variance.clamp_min(0.0)))
    return kl, slope, variance
