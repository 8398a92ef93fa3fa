"""Texts of a call on their way: those that fit the model are written at once, longer ones block by block."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from diffusionlm.generation.blocks import WholeLayout
from diffusionlm.generation.free_memory import give_back

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor

    from diffusionlm.generation.blocks import BlockLayout
    from diffusionlm.generation.requests import Row
    from diffusionlm.generation.results import Sample
    from diffusionlm.generation.retries import Attempts
    from diffusionlm.spans import CanvasLayout
    from diffusionlm.text import Vocabulary

_BLOCK_STREAM = 0xB10C  # keeps the seeds of later blocks apart from those of other samples


class LongTexts:
    """All rows of a call, each with what is written of it.

    Args:
        rows: what is to be written.
        layouts: the canvas of each row.
        wholes: the same in blocks; None for a row that is written at once.
        vocabulary: of the model.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        layouts: Sequence[CanvasLayout],
        wholes: Sequence[WholeLayout | None],
        vocabulary: Vocabulary,
    ) -> None:
        self.rows, self.layouts, self.wholes, self.vocabulary = list(rows), list(layouts), list(wholes), vocabulary
        self._ids: list[tuple[int, ...]] = [()] * len(self.rows)
        self._blocks: list[list[Sample]] = [[] for _ in self.rows]
        self._clean: list[list[Tensor]] = [[] for _ in self.rows]
        self._traces: list[tuple[Any, list[int], list[int]]] = []
        self._next = self._first()

    def _first(self) -> list[tuple[int, Row, CanvasLayout]]:
        shared: dict[int, BlockLayout] = {}
        out: list[tuple[int, Row, CanvasLayout]] = []
        for number, (row, layout, whole) in enumerate(zip(self.rows, self.layouts, self.wholes, strict=True)):
            if whole is None:
                out.append((number, row, layout))
            else:
                out.append((number, row, shared.setdefault(id(whole), whole.block((), self.vocabulary))))
        return out

    def waiting(self) -> tuple[list[int], list[Row], list[CanvasLayout]]:
        """Numbers, rows and layouts of what is to be written next; empty when all texts are finished."""
        numbers, rows, layouts = ([item[k] for item in self._next] for k in range(3))
        return numbers, rows, layouts  # type: ignore[return-value]

    def take(self, attempts: Attempts) -> None:
        """Takes what was written of `waiting`."""
        numbers = [number for number, *_ in self._next]
        self._traces += [(trace, kept, [numbers[n] for n in own]) for trace, kept, own in attempts.traces()]
        done = zip(self._next, attempts.samples(), attempts.clean(), strict=True)
        following: list[tuple[int, Row, CanvasLayout]] = []
        for (number, row, layout), sample, clean in done:
            whole = self.wholes[number]
            self._blocks[number].append(sample)
            if clean is not None:
                self._clean[number].append(clean)
            if whole is None:
                continue
            ids = sample.token_ids[0]
            pads = [self.vocabulary.pad_id] * (layout.length - len(ids))
            self._ids[number] += (*ids, *pads)
            if pads:
                self._skip(number)
            if len(self._ids[number]) < whole.layout.length:
                block = whole.block(self._ids[number], self.vocabulary)
                following.append((number, replace(row, seed=self._seed(number)), block))
        self._next = following
        if any(whole is not None for whole in self.wholes):
            give_back()  # automata of finished blocks, whose pieces would fill the heap

    def _skip(self, number: int) -> None:
        """Fills the rest of a span that ended."""
        spans = self.layouts[number].span_index
        ids = self._ids[number]
        end = len(ids) + int((spans[len(ids) :] == spans[len(ids) - 1]).sum())
        self._ids[number] = (*ids, *[self.vocabulary.pad_id] * (end - len(ids)))

    def _seed(self, number: int) -> int:
        drawn = np.random.SeedSequence((self.rows[number].seed, _BLOCK_STREAM, len(self._blocks[number])))
        return int(drawn.generate_state(1, np.uint64)[0] >> np.uint64(1))

    def samples(self, verify: Callable[[CanvasLayout, Sequence[int]], dict[str, bool]]) -> Iterator[Sample]:
        """The finished texts under the seeds of the call.

        Args:
            verify: ``(layout, tokens (L,)) -> which rules hold``.
        """
        for row, layout, whole, ids, blocks in zip(
            self.rows, self.layouts, self.wholes, self._ids, self._blocks, strict=True
        ):
            if whole is None:
                yield blocks[0]
                continue
            text, written = layout.assemble(ids, self.vocabulary)
            spans = layout.span_ids(ids, self.vocabulary.pad_id)
            counts = [len(block.token_ids[0]) for block in blocks]
            sure = [block.certainty or 0.0 for block in blocks]
            total = sum(value * count**0.5 for value, count in zip(sure, counts, strict=True))
            yield replace(
                blocks[0],
                text=text,
                spans=written,
                token_ids=spans,
                seed=row.seed,
                certificates=verify(layout, ids),
                attempts=max(block.attempts for block in blocks),
                certainty=total / max(1, sum(counts)) ** 0.5,
                fluency=min((block.fluency for block in blocks if block.fluency is not None), default=None),
            )

    def clean(self) -> list[Tensor]:
        """Last clean estimates (L, D) of each row, where the model has embeddings."""
        return [torch.cat(own) for own in self._clean if own]

    def traces(self) -> list[tuple[Any, list[int], list[int]]]:
        """(trace of a batch, samples of it that were kept, their numbers), block after block."""
        return self._traces
