"""Texts that miss a goal are written again from other noise, and the best attempt at each is kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from diffusionlm.generation import fluency

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import Tensor

    from diffusionlm.generation.requests import Row
    from diffusionlm.generation.results import Sample

_ATTEMPT_STREAM = 0xA6A1  # keeps the seeds of later attempts apart from those of other samples


@dataclass(frozen=True)
class Finished:
    """Outcome of a batch.

    Attributes:
        samples: one for each row.
        clean: their last clean estimates (L, D), None where the model has no embeddings.
        trace: of guidance, or None without guidance.
    """

    samples: list[Sample]
    clean: list[Tensor | None]
    trace: Any


@dataclass(frozen=True)
class _Attempt:
    sample: Sample
    clean: Tensor | None
    batch: int
    place: int
    missed: dict[str, float]

    @property
    def shortfall(self) -> tuple[int, float]:
        return len(self.missed), sum(self.missed.values())


class Attempts:
    """All rows of a call: how often each was written, what it missed, and its best attempt.

    The noise of a later attempt follows from the row's seed, so that the same call gives the same texts.

    Args:
        rows: what is to be written.
        limits: how many attempts each plugin with a goal asks for, by its name in the trace.
        floor: of fluency, below which a text is written again.
    """

    def __init__(self, rows: Sequence[Row], limits: Mapping[str, int], floor: float | None = None) -> None:
        self.rows, self.floor = list(rows), floor
        self.limits = {**limits, **({fluency.NAME: fluency.ATTEMPTS} if floor else {})}
        self._best: dict[int, _Attempt] = {}
        self._traces: list[Any] = []
        self.tries = [0] * len(self.rows)

    def add(self, numbers: Sequence[int], done: Finished) -> None:
        """Takes a batch; of two attempts at a row that misses fewer goals stays, then that which misses them by less."""
        missed: list[dict[str, float]] = [{} for _ in numbers]
        if done.trace is not None:
            active = done.trace.active  # a plugin whose window holds no step asks for nothing
            for goal in done.trace.unmet:
                if goal.plugin in active:
                    missed[goal.sample][goal.plugin] = goal.shortfall
        for report in fluency.below_floor(done.samples, self.floor):
            missed[report.sample][report.plugin] = report.shortfall
        for place, (number, sample, clean) in enumerate(zip(numbers, done.samples, done.clean, strict=True)):
            self.tries[number] += 1
            new = _Attempt(sample, clean, len(self._traces), place, missed[place])
            if number not in self._best or new.shortfall < self._best[number].shortfall:
                self._best[number] = new
        self._traces.append(done.trace)

    def missed(self) -> list[int]:
        """Numbers of the rows to write again: they miss the goal of a plugin that asks for more attempts."""
        return [
            number
            for number, tries in enumerate(self.tries)
            if any(self.limits.get(plugin, 1) > tries for plugin in self._best[number].missed)
        ]

    def row(self, number: int) -> Row:
        """A row with the seed of its next attempt."""
        row, tries = self.rows[number], self.tries[number]
        if not tries:
            return row
        drawn = np.random.SeedSequence((row.seed, _ATTEMPT_STREAM, tries)).generate_state(1, np.uint64)[0]
        return replace(row, seed=int(drawn >> np.uint64(1)))

    def samples(self) -> Iterator[Sample]:
        """The best attempts, under the seeds of the call."""
        for number, row in enumerate(self.rows):
            yield replace(self._best[number].sample, seed=row.seed, attempts=self.tries[number])

    def clean(self) -> list[Tensor | None]:
        """Their last clean estimates."""
        return [self._best[number].clean for number in range(len(self.rows))]

    def traces(self) -> list[tuple[Any, list[int], list[int]]]:
        """(trace of a batch, samples of it that were kept, their numbers) for each batch of which something was kept."""
        kept: list[list[int]] = [[] for _ in self._traces]
        for number in range(len(self.rows)):
            kept[self._best[number].batch].append(number)
        return [
            (trace, [self._best[number].place for number in numbers], numbers)
            for trace, numbers in zip(self._traces, kept, strict=True)
            if numbers
        ]
