"""Charts: sums over binary bracketings by the inside algorithm, marginals of spans, the best bracketing (CKY).

A score s_ij for every span from word i to word j (inclusive) gives each binary bracketing of n words the weight
exp(sum of its spans' scores). The inside algorithm (Baker, "Trainable grammars for speech recognition", 1979) sums over all
of them in O(n³); the gradient of log Z in s_ij is the marginal probability that a bracketing holds the span.

Shapes: B sentences of up to n words. All spans of one width are computed at once.
"""

from __future__ import annotations

import torch
from torch import Tensor


def log_partition(scores: Tensor, lengths: Tensor) -> Tensor:
    """log of the sum over binary bracketings (B,).

    Args:
        scores: (B, n, n), [b, i, j] that of words i to j, j >= i; the rest is not looked at.
        lengths: (B,) words of each sentence, at least 1.
    """
    return _inside(scores, lengths, lambda values: values.logsumexp(2))


def best_score(scores: Tensor, lengths: Tensor) -> Tensor:
    """Score of the best binary bracketing (B,)."""
    return _inside(scores, lengths, lambda values: values.amax(2))


def span_marginals(scores: Tensor, lengths: Tensor) -> Tensor:
    """(B, n, n) probability that a bracketing, drawn by its weight, holds each span."""
    with torch.enable_grad():
        leaf = scores.detach().clone().requires_grad_()
        (marginals,) = torch.autograd.grad(log_partition(leaf, lengths).sum(), leaf)
    return marginals


def best_spans(scores: Tensor, lengths: Tensor) -> list[list[tuple[int, int]]]:
    """(first, last) of the spans of the best binary bracketing of each sentence."""
    with torch.enable_grad():
        leaf = scores.detach().clone().requires_grad_()
        (held,) = torch.autograd.grad(best_score(leaf, lengths).sum(), leaf)
    return [[(i, j) for i, j in torch.nonzero(own > 0.4).tolist()] for own in held]


def _inside(scores: Tensor, lengths: Tensor, add: object) -> Tensor:
    """Charts by width: left[w][b, i] is the inside weight of the span of w + 1 words that begins at i."""
    n = scores.shape[1]
    by_width = [torch.diagonal(scores, w, 1, 2) for w in range(n)]
    starts = [by_width[0]]  # inside weights of spans of width w + 1, by their first word (B, n - w)
    for w in range(1, n):
        left = torch.stack([starts[k][:, : n - w] for k in range(w)], 2)  # words i to i + k
        right = torch.stack([starts[w - k - 1][:, k + 1 : k + 1 + n - w] for k in range(w)], 2)
        starts.append(add(left + right) + by_width[w])  # type: ignore[operator]
    whole = torch.stack([own[:, 0] for own in starts], 1)
    return whole.gather(1, (lengths - 1)[:, None])[:, 0]
