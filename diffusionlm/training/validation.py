"""Validation: the likelihood bound of held-out texts under the averaged weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from diffusionlm.diffusion import likelihood_bound, masked_bound
from diffusionlm.training.step import TrainingStep

if TYPE_CHECKING:
    from diffusionlm.denoiser import SpanDenoiser
    from diffusionlm.diffusion import NoiseSchedule
    from diffusionlm.training.batches import BatchSource, SpanBatch

VALID_STREAM = 1
NUM_LEVELS = 16


@torch.no_grad()
def bound_of_batch(
    denoiser: SpanDenoiser, batch: SpanBatch, schedule: NoiseSchedule, pad_id: int, seed: int
) -> tuple[float, int]:
    """The bound of the spans of a batch given its known text and prompt, with one step of self-conditioning.

    The pads of open spans are part of what is written, so their nats count; they are no text, so they are not counted
    as tokens.

    Args:
        denoiser: the network.
        batch: on the network's device.
        schedule: range of noise levels and where to spend the draws.
        pad_id: the pad token.
        seed: of the noise.

    Returns:
        Nats in all, and the number of tokens of text.
    """
    memory = TrainingStep(denoiser).memory(**batch.context)

    if denoiser.config.process == "masked":
        layout = (batch.span_mask, batch.span_positions, batch.open_mask)
        clean = denoiser.embed(batch.span_ids)

        def logits_of(hidden: Tensor, gamma: Tensor) -> Tensor:
            seen, estimate = clean.masked_fill(hidden[..., None], 0.0), None
            for _ in range(2):
                logits = denoiser(seen, gamma, memory, estimate, *layout, likelihood_weight=0.0).logits
                estimate = denoiser.clean_estimate(logits.softmax(-1))
            return logits

        generators = [torch.Generator().manual_seed(seed * 10_007 + row) for row in range(len(batch.span_ids))]
        nats = masked_bound(logits_of, batch.span_ids, batch.span_mask, NUM_LEVELS, generators)
        return float(nats.sum()), int(((batch.span_ids != pad_id) & batch.span_mask).sum())

    def denoise(latents: Tensor, gamma: Tensor) -> tuple[Tensor, Tensor]:
        estimate = None
        for _ in range(2):
            layout = (batch.span_mask, batch.span_positions, batch.open_mask)
            logits = denoiser(latents, gamma, memory, estimate, *layout).logits
            estimate = denoiser.clean_estimate(logits.softmax(-1))
        assert estimate is not None
        return logits, estimate

    bound = likelihood_bound(
        denoise,
        denoiser.embed(batch.span_ids),
        batch.span_ids,
        batch.span_mask,
        schedule,
        num_levels=NUM_LEVELS,
        generator=torch.Generator().manual_seed(seed),
    )
    return float(bound.total.sum()), int(((batch.span_ids != pad_id) & batch.span_mask).sum())


def valid_bound(
    denoiser: SpanDenoiser,
    source: BatchSource,
    schedule: NoiseSchedule,
    num_batches: int,
    rank: int = 0,
    world: int = 1,
) -> tuple[float, int]:
    """This process's share of a validation: every ``world``-th of ``num_batches`` fixed batches.

    Args:
        denoiser: the network, averaged weights in place.
        source: of validation batches.
        schedule: see `bound_of_batch`.
        num_batches: of the whole validation.
        rank: which process this is.
        world: how many there are.

    Returns:
        Nats and tokens; summed over processes and divided, the bound in nats per token.
    """
    total, tokens = 0.0, 0
    for i in range(rank, num_batches, world):
        batch = source.batch(i, stream=VALID_STREAM).to(denoiser.device)
        nats, count = bound_of_batch(denoiser, batch, schedule, source.pad_id, seed=i)
        total, tokens = total + nats, tokens + count
    return total, tokens
