"""Sampling temperature for a token posterior that is a learned prior times an exact likelihood."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


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
        (B, L, V).
    """
    plain = prior + likelihood
    if temperature == 1:
        return plain
    pad = F.one_hot(torch.tensor(pad_token_id, device=prior.device), prior.shape[-1]).bool()
    words = (prior / temperature + likelihood).masked_fill(pad, -torch.inf)
    mass = plain.masked_fill(pad, -torch.inf).logsumexp(-1, keepdim=True)
    return torch.where(pad, plain, words - words.logsumexp(-1, keepdim=True) + mass)
