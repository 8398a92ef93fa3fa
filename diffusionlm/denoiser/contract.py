"""`DiffusionModel`: all that the pipeline, training, classifiers and evaluation ask of a model.

Below this line a family of models knows its noise: Gaussian embeddings, hidden tokens, another library's canvas. Above it
everything speaks token posteriors (B, L, V). Shape letters: B rows, L span positions, V vocabulary, D embedding size.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from diffusionlm.denoiser.copy_bias import CopyBias
    from diffusionlm.diffusion import Draws, NoisyText, Posterior

CANVAS, PROMPT, RETRIEVED, CONCEPT, IMAGE, SOUND = range(6)
SEGMENTS = ("canvas", "prompt", "retrieved", "concept", "image", "sound")
PROCESSES = ("gaussian", "masked", "uniform")
OFFERS = ("probs", "text", "clean", "latents", "unconditional")


@dataclass(frozen=True)
class Piece:
    """Some known positions of one row, of one kind.

    Attributes:
        segment: what kind of memory it is, an index into `SEGMENTS`.
        key: pieces of one segment with equal keys have equal content, and are encoded once.
        positions: (N,) places in the text; negative before it.
        ids: (N,) tokens; or
        raw: (N, C) numbers: embeddings, or patches of bytes.
        origin: what the result says of it: the passage it is, the concept; None for nothing.
        copies: pairs of tokens that become likelier beside each other; None for none.
    """

    segment: int
    key: Hashable
    positions: Tensor
    ids: Tensor | None = None
    raw: Tensor | None = None
    origin: Any = None
    copies: CopyBias | None = None

    def __len__(self) -> int:
        return len(self.positions)


Context = Sequence[Sequence[Piece]]
"""The pieces of each row, in the order in which they are laid into memory."""


@dataclass(frozen=True)
class Places:
    """Places of the spans of B rows.

    Attributes:
        span_mask: (B, L) bool, positions in use.
        positions: (B, L), places in the text.
        open_mask: (B, L) bool, positions of spans that may end early.
        totals: positions of the whole text of each row, known and spans.
    """

    span_mask: Tensor
    positions: Tensor
    open_mask: Tensor
    totals: tuple[int, ...]

    @property
    def spans(self) -> Tensor:
        """Number of the span at each position (B, L), from 1; a span is a run of neighbouring positions."""
        first = self.positions[:, :1] - 2
        return torch.cumsum(torch.diff(self.positions, prepend=first, dim=1) != 1, dim=1)

    def behind(self, ends: Tensor) -> Tensor:
        """Positions (B, L) bool of open spans at or behind one of ``ends`` (B, L) bool in the same span."""
        seen = ends.cumsum(-1)
        spans = self.spans
        begins = torch.diff(spans, prepend=torch.zeros_like(spans[:, :1]), dim=1) > 0
        before = torch.where(begins, seen - ends.long(), 0).cummax(-1).values  # ends in earlier spans
        return self.open_mask & (seen > before)

    def select(self, rows: Tensor) -> Places:
        """The rows (new B,) in that order."""
        totals = tuple(self.totals[row] for row in rows.tolist())
        return Places(self.span_mask[rows], self.positions[rows], self.open_mask[rows], totals)


class DiffusionModel(Protocol):
    """A model of text under noise.

    Attributes:
        process: of `PROCESSES`.
        offers: what guidance may read, a subset of `OFFERS`.
        vocab_size: V.
        max_length: positions of the longest text.
        references: the publications behind it.
    """

    process: str
    offers: frozenset[str]

    @property
    def vocab_size(self) -> int:
        """Size of the vocabulary, V."""
        ...

    @property
    def max_length(self) -> int:
        """Positions of the longest text."""
        ...

    @property
    def device(self) -> torch.device:
        """Device it is on."""
        ...

    @property
    def references(self) -> tuple[str, ...]:
        """The publications behind it."""
        ...

    def embeddings(self) -> Tensor | None:
        """Embeddings of all tokens (V, D), float32, or None where it has none to offer."""
        ...

    def start(self, places: Places, draws: Draws) -> NoisyText:
        """Pure noise."""
        ...

    def corrupt(self, ids: Tensor, mask: Tensor, gamma: Tensor, draws: Draws) -> NoisyText:
        """Token ids (B, L) under noise.

        Args:
            ids: (B, L).
            mask: (B, L) bool, positions in use.
            gamma: logit of the share of noise, (B,).
            draws: where the noise comes from.
        """
        ...

    def condition(self, context: Context, places: Places) -> Any:
        """Known text in the form that `log_posterior` takes; encoded once for all steps. Opaque.

        Raises:
            ValueError: for a kind of piece that the model cannot read.
        """
        ...

    def log_posterior(
        self,
        noisy: NoisyText,
        gamma: Tensor,
        condition: Any,
        places: Places,
        previous: Posterior | None,
        temperature: float = 1.0,
    ) -> Tensor:
        """Log-probabilities of the tokens up to a constant at each position, (B, L, V): a tensor that the caller may change.

        What the canvas forbids, and positions that are decided, are seen to by the caller.

        Args:
            noisy: the state.
            gamma: noise level, scalar.
            condition: from `condition`.
            places: of the spans.
            previous: the (guided) posterior of the step before, for self-conditioning; None at the first.
            temperature: below 1 the choice among words is surer.
        """
        ...
