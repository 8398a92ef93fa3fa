"""The state of a text while it is denoised: noisy embeddings, or tokens of which some are hidden.

Above a model only two things of it are used: which positions are still undecided, and the choice of rows where candidates
are resampled. What is inside is the business of the model that made it and of the sampler that moves it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


class NoisyText(Protocol):
    """B rows of L span positions, half written.

    Attributes:
        undecided: (B, L) bool, positions in use that can still change.
    """

    @property
    def undecided(self) -> Tensor:
        """(B, L) bool."""
        ...

    def select(self, rows: Tensor) -> NoisyText:
        """The rows (new B,) in that order, after candidates were resampled."""
        ...


@dataclass(frozen=True)
class NoisyEmbeddings:
    """State of a Gaussian process: nothing is decided before the end.

    Attributes:
        z: noisy embeddings (B, L, D).
        undecided: (B, L) bool, all positions in use.
    """

    z: Tensor
    undecided: Tensor

    def select(self, rows: Tensor) -> NoisyEmbeddings:
        """See `NoisyText`."""
        return NoisyEmbeddings(self.z[rows], self.undecided[rows])


@dataclass(frozen=True)
class NoisyTokens:
    """State of a masked process (a position is hidden or decided) or of a uniform one (every position holds some token).

    Attributes:
        ids: (B, L); in a masked process what stands at undecided positions means nothing.
        undecided: (B, L) bool.
        used: (B, L) bool, all positions in use.
        ended: (B, L) bool, pads behind the ends of spans; None where it is open where they end. Once it is known, no other
            position becomes a pad.
    """

    ids: Tensor
    undecided: Tensor
    used: Tensor
    ended: Tensor | None = None

    def select(self, rows: Tensor) -> NoisyTokens:
        """See `NoisyText`."""
        ended = None if self.ended is None else self.ended[rows]
        return NoisyTokens(self.ids[rows], self.undecided[rows], self.used[rows], ended)


def tensors_of(noisy: NoisyText) -> dict[str, Tensor]:
    """The tensors of a noisy text by name; those that are not known yet are left out."""
    return {name: value for name, value in vars(noisy).items() if value is not None}
