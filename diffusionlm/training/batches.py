"""Batches as a pure function of (seed, stream, step): a killed run continues exactly, processes share one global batch.

One batch holds one task, so that its rows have about one length and little is spent on padding.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from diffusionlm.training.tasks import INFILL, PREFIX, TASKS, WHOLE, Layout, draw_infill, draw_prefix, draw_whole

if TYPE_CHECKING:
    from diffusionlm.training.corpus import TokenCorpus
    from diffusionlm.training.neighbours import Neighbours


@dataclass(frozen=True)
class SpanBatch:
    """A batch of laid-out texts; B rows, L span positions, K known positions, P prompt positions.

    Attributes:
        span_ids: (B, L) targets.
        span_mask: (B, L) bool.
        span_positions: (B, L).
        open_mask: (B, L) bool.
        known_ids, known_mask, known_positions: (B, K); K may be 0.
        prompt_ids, prompt_mask, prompt_positions: (B, P); P may be 0. Prompts stand before position 0.
        task: name of the task.
        retrieved_ids, retrieved_mask, retrieved_positions: (B, K, R) of up to K neighbours, before position 0; None without.
        image_values, image_mask: (B, N, C) and (B, N), patches of the texts' images; None without.
        sound_values, sound_mask: likewise of sounds.
    """

    span_ids: Tensor
    span_mask: Tensor
    span_positions: Tensor
    open_mask: Tensor
    known_ids: Tensor
    known_mask: Tensor
    known_positions: Tensor
    prompt_ids: Tensor
    prompt_mask: Tensor
    prompt_positions: Tensor
    task: str = ""
    retrieved_ids: Tensor | None = None
    retrieved_mask: Tensor | None = None
    retrieved_positions: Tensor | None = None
    image_values: Tensor | None = None
    image_mask: Tensor | None = None
    sound_values: Tensor | None = None
    sound_mask: Tensor | None = None

    @property
    def context(self) -> dict[str, Tensor]:
        """What the spans may look at, by name, as ``TrainingStep.memory`` takes it."""
        kinds = ("known_", "prompt_", "retrieved_", "image_", "sound_")
        return {name: value for name, value in self.tensors().items() if name.startswith(kinds)}

    @property
    def num_tokens(self) -> int:
        """Span positions in use."""
        return int(self.span_mask.sum())

    def tensors(self) -> dict[str, Tensor]:
        """All tensors by name, as the training step takes them."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}

    def rows(self, start: int, stop: int) -> SpanBatch:
        """Rows start..stop-1."""
        return SpanBatch(**{name: value[start:stop] for name, value in self.tensors().items()}, task=self.task)

    def to(self, device: torch.device | str) -> SpanBatch:
        """On another device."""
        return SpanBatch(**{name: value.to(device) for name, value in self.tensors().items()}, task=self.task)


