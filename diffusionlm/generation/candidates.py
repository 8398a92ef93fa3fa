"""Candidates of one text, and how sure the model is of each.

What a reader calls a fault is mostly a word that the model itself found unlikely, so of several candidates the surest has fewer
(docs/results.md has figures). Candidates share the first half of the way, where the course is set and certainty tells little,
and go apart from then on by fresh noise: n of them cost (n + 1) / 2 texts.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from diffusionlm.diffusion import NoisyText, NoisyTokens

SHARED = 0.5  # of the steps that candidates have in common, where no guidance follows each of them from the start


class Certainty:
    """Certainty of the texts of a batch: log-probability of their tokens ÷ the square root of their number.

    Of noisy embeddings the last two posteriors count, of a masked model that at which each token was decided. The square root
    favours neither short nor long texts: the sum would prefer short ones, the mean long ones.

    Args:
        pad_id: tokens that do not count.
    """

    def __init__(self, pad_id: int) -> None:
        self.pad_id = pad_id
        self._last: list[Tensor] = []
        self._decided: Tensor | None = None

    def step(self, log_probs: Tensor, before: NoisyText, after: NoisyText) -> None:
        """Takes the posterior (B, L, V) of a step, and the noisy texts that it led from and to."""
        if not isinstance(before, NoisyTokens):
            self._last = [*self._last[-1:], log_probs]
            return
        assert isinstance(after, NoisyTokens)
        own = log_probs.gather(-1, after.ids[..., None])[..., 0].clamp_min(-30.0)
        newly = before.undecided & ~after.undecided
        self._decided = torch.where(newly, own, 0.0 if self._decided is None else self._decided)

    def select(self, rows: Tensor) -> None:
        """Follows the rows (new B,) that go on, where candidates part or are resampled."""
        self._last = [own[rows] for own in self._last]
        self._decided = None if self._decided is None else self._decided[rows]

    def of(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Certainty of finished texts: token ids (B, L), positions in use (B, L) -> (B,), nats."""
        if self._decided is not None:
            scores = self._decided
        else:
            found = [own.gather(-1, ids[..., None])[..., 0].clamp_min(-30.0) for own in self._last]
            scores = torch.stack(found).mean(0)
        counts = mask & (ids != self.pad_id)
        return (scores * counts).sum(-1) / counts.sum(-1).clamp_min(1).sqrt()


def surest(certainty: Tensor, count: int, missed: Sequence[int] | None = None) -> list[int]:
    """The row of each sample that is kept, candidates of a sample side by side.

    Args:
        certainty: (B,).
        count: candidates of each sample.
        missed: how many goals each row misses; fewest come first.
    """
    kept = []
    values = certainty.tolist()
    for first in range(0, len(values), count):
        rows = range(first, first + count)
        kept.append(max(rows, key=lambda row: (-(missed[row] if missed else 0), values[row], -row)))
    return kept
