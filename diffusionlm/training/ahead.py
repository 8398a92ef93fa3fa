"""Batches and random numbers of coming steps, made in turn or by other processes ahead of time: the same in either case."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch.utils.data import DataLoader, Dataset

from diffusionlm.training.batches import BatchSource, SpanBatch
from diffusionlm.training.noise import NoiseDraws, draw

if TYPE_CHECKING:
    from diffusionlm.training.settings import TrainerSettings

_TRAIN = 0  # the stream of training batches; those of micro-batches are 10 apart
_PREFETCH = 2  # steps that each worker is ahead; each holds some twenty open files

Drawn = tuple[SpanBatch, NoiseDraws]  # of a micro-batch


def draw_step(source: BatchSource, embedding_size: int, settings: TrainerSettings, step: int) -> list[Drawn]:
    """All micro-batches of a step: a function of the source, the seed and the step."""
    drawn = []
    for micro in range(settings.accumulate):
        batch = source.batch(step, _TRAIN + 10 * micro)
        rows, length = batch.span_ids.shape
        drawn.append((batch, draw((rows, length, embedding_size), settings.seed, step, micro)))
    return drawn


def drawn_ahead(
    source: BatchSource, embedding_size: int, settings: TrainerSettings, first: int
) -> Iterator[list[Drawn]]:
    """Results of `draw_step` for the steps from ``first`` to the last, in order, by ``settings.workers`` processes."""
    steps = _Steps(source, embedding_size, settings)
    if not settings.workers:
        yield from map(steps.__getitem__, range(first, settings.max_steps))
        return
    yield from DataLoader(
        steps,
        batch_size=None,
        sampler=range(first, settings.max_steps),
        num_workers=settings.workers,
        prefetch_factor=_PREFETCH,
        collate_fn=_as_it_is,
    )


def _as_it_is(drawn: list[Drawn]) -> list[Drawn]:
    return drawn


@dataclass(frozen=True)
class _Steps(Dataset[list[Drawn]]):
    source: BatchSource
    embedding_size: int
    settings: TrainerSettings

    def __len__(self) -> int:
        return self.settings.max_steps

    def __getitem__(self, step: int) -> list[Drawn]:
        return draw_step(self.source, self.embedding_size, self.settings, step)
