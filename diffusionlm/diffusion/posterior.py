"""`Posterior`: the distribution of each token given a noisy text, on which guidance acts and from which samplers draw."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

LOWEST = -80.0  # nats; log-probabilities below add nothing to a sum, while exp is slow on infinities and denormals


class Posterior:
    """Independent token distributions of B rows at L positions. A subclass may know of a joint distribution.

    Args:
        log_probs: (B, L, V), normalised, -inf at forbidden tokens.
        embeddings: (V, D), for `clean`; None where a model has none.
        probs: (B, L, V), where they are known already.
    """

    def __init__(self, log_probs: Tensor, embeddings: Tensor | None = None, probs: Tensor | None = None) -> None:
        self.log_probs, self.embeddings = log_probs, embeddings
        if probs is not None:
            self.probs = probs

    @property
    def joint_draws(self) -> bool:
        """True where `draw` draws the tokens of a text together, not each by itself."""
        return False

    @cached_property
    def probs(self) -> Tensor:
        """Probabilities (B, L, V)."""
        return self.log_probs.clamp_min(LOWEST).exp()

    @cached_property
    def clean(self) -> Tensor:
        """Clean estimate (B, L, D): the expected embedding.

        Raises:
            ValueError: where the model has no embeddings.
        """
        if self.embeddings is None:
            raise ValueError(
                "This model has no token embeddings, so there is no clean estimate; work on the posterior."
            )
        return self.probs.to(self.embeddings.dtype) @ self.embeddings

    def ending(self, ended: Tensor, going_on: Tensor, pad_id: int) -> Posterior:
        """The posterior given where the spans end.

        Args:
            ended: (B, L) bool, where a pad stands.
            going_on: (B, L) bool, where none stands.
            pad_id: the token behind an end.
        """
        return Posterior(given_ends(self.log_probs, ended, going_on, pad_id), self.embeddings)

    def draw(self, uniforms: Tensor) -> Tensor:
        """One text: token ids (B, L) by inverse transform sampling with uniforms (B, L) in [0, 1)."""
        cumulative = self.probs.double().cumsum(-1)
        total = cumulative[..., -1:]
        at = torch.minimum(uniforms[..., None] * total, total.nextafter(torch.zeros_like(total)))
        return torch.searchsorted(cumulative, at, right=True)[..., 0]

    def best(self) -> Tensor:
        """The most probable text: token ids (B, L)."""
        return self.log_probs.argmax(-1)


def given_ends(log_probs: Tensor, ended: Tensor, going_on: Tensor, pad_id: int) -> Tensor:
    """Log-probabilities (B, L, V), normalised again, with nothing but pads where ``ended`` and none where ``going_on``."""
    out = log_probs.masked_fill(ended[..., None], -torch.inf)
    out[..., pad_id] = out[..., pad_id].masked_fill(going_on, -torch.inf).masked_fill(ended, 0.0)
    return out.log_softmax(-1)
