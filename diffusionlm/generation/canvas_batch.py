"""Rows laid out side by side: places, known text, forbidden tokens, noise and token posterior of one batch.

Shape letters: B rows, L span positions, V vocabulary.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from diffusionlm.context.binding import gather
from diffusionlm.denoiser import Places
from diffusionlm.diffusion import Draws, NoisyText, NoisyTokens, Posterior
from diffusionlm.generation.results import Sample

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from diffusionlm.denoiser import Context, DiffusionModel, Piece
    from diffusionlm.generation.requests import Row
    from diffusionlm.spans import Canvas, CanvasLayout
    from diffusionlm.text import TextTokenizer


class CanvasBatch:
    """B rows on one device.

    Args:
        rows: what to write.
        layouts: the canvas of each row in tokens.
        copies: candidates of each row, which stand side by side and have noise of their own.
        model: what writes.
        tokenizer: its tokenizer.

    Attributes:
        rows, layouts: with copies.
        places: where the spans stand.
        draws: random numbers.
        allowed: (L, V) bool of each row, tokens that may stand at its positions; rows on one canvas share it.
    """

    def __init__(
        self,
        rows: list[Row],
        layouts: list[CanvasLayout],
        copies: int,
        model: DiffusionModel,
        tokenizer: TextTokenizer,
    ) -> None:
        self.rows = [row for row in rows for _ in range(copies)]
        self.layouts = [layout for layout in layouts for _ in range(copies)]
        self.model, self.tokenizer, self.device = model, tokenizer, model.device
        lengths = [layout.length for layout in self.layouts]
        seeds, numbers = [row.seed for row in self.rows], [i % copies for i in range(len(self.rows))]
        self.draws = Draws(seeds, numbers, lengths, self.device)
        count, longest = len(self.rows), max(lengths)
        span_mask = torch.zeros(count, longest, dtype=torch.bool)
        positions = torch.zeros(count, longest, dtype=torch.long)
        open_mask = torch.zeros(count, longest, dtype=torch.bool)
        masks: dict[Canvas, Tensor] = {}
        for i, layout in enumerate(self.layouts):
            n = layout.length
            span_mask[i, :n] = True
            positions[i, :n] = layout.span_positions
            open_mask[i, :n] = layout.open_mask
            if layout.canvas not in masks:
                allowed = torch.zeros(longest, len(tokenizer.vocabulary), dtype=torch.bool)
                allowed[:, tokenizer.vocabulary.pad_id] = True  # behind the canvas
                allowed[:n] = layout.allowed(tokenizer.vocabulary)
                masks[layout.canvas] = allowed.to(self.device)
        totals = tuple(layout.total for layout in self.layouts)
        device = self.device
        self.places = Places(span_mask.to(device), positions.to(device), open_mask.to(device), totals)
        self.allowed = [masks[layout.canvas] for layout in self.layouts]
        self._pieces: list[list[Piece]] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def branch(self, count: int) -> CanvasBatch:
        """The batch with ``count`` candidates of each row, side by side, whose noise differs from now on."""
        other = copy.copy(self)
        other.rows = [row for row in self.rows for _ in range(count)]
        other.layouts = [layout for layout in self.layouts for _ in range(count)]
        other.allowed = [mask for mask in self.allowed for _ in range(count)]
        other.places = self.places.select(torch.arange(len(self), device=self.device).repeat_interleave(count))
        if self._pieces is not None:
            other._pieces = [pieces for pieces in self._pieces for _ in range(count)]
        other.draws = self.draws.branch(count, [row.seed for row in self.rows])
        return other

    def context(self, without: Collection[int] = ()) -> Context:
        """Pieces of each row: its prompt, what its sources bring, then what stands on its canvas.

        Args:
            without: segments to leave out.

        Raises:
            ValueError: if a prompt or a passage is too long.
        """
        if self._pieces is None:
            self._pieces = gather(self)
        return [[piece for piece in pieces if piece.segment not in without] for pieces in self._pieces]

    def forbid(self, logits: Tensor) -> Tensor:
        """Logits (B, L, V) with -inf at tokens that may not stand at a position; in place, no copy is made."""
        start = 0
        for stop in range(1, len(self) + 1):
            if stop == len(self) or self.allowed[stop] is not self.allowed[start]:
                logits[start:stop].masked_fill_(~self.allowed[start], -torch.inf)
                start = stop
        return logits

    def samples(
        self,
        ids: Tensor,
        chosen: Sequence[int],
        certificates: Sequence[dict[str, bool]] | None = None,
        certainty: Sequence[float] | None = None,
        fluency: Sequence[float] | None = None,
    ) -> list[Sample]:
        """Finished texts.

        Args:
            ids: tokens (B, L).
            chosen: the rows that are returned.
            certificates: of each of the B rows.
            certainty: of each of the B rows.
            fluency: of each of the B rows.
        """
        out = []
        for row in chosen:
            layout = self.layouts[row]
            tokens = ids[row, : layout.length].tolist()
            text, written = layout.assemble(tokens, self.tokenizer.vocabulary)
            spans = layout.span_ids(tokens, self.tokenizer.pad_id)
            held = certificates[row] if certificates else {}
            sure = None if certainty is None else certainty[row]
            origins = [piece.origin for piece in self.context()[row] if piece.origin is not None]
            fluent = None if fluency is None else fluency[row]
            seed = self.rows[row].seed
            out.append(Sample(text, written, spans, seed, held, certainty=sure, fluency=fluent, context=origins))
        return out


class TokenPosterior:
    """Posterior of a batch under its model. Known text is encoded once, and once more for each set of segments left out.

    Args:
        batch: the rows.
        temperature: of the choice among words.
    """

    def __init__(self, batch: CanvasBatch, temperature: float) -> None:
        self.batch, self.temperature = batch, temperature
        self._conditions: dict[frozenset[int], Any] = {}
        self._condition(frozenset())

    def __call__(
        self, noisy: NoisyText, gamma: Tensor, previous: Posterior | None, without: Collection[int] = ()
    ) -> Tensor:
        """Log-probabilities (B, L, V); tokens that may not stand at a position have -inf.

        Args:
            noisy: the state.
            gamma: noise level.
            previous: posterior of the step before, if there is one.
            without: segments of known text to leave out.
        """
        batch = self.batch
        condition = self._condition(frozenset(without))
        logits = batch.model.log_posterior(noisy, gamma, condition, batch.places, previous, self.temperature)
        batch.forbid(logits)
        if isinstance(noisy, NoisyTokens) and batch.model.process == "masked":
            decided = noisy.used & ~noisy.undecided
            if noisy.ended is not None:  # a text goes on up to its end
                logits[..., batch.tokenizer.pad_id].masked_fill_(noisy.undecided & ~noisy.ended, -torch.inf)
            if bool(decided.any()):
                logits[decided] = -torch.inf
                logits[decided] = logits[decided].scatter(-1, noisy.ids[decided][:, None], 0.0)
        return logits.log_softmax(-1)

    def _condition(self, without: frozenset[int]) -> Any:
        if without not in self._conditions:
            self._conditions[without] = self.batch.model.condition(self.batch.context(without), self.batch.places)
        return self._conditions[without]
