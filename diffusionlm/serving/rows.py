"""Rows: one row is one text to write. Rows of different requests, or of one job, that may share a batch are written together.

The noise of a row follows from its seed alone, so its text does not depend on the rows beside it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from diffusionlm.errors import GuidanceError, suggestion
from diffusionlm.generation.requests import check_count, lay_out
from diffusionlm.generation.results import GenerationResult, Sample, StepState
from diffusionlm.generation.temperatures import check_temperature
from diffusionlm.spans import Canvas, Span

if TYPE_CHECKING:
    from diffusionlm.pipeline import DiffusionLMPipeline

LENGTH_CLASS = 16  # canvases whose span positions round up to the same multiple stand side by side
OF_A_ROW = (ValueError, TypeError, OSError, ImportError, GuidanceError, FloatingPointError)  # another row may do better
OF_THE_SIZE = (MemoryError, torch.OutOfMemoryError)  # fewer rows may do better


@dataclass(frozen=True)
class RowSettings:
    """Settings that all rows of a batch have in common.

    Attributes:
        steps: denoising steps; None takes the checkpoint's own.
        temperature: None takes the checkpoint's own.
        sampler: a name, or ``{"name": ..., settings}`` as JSON; None takes the checkpoint's own.
        guidance: a key, which the writer turns into plugins; "" for none.
    """

    steps: int | None = None
    temperature: float | None = None
    sampler: str | None = None
    guidance: str = ""

    def __post_init__(self) -> None:
        if self.steps is not None:
            check_count("steps", self.steps, "; 16 to 64 are usual")
        if self.temperature is not None:
            check_temperature(self.temperature)
        if self.sampler is not None:
            from diffusionlm.samplers import make_sampler

            make_sampler(read_sampler(self.sampler))


def read_sampler(given: str | None) -> Any:
    """The sampler of `RowSettings` as the pipeline takes it."""
    return json.loads(given) if given is not None and given.startswith("{") else given


def check_sampler(name: Any) -> None:
    """Raises ValueError unless a sampler that a request or a row names is one of ours: others are imported by their name."""
    from diffusionlm.samplers import SAMPLERS

    if name is not None and (not isinstance(name, str) or name not in SAMPLERS):
        raise ValueError(f"There is no sampler {str(name)[:100]!r}; {suggestion(str(name)[:100], SAMPLERS)}")


@dataclass(frozen=True)
class WorkRow:
    """One text to write.

    Attributes:
        canvas: known text and spans, each span with its length.
        prompt: the condition, "" for none.
        seed: of its noise.
        settings: what it shares with the rows of its batch.
        positions: positions of its spans.
        known: tokens of its known text and its prompt.
    """

    canvas: Canvas
    prompt: str
    seed: int
    settings: RowSettings
    positions: int
    known: int

    @property
    def group(self) -> tuple[RowSettings, int]:
        """Rows with an equal group may share a batch: the same settings, and about as many positions."""
        return self.settings, -(-self.positions // LENGTH_CLASS)


@dataclass(frozen=True)
class Written:
    """One finished row.

    Attributes:
        sample: the text and what belongs to it.
        unmet: goals that it misses, in words.
    """

    sample: Sample
    unmet: tuple[str, ...]


def make_row(
    pipe: DiffusionLMPipeline,
    canvas: Canvas,
    prompt: str,
    seed: int,
    settings: RowSettings,
    max_span_length: int | None = None,
) -> WorkRow:
    """A row that fits the model.

    Args:
        pipe: the model.
        canvas: known text and spans.
        prompt: the condition, "" for none.
        seed: of its noise.
        settings: of its batch.
        max_span_length: positions of a span without a length; None takes the checkpoint's own.

    Raises:
        ValueError: if it does not fit.
    """
    longest = pipe.model.max_length
    layout = lay_out(canvas, pipe.tokenizer, max_span_length or pipe.max_span_length, longest)
    own = layout.span_index.bincount(minlength=len(canvas.spans)).tolist()
    lengths = iter(own)
    pieces = tuple(replace(p, length=next(lengths)) if isinstance(p, Span) else p for p in canvas.pieces)
    condition = len(pipe.tokenizer.encode(prompt)) if prompt else 0
    if condition > 2 * longest:
        raise ValueError(f"The prompt has {condition} tokens, at most {2 * longest} are allowed.")
    return WorkRow(Canvas(pieces), prompt, seed, settings, layout.length, layout.total - layout.length + condition)


def write(
    pipe: DiffusionLMPipeline,
    rows: Sequence[WorkRow],
    guidance: Callable[[str], Any],
    on_step: Callable[[StepState, Sequence[int]], None] | None = None,
) -> list[Written | Exception]:
    """Writes rows of one group in one batch; of each its text, or the error that it alone raises.

    A batch that fails is halved until the rows at fault stand alone.

    Args:
        pipe: the model.
        rows: of one group.
        guidance: plugins from the key in the rows' settings.
        on_step: called after every step with the state and, for each sample of the state, its place in ``rows``.
    """
    out: list[Written | Exception | None] = [None] * len(rows)
    for places, result in _halves(pipe, rows, list(range(len(rows))), guidance, on_step):
        for place, written in zip(places, result, strict=True):
            out[place] = written
    return [written for written in out if written is not None]


def _halves(
    pipe: DiffusionLMPipeline,
    rows: Sequence[WorkRow],
    places: list[int],
    guidance: Callable[[str], Any],
    on_step: Callable[[StepState, Sequence[int]], None] | None,
) -> Iterator[tuple[list[int], list[Written | Exception]]]:
    own = [rows[place] for place in places]
    try:
        result = _run(pipe, own, guidance, lambda s: on_step and on_step(s, [places[number] for number in s.samples]))
    except (*OF_A_ROW, *OF_THE_SIZE) as error:
        if len(places) == 1:
            yield places, [error.with_traceback(None)]
            return
        half = len(places) // 2
        for part in (places[:half], places[half:]):
            yield from _halves(pipe, rows, part, guidance, on_step)
        return
    missed: dict[int, list[str]] = {}
    for goal in result.unmet:
        missed.setdefault(goal.sample, []).append(f"{goal.goal}: {goal.value:.3g}")
    yield places, [Written(group[0], tuple(missed.get(i, ()))) for i, group in enumerate(result.samples)]


def _run(
    pipe: DiffusionLMPipeline,
    rows: Sequence[WorkRow],
    guidance: Callable[[str], Any],
    on_step: Callable[[StepState], Any],
) -> GenerationResult:
    settings = rows[0].settings
    stream = pipe.stream(
        [row.canvas for row in rows],
        prompt=[row.prompt for row in rows],
        seed=[row.seed for row in rows],
        steps=settings.steps,
        temperature=settings.temperature,
        sampler=read_sampler(settings.sampler),
        guidance=guidance(settings.guidance),
        batch_size=len(rows),
    )
    result = None
    for item in stream:
        if isinstance(item, GenerationResult):
            result = item
        else:
            on_step(item)
    assert result is not None
    return result


def batches(rows: Iterable[WorkRow], most: int) -> list[list[int]]:
    """Places of rows that are written together: of one group, at most so many, groups in the order of their first row."""
    groups: dict[Any, list[int]] = {}
    for place, row in enumerate(rows):
        groups.setdefault(row.group, []).append(place)
    return [own[start : start + most] for own in groups.values() for start in range(0, len(own), most)]
