"""`SoftText`: the whole text of a canvas, known tokens and soft spans in reading order, for networks that read our tokens.

Shape letters: B rows, N positions of known text and spans together, L span positions, K known positions, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

if TYPE_CHECKING:
    from diffusionlm.guidance.state import GuidanceState
    from diffusionlm.spans import CanvasLayout
    from diffusionlm.text import Vocabulary


@dataclass(frozen=True)
class SoftText:
    """Texts whose spans are distributions over tokens.

    Attributes:
        ids: (B, N) the known token, or the likeliest one of a span position; pad behind the text.
        mask: (B, N) bool, positions in use.
        is_span: (B, N) bool, positions that are written.
        span_position: (B, L) where in N a span position stands; 0 where it is not in use.
        span_mask: (B, L) bool, span positions in use.
        probs: (B, L, V) their distributions.
        pad_id: the token that stands for no text.
    """

    ids: Tensor
    mask: Tensor
    is_span: Tensor
    span_position: Tensor
    span_mask: Tensor
    probs: Tensor
    pad_id: int

    @classmethod
    def build(
        cls,
        known_ids: Tensor,
        known_mask: Tensor,
        known_position: Tensor,
        span_position: Tensor,
        span_mask: Tensor,
        probs: Tensor,
        pad_id: int,
    ) -> SoftText:
        """Puts known tokens and spans in reading order.

        Args:
            known_ids: (B, K); K may be 0.
            known_mask: (B, K) bool, known positions in use.
            known_position: (B, K) where in the text they stand, from 0.
            span_position: (B, L) where in the text the span positions stand.
            span_mask: (B, L) bool.
            probs: (B, L, V).
            pad_id: id of the pad token.
        """
        rows = len(probs)
        last = [
            p.masked_fill(~m, -1).amax()
            for p, m in ((known_position, known_mask), (span_position, span_mask))
            if p.numel()
        ]
        length = 1 + max(int(x) for x in last)
        ids = torch.full((rows, length + 1), pad_id, dtype=torch.long, device=probs.device)
        in_use = torch.zeros_like(ids, dtype=torch.bool)
        is_span = torch.zeros_like(in_use)
        for positions, mask, tokens, spans in (
            (known_position, known_mask, known_ids, False),
            (span_position, span_mask, probs.detach().argmax(-1), True),
        ):
            if positions.shape[1] == 0:
                continue
            at = positions.masked_fill(~mask, length)  # one place more, where unused positions go
            ids.scatter_(1, at, tokens)
            in_use.scatter_(1, at, True)
            if spans:
                is_span.scatter_(1, at, True)
        ids, in_use, is_span = ids[:, :length], in_use[:, :length], is_span[:, :length]
        return cls(ids, in_use, is_span, span_position.masked_fill(~span_mask, 0), span_mask, probs, pad_id)

    @classmethod
    def known(cls, ids: Tensor, vocabulary: Vocabulary) -> SoftText:
        """Texts without spans.

        Args:
            ids: (B, N) token ids; N at least 1.
            vocabulary: of the tokens.
        """
        rows, length = ids.shape
        none = torch.zeros(rows, 0, dtype=torch.long, device=ids.device)
        at = torch.arange(length, device=ids.device).expand(rows, -1)
        probs = torch.zeros(rows, 0, len(vocabulary), device=ids.device)
        return cls.build(ids, torch.ones_like(ids, dtype=torch.bool), at, none, none.bool(), probs, vocabulary.pad_id)

    def __len__(self) -> int:
        return len(self.ids)

    def embed(self, table: Tensor) -> Tensor:
        """Soft embeddings: table[id] at known positions, probs @ table at span positions; zero where nothing stands.

        Args:
            table: (V, d).

        Returns:
            (B, N, d), differentiable in ``probs`` and ``table``; nothing of size B x N x V is made.
        """
        known = F.embedding(self.ids, table) * (self.mask & ~self.is_span)[..., None].to(table.dtype)
        return known + self.scatter(self.probs.to(table.dtype) @ table)

    def scatter(self, values: Tensor) -> Tensor:
        """Values of span positions (B, L, ...) at their places in the text (B, N, ...); zero elsewhere."""
        length = self.ids.shape[1]
        at = self.span_position.masked_fill(~self.span_mask, length)
        tail = values.shape[2:]
        index = at.reshape(*at.shape, *(1,) * len(tail)).expand(*at.shape, *tail)
        out = values.new_zeros(len(values), length + 1, *tail)
        return out.scatter(1, index, values)[:, :length]

    def gather(self, values: Tensor) -> Tensor:
        """Values of the text (B, N, ...) at the span positions (B, L, ...); zero where a span position is not in use."""
        tail = values.shape[2:]
        shape = (*self.span_position.shape, *(1,) * len(tail))
        index = self.span_position.reshape(shape).expand(*self.span_position.shape, *tail)
        return values.gather(1, index) * self.span_mask.reshape(shape).to(values.dtype)

    @property
    def presence(self) -> Tensor:
        """(B, N) probability that a position holds text and no pad; 1 at known positions, differentiable in ``probs``."""
        known = (self.mask & ~self.is_span).to(self.probs.dtype)
        return known + self.scatter(1 - self.probs[..., self.pad_id])


def soft_text(state: GuidanceState) -> SoftText:
    """The whole canvas of every row of a state, with its token posterior in the spans."""
    return soft_text_of(state.layouts, state.span_mask, state.probs, state.vocabulary.pad_id)


def soft_text_of(
    layouts: tuple[CanvasLayout, ...] | list[CanvasLayout], span_mask: Tensor, probs: Tensor, pad_id: int
) -> SoftText:
    """The same from its parts.

    Args:
        layouts: the canvas of each row.
        span_mask: (B, L) bool.
        probs: (B, L, V).
        pad_id: id of the pad token.
    """
    distinct = {id(layout): layout for layout in layouts}
    order = {key: i for i, key in enumerate(distinct)}
    own = list(distinct.values())
    known_ids = pad_sequence([layout.known_ids for layout in own], batch_first=True, padding_value=pad_id)
    known_at = pad_sequence([layout.known_positions for layout in own], batch_first=True)
    counts = torch.tensor([len(layout.known_ids) for layout in own])
    known_mask = torch.arange(known_ids.shape[1]) < counts[:, None]
    span_at = torch.zeros(len(own), probs.shape[1], dtype=torch.long)
    for row, layout in zip(span_at, own, strict=True):
        row[: layout.length] = layout.span_positions
    index = torch.tensor([order[id(layout)] for layout in layouts])
    known_ids, known_mask, known_at, span_at = (
        part[index].to(probs.device) for part in (known_ids, known_mask, known_at, span_at)
    )
    return SoftText.build(known_ids, known_mask, known_at, span_at, span_mask, probs, pad_id)
