"""Posteriors of a masked model for readers: hidden tokens as its network sees them, decided ones as they are.

Shape letters: B rows, L span positions, V vocabulary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from diffusionlm.denoiser import CANVAS, PROMPT, Piece, Places
from diffusionlm.diffusion import NoisyTokens

if TYPE_CHECKING:
    from diffusionlm.pipeline import DiffusionLMPipeline
    from diffusionlm.training.batches import SpanBatch


def masked_posterior(
    pipeline: DiffusionLMPipeline, spans: SpanBatch, generator: torch.Generator, u: float, prior: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Noise level and the token posteriors (B, L, V) of texts some of whose tokens are hidden.

    Args:
        pipeline: of a masked model.
        spans: the texts.
        generator: of the draws.
        u: progress, the same for all rows: a masked network may be told one level.
        prior: log frequencies (V,) to be used in the place of the network; None asks the network.
    """
    model, ids = pipeline.model, spans.span_ids
    gamma = pipeline.schedule.gamma(torch.tensor(u, dtype=torch.float64)).float()
    hidden = spans.span_mask & (torch.rand(ids.shape, generator=generator) < torch.sigmoid(gamma))
    pad = pipeline.tokenizer.pad_id
    if prior is None:
        device = model.device
        mask, at, is_open = (x.to(device) for x in (spans.span_mask, spans.span_positions, spans.open_mask))
        places = Places(mask, at, is_open, _totals(spans))
        noisy = NoisyTokens(ids.to(device), hidden.to(device), mask)
        condition = model.condition(_context(spans), places)
        logits = model.log_posterior(noisy, gamma.to(device), condition, places, None, pipeline.temperature).cpu()
    else:
        logits = prior.expand(*ids.shape, -1).clone()
    logits[..., pad] = logits[..., pad].masked_fill(~spans.open_mask, -torch.inf)
    probs = logits.float().softmax(-1)
    return gamma, torch.where(hidden[..., None], probs, F.one_hot(ids, probs.shape[-1]).to(probs))


def _totals(spans: SpanBatch) -> tuple[int, ...]:
    """Positions of the whole text of each row, known and written."""
    last = spans.span_positions.masked_fill(~spans.span_mask, 0).amax(1)
    if spans.known_positions.shape[1]:
        last = torch.maximum(last, spans.known_positions.masked_fill(~spans.known_mask, 0).amax(1))
    return tuple((last + 1).tolist())


def _context(spans: SpanBatch) -> list[list[Piece]]:
    """Prompt and known text of each row."""
    rows = []
    for row in range(len(spans.span_ids)):
        pieces = []
        for segment, name in ((PROMPT, "prompt"), (CANVAS, "known")):
            mask = getattr(spans, f"{name}_mask")[row]
            ids, at = getattr(spans, f"{name}_ids")[row][mask], getattr(spans, f"{name}_positions")[row][mask]
            if len(ids) or segment == CANVAS:
                pieces.append(Piece(segment, (name, tuple(ids.tolist()), tuple(at.tolist())), at, ids))
        rows.append(pieces)
    return rows
