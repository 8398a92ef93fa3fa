"""Requests, checked and spread into rows: one row is one sample to be written."""

from __future__ import annotations

import math
from dataclasses import dataclass
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np

from diffusionlm.context.binding import read_context, split_concepts
from diffusionlm.generation.fluency import check_fluency
from diffusionlm.generation.temperatures import check_temperature
from diffusionlm.spans import Canvas

if TYPE_CHECKING:
    from diffusionlm.context.source import Source
    from diffusionlm.spans import CanvasLayout
    from diffusionlm.text import TextTokenizer

LONGEST_TEXT = 100_000  # positions of a text that is written in blocks


class TooLong(ValueError):
    """A text has more tokens than the model takes.

    Attributes:
        total: tokens of the text, or of a span of it that is too long by itself.
        written: those of them that are to be written.
        takes: tokens that the model takes.

    Example:
        >>> raise TooLong("It is too long.", 70, 60, 64)
        Traceback (most recent call last):
        diffusionlm.generation.requests.TooLong: It is too long.
    """

    def __init__(self, message: str, total: int, written: int, takes: int) -> None:
        super().__init__(message)
        self.total, self.written, self.takes = total, written, takes


@dataclass(frozen=True)
class Row:
    """One sample to be written.

    Attributes:
        canvas: known text and spans.
        prompt: the condition, "" for none.
        seed: of its noise.
        source: index of the input it belongs to.
        concepts: names of the concepts that its text begins with.
        context: sources of memory beside prompt and canvas, ready for the pipeline.
    """

    canvas: Canvas
    prompt: str
    seed: int
    source: int
    concepts: tuple[str, ...] = ()
    context: tuple[Source, ...] = ()


@dataclass(frozen=True)
class CallSettings:
    """Settings of a call besides its text, as `DiffusionLMPipeline.__call__` explains it.

    Raises:
        ValueError: if steps, temperature or batch_size are out of range.
    """

    prompt: Any = None
    num_samples: int = 1
    steps: int | None = None
    sampler: Any = None
    temperature: float | None = None
    seed: Any = None
    guidance: Any = None
    max_length: int | None = None
    max_span_length: int | None = None
    batch_size: int = 64
    best_of: int | None = None
    block_length: int | None = None
    fluency: float | None = None
    bigrams: float | None = None
    adapter: str | None = None
    context: Any = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "context", read_context(self.context))
        counts = {} if self.steps is None else {"steps": check_count("steps", self.steps, "; 16 to 64 are usual")}
        counts["num_samples"] = check_count("num_samples", self.num_samples)
        counts["batch_size"] = check_count("batch_size", self.batch_size)
        if self.best_of is not None:
            counts["best_of"] = check_count("best_of", self.best_of)
        if self.block_length is not None:
            counts["block_length"] = check_count("block_length", self.block_length)
        for name in ("max_length", "max_span_length"):
            if isinstance(getattr(self, name), np.integer):  # what fits the model is checked where that is known
                counts[name] = int(getattr(self, name))
        if self.temperature is not None:
            object.__setattr__(self, "temperature", check_temperature(self.temperature))
        if self.bigrams is not None:
            object.__setattr__(self, "bigrams", check_weight("bigrams", self.bigrams))
        if self.fluency is not None:
            object.__setattr__(self, "fluency", check_fluency(self.fluency))
        for name, value in counts.items():  # as Python's own numbers
            object.__setattr__(self, name, value)


def check_count(name: str, value: Any, hint: str = "") -> int:
    """A whole number of at least 1 as Python's own, whoever made it (NumPy, PyTorch).

    Raises:
        ValueError: if it is none.
    """
    try:
        number = 0 if isinstance(value, bool) else index(value)
    except TypeError:
        number = 0
    if number < 1:
        raise ValueError(f"{name} must be an integer of at least 1, got {value!r}{hint}.")
    return number


def check_weight(name: str, value: Any) -> float:
    """A finite number of at least 0 as Python's own, whoever made it.

    Raises:
        ValueError: if it is none.
    """
    number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not (number and 0 <= value < math.inf):
        raise ValueError(f"{name} must be a finite number of at least 0, got {value!r}.")
    return float(value)