@dataclass(frozen=True)
class BatchSource:
    """Draws batches from a corpus.

    Attributes:
        corpus: where texts come from.
        pad_id: the pad token.
        tokens_per_batch: positions of a batch, span, known and prompt, about.
        limits: positions that whole texts and continuations may use; the limit of a batch is drawn from these.
        limit_weights: their weights; equal if empty.
        task_weights: share of each task in `TASKS`.
        prompt_share: how often a text that has a prompt is shown it.
        seed: of all draws.
        multiple: lengths are padded to a multiple of this, so that few shapes occur.
        pool: rows of one batch are neighbours in length among ``pool`` times as many draws.
        neighbours: what texts may read as retrieved passages; None without.
        media_share: how often texts are shown their images and sounds; those without are for guidance that compares the two.
    """

    corpus: TokenCorpus
    pad_id: int
    tokens_per_batch: int = 4096
    limits: tuple[int, ...] = (32, 48, 64)
    limit_weights: tuple[float, ...] = ()
    task_weights: dict[str, float] = field(default_factory=lambda: {WHOLE: 0.6, PREFIX: 0.15, INFILL: 0.25})
    prompt_share: float = 0.5
    seed: int = 0
    multiple: int = 8
    pool: int = 8
    neighbours: Neighbours | None = None
    media_share: float = 0.9

    def __post_init__(self) -> None:
        weights = self.task_weights.values()
        if set(self.task_weights) - set(TASKS) or min(weights, default=-1) < 0 or not sum(weights) > 0:
            raise ValueError(f"data.task_weights must weigh some of {TASKS}, got {dict(self.task_weights)}.")
        if not self.limits or (self.limit_weights and len(self.limit_weights) != len(self.limits)):
            raise ValueError(
                f"data.limit_weights must be empty or one weight for each limit, got {list(self.limit_weights)} for "
                f"the limits {list(self.limits)}."
            )
        if self.tokens_per_batch < 1 or not 0 <= self.prompt_share <= 1:
            raise ValueError(
                "data.tokens_per_batch must be at least 1 and data.prompt_share in [0, 1], got "
                f"{self.tokens_per_batch} and {self.prompt_share}."
            )
        shortest = int(self.corpus.lengths.min())
        if min(self.limits) < shortest:
            raise ValueError(
                f"No text of the corpus fits into {min(self.limits)} positions, the shortest has {shortest} tokens; "
                f"raise the lowest of data.limits, {list(self.limits)}."
            )

    @cached_property
    def typical_length(self) -> int:
        """Mean length of a text, tokens."""
        return int(self.corpus.lengths.mean())

    @cached_property
    def typical_prompt(self) -> int:
        """Mean length of the prompts there are, tokens."""
        lengths = np.diff(self.corpus.prompt_offsets)
        return int(lengths[lengths > 0].mean()) if bool((lengths > 0).any()) else 0

    def batch(self, step: int, stream: int = 0) -> SpanBatch:
        """The batch of a step; ``stream`` separates uses (micro-steps, validation) from each other."""
        rng = np.random.default_rng((self.seed, stream, step))
        names = [name for name in TASKS if self.task_weights.get(name, 0) > 0]
        weights = np.array([self.task_weights[name] for name in names], dtype=float)
        task = names[int(rng.choice(len(names), p=weights / weights.sum()))]
        limit_p = np.array(self.limit_weights or [1.0] * len(self.limits), dtype=float)
        limit = int(rng.choice(self.limits, p=limit_p / limit_p.sum()))
        with_prompt = bool(rng.random() < self.prompt_share) and self._any_prompt
        share = float(rng.uniform(0.1, 0.9))
        rows = self._num_rows(task, limit, with_prompt)
        chosen = self._neighbours(self._draw(limit, rows * self.pool, rng), rows, task, with_prompt, rng)
        layouts = [self._layout(self.corpus.text(i), task, limit, share, rng) for i in chosen]
        prompts = [self.corpus.prompt(i) if with_prompt else self.corpus.prompt(i)[:0] for i in chosen]
        batch = collate(layouts, prompts, self.pad_id, self.multiple, task)
        if self.corpus.media is not None and rng.random() < self.media_share:
            shown: dict[str, Any] = {
                name: torch.from_numpy(value) for name, value in self.corpus.media.padded(chosen).items()
            }
            batch = replace(batch, **shown)
        if self.neighbours is None or rng.random() >= self.neighbours.share:
            return batch
        return with_neighbours(batch, self.neighbours.draw(chosen, rng), self.pad_id, self.multiple)

    @property
    def min_rows(self) -> int:
        """The fewest rows that a batch may have."""
        tasks = [task for task in TASKS if self.task_weights.get(task, 0) > 0]
        return min(self._num_rows(task, max(self.limits), self._any_prompt) for task in tasks)

    def _num_rows(self, task: str, limit: int, with_prompt: bool) -> int:
        """Rows for which all batches cost about the same; a known position costs as much as a span position."""
        positions = limit
        if task == INFILL:
            positions = self.typical_length + 8
        elif task == PREFIX:
            positions += self.multiple
        return max(1, self.tokens_per_batch // (positions + (self.typical_prompt if with_prompt else 0)))

    @cached_property
    def _any_prompt(self) -> bool:
        return bool(self.corpus.has_prompt.any())

    @cached_property
    def _fitting(self) -> dict[int, tuple[np.ndarray, np.ndarray | None]]:
        """For each limit the texts that fit, and where sources have shares, the cumulative chance of each text."""
        found: dict[int, tuple[np.ndarray, np.ndarray | None]] = {}
        for limit in self.limits:
            candidates, chances = np.flatnonzero(self.corpus.lengths <= limit), None
            if self.corpus.source is not None:
                source = self.corpus.source[candidates]
                counts = np.bincount(source, minlength=len(self.corpus.shares))
                chances = np.cumsum((np.array(self.corpus.shares) / np.maximum(counts, 1))[source])
                chances /= chances[-1]
            found[limit] = candidates, chances
        return found

    def _draw(self, limit: int, size: int, rng: np.random.Generator) -> np.ndarray:
        candidates, chances = self._fitting[limit]
        if chances is None:
            return rng.choice(candidates, size=size)
        return candidates[np.searchsorted(chances, rng.random(size), side="right")]

    def _neighbours(
        self, drawn: np.ndarray, rows: int, task: str, with_prompt: bool, rng: np.random.Generator
    ) -> np.ndarray:
        """``rows`` of the drawn texts that are alike in what they cost; every text stays equally likely."""
        cost = self.corpus.lengths[drawn] if task != WHOLE else np.zeros(len(drawn), dtype=np.int64)
        if with_prompt:
            cost = cost + np.diff(self.corpus.prompt_offsets)[drawn]
        order = drawn[np.argsort(cost, kind="stable")]
        start = int(rng.integers(self.pool)) * rows
        return order[start : start + rows]

    def _layout(self, ids: np.ndarray, task: str, limit: int, share: float, rng: np.random.Generator) -> Layout:
        if task == WHOLE:
            return draw_whole(ids, limit, self.pad_id)
        if task == PREFIX:
            return draw_prefix(ids, limit, share, self.pad_id)
        return draw_infill(ids, share, self.pad_id, rng)


def with_neighbours(batch: SpanBatch, texts: list[list[np.ndarray]], pad_id: int, multiple: int = 1) -> SpanBatch:
    """The batch with the neighbours of each row; unchanged where no row has any."""
    most = max(map(len, texts))
    if not most:
        return batch
    longest = max(len(text) for own in texts for text in own)
    shape = len(texts), most, -(-longest // multiple) * multiple
    ids, positions = np.full(shape, pad_id, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    mask = np.zeros(shape, dtype=bool)
    for row, own in enumerate(texts):
        for number, text in enumerate(own):
            ids[row, number, : len(text)], mask[row, number, : len(text)] = text, True
            positions[row, number, : len(text)] = np.arange(len(text)) - len(text)
    return replace(
        batch,
        retrieved_ids=torch.from_numpy(ids),
        retrieved_mask=torch.from_numpy(mask),
        retrieved_positions=torch.from_numpy(positions),
    )


def collate(
    layouts: list[Layout], prompts: list[np.ndarray], pad_id: int, multiple: int = 1, task: str = ""
) -> SpanBatch:
    """Pads rows to common lengths; a part that is empty in every row has length 0."""

    def padded(rows: list[np.ndarray], fill: int) -> tuple[Tensor, Tensor]:
        longest = max(len(row) for row in rows)
        width = -(-longest // multiple) * multiple
        out = np.full((len(rows), width), fill, dtype=np.int64)
        mask = np.zeros((len(rows), width), dtype=bool)
        for i, row in enumerate(rows):
            out[i, : len(row)] = row
            mask[i, : len(row)] = True
        return torch.from_numpy(out), torch.from_numpy(mask)

    span_ids, span_mask = padded([layout.span_ids for layout in layouts], pad_id)
    known_ids, known_mask = padded([layout.known_ids for layout in layouts], pad_id)
    prompt_ids, prompt_mask = padded(prompts, pad_id)
    return SpanBatch(
        span_ids=span_ids,
        span_mask=span_mask,
        span_positions=padded([layout.span_positions for layout in layouts], 0)[0],
        open_mask=padded([layout.open_mask.astype(np.int64) for layout in layouts], 0)[0].bool(),
        known_ids=known_ids,
        known_mask=known_mask,
        known_positions=padded([layout.known_positions for layout in layouts], 0)[0],
        prompt_ids=prompt_ids,
        prompt_mask=prompt_mask,
        prompt_positions=padded([np.arange(len(row)) - len(row) for row in prompts], 0)[0],
        task=task,
    )
