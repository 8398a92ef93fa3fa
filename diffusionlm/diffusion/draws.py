"""Random numbers of a batch, each row from a generator of its own, so that a text does not depend on its neighbours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

_STREAM = 0x5EED  # keeps the noise apart from whatever else is drawn from the same seed


class Draws:
    """Noise of B rows.

    Args:
        seeds: of each row.
        copies: which candidate of its sample each row is; candidates have noise of their own.
        lengths: positions of each row; a row draws for its own positions only.
        device: where the numbers go.
    """

    def __init__(
        self, seeds: Sequence[int], copies: Sequence[int], lengths: Sequence[int], device: torch.device
    ) -> None:
        self.lengths, self.device = list(lengths), device
        self._generators = [_generator(seed, copy) for seed, copy in zip(seeds, copies, strict=True)]

    def branch(self, count: int, seeds: Sequence[int]) -> Draws:
        """Draws for ``count`` candidates of each row, side by side: the first goes on as the row would, the others start anew.

        Args:
            count: candidates of each row.
            seeds: of each row.
        """
        out = Draws([], [], [], self.device)
        for own, seed, length in zip(self._generators, seeds, self.lengths, strict=True):
            out._generators += [own, *(_generator(seed, copy) for copy in range(1, count))]
            out.lengths += [length] * count
        return out

    def normal(self, dim: int) -> Tensor:
        """Standard normal (B, L, D), zero behind a row's positions."""
        out = torch.zeros(len(self.lengths), max(self.lengths), dim)
        for row, length, generator in zip(out, self.lengths, self._generators, strict=True):
            row[:length] = torch.randn(length, dim, generator=generator)
        return out.to(self.device)

    def uniform(self) -> Tensor:
        """Uniform in [0, 1), double precision (B, L), zero behind a row's positions."""
        out = torch.zeros(len(self.lengths), max(self.lengths), dtype=torch.float64)
        for row, length, generator in zip(out, self.lengths, self._generators, strict=True):
            row[:length] = torch.rand(length, generator=generator, dtype=torch.float64)
        return out.to(self.device)


def _generator(seed: int, copy: int) -> torch.Generator:
    state = np.random.SeedSequence((seed, _STREAM, copy)).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))
