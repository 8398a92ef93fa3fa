"""Sampling temperature for a token posterior that is a learned prior times an exact likelihood."""

from __future__ import annotations

import torch
from torch import Tensor

_LEAST_MASS = 1e-6  # that words keep where pad is certain, so that they stay finite where pad is barred afterwards


def sharpen(prior: Tensor, likelihood: Tensor, temperature: float, pad_token_id: int) -> Tensor:
    """Logits of p(token)^(1/temperature) p(z | token) among the words; the mass of pad stays as it was.

    Two things differ from dividing all logits: the likelihood of z is exact, so it is not made surer than it is; and pad, the
    likeliest single token of most tails, would otherwise win from the words and end texts early and unfinished.

    Args:
        prior: f, what the network says (B, L, V).
        likelihood: log p(z | token) up to a constant (B, L, V).
        temperature: positive; 1 gives prior + likelihood.
        pad_token_id: the token that ends spans.

    Returns:
        Log-probabilities (B, L, V); unnormalised logits at temperature 1.
    """
    plain = prior + likelihood
    if temperature == 1:
        return plain
    # (B, L, V) is the largest tensor of a step; log_softmax is one fused pass over it, logsumexp is several
    at = slice(pad_token_id, pad_token_id + 1)
    pad = plain.log_softmax(-1)[..., at]
    if temperature < 1:
        words = torch.add(plain, prior, alpha=1 / temperature - 1)
    else:  # the same; a negative factor would make NaN of a forbidden token
        words = torch.add(likelihood, prior, alpha=1 / temperature)
    words[..., at] = -torch.inf
    words = words.log_softmax(-1) + torch.log1p(-pad.exp().clamp(max=1 - _LEAST_MASS))
    words[..., at] = pad
    return words