def read_rows(
    text: Any, prompt: Any, num_samples: int, seed: Any, max_length: int, longest: int
) -> tuple[list[Row], bool]:
    """Rows in the order of the inputs, and whether a list of inputs was given.

    Args:
        text: as the pipeline takes it.
        prompt: likewise.
        num_samples: rows for each input.
        seed: of the first sample, one for all inputs or a list with one for each; drawn if None.
        max_length: positions of a text written from nothing.
        longest: positions of the longest text.

    Raises:
        ValueError: if something is out of range, empty, or does not fit together.
        TypeError: if a text or a prompt is of the wrong type.
    """
    check_count("num_samples", num_samples)
    if isinstance(max_length, bool) or not isinstance(max_length, int) or not 1 <= max_length <= longest:
        raise ValueError(f"max_length must lie in 1..{longest}, got {max_length!r}.")
    batched = isinstance(text, (list, tuple)) or isinstance(prompt, (list, tuple))
    texts = list(text) if isinstance(text, (list, tuple)) else [text]
    prompts = list(prompt) if isinstance(prompt, (list, tuple)) else [prompt]
    if not texts or not prompts:
        raise ValueError("The list of inputs is empty.")
    count = max(len(texts), len(prompts))
    if {len(texts), len(prompts)} - {1, count}:
        raise ValueError(
            f"There are {len(texts)} texts and {len(prompts)} prompts; give one prompt for all, or one for each."
        )
    texts, prompts = texts * (count // len(texts)), prompts * (count // len(prompts))
    seeds = _read_seeds(seed, count)
    rows = []
    for source, (given, condition, first) in enumerate(zip(texts, prompts, seeds, strict=True)):
        if condition is not None and not isinstance(condition, str):
            raise TypeError(f"prompt must be a string or a list of strings, got {type(condition).__name__}.")
        concepts: tuple[str, ...] = ()
        if isinstance(given, str):
            concepts, given = split_concepts(given)
            given = None if concepts and not given else given
        canvas = _read_canvas(given, max_length)
        for part in (condition or "", *canvas.literals):
            _check_characters(part)
        rows += [Row(canvas, condition or "", first + j, source, concepts) for j in range(num_samples)]
    return rows, batched


def lay_out(canvas: Canvas, tokenizer: TextTokenizer, max_span_length: int, longest: int) -> CanvasLayout:
    """A canvas in tokens.

    Args:
        canvas: known text and spans.
        tokenizer: of the model.
        max_span_length: positions of a span without a length.
        longest: what the model takes.

    Raises:
        ValueError: if it does not fit the model.
    """
    check_count("max_span_length", max_span_length)
    takes = f"the model takes {longest}" if longest < LONGEST_TEXT else f"a text may have {longest}"
    for span in canvas.spans:  # before positions are listed one by one
        if (length := span.length or max_span_length) > longest:
            raise TooLong(
                f"The canvas has {length} tokens to write in a span, {takes}. Ask "
                "for fewer, or load the model with a larger max_position_embeddings and RoPE scaling.",
                length,
                length,
                longest,
            )
    layout = canvas.lay_out(tokenizer, max_span_length)
    if layout.total > longest:
        raise TooLong(
            f"The canvas has {layout.total} tokens ({layout.length} to write), {takes}. Shorten "
            "the text or its spans, or load the model with a larger max_position_embeddings and RoPE scaling.",
            layout.total,
            layout.length,
            longest,
        )
    return layout


def _check_characters(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"The text has {text[error.start]!r} at character {error.start}, half of a character (a lone surrogate): read it "
            "with its right encoding, or replace what is broken."
        ) from error


def _read_seeds(seed: Any, count: int) -> list[int]:
    """The seed of the first sample of each input."""
    if seed is None:
        return [int(np.random.SeedSequence().generate_state(1)[0] >> 2)] * count
    if not isinstance(seed, (list, tuple)):
        return [_read_seed(seed)] * count
    if len(seed) != count:
        raise ValueError(f"There are {count} inputs and {len(seed)} seeds; give one seed for all, or one for each.")
    return [_read_seed(item) for item in seed]


def _read_seed(seed: Any) -> int:
    try:
        value = -1 if isinstance(seed, bool) else index(seed)
    except TypeError:
        value = -1
    if value < 0:
        raise ValueError(f"seed must be an integer that is not negative, got {seed!r}; None draws one.")
    return value


def _read_canvas(given: Any, max_length: int) -> Canvas:
    if given is None:
        return Canvas.whole(max_length)
    if isinstance(given, Canvas):
        return given
    if isinstance(given, str):
        return Canvas.parse(given)
    raise TypeError(f"text must be a string, a Canvas, None, or a list of these, got {type(given).__name__}.")
