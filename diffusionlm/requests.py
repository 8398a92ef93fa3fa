"""What was asked for, checked and spread into rows: one row is one sample to be written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from operator import index
from typing import Any

import numpy as np

from diffusionlm.spans import Canvas


@dataclass(frozen=True)
class Row:
    """One sample to be written.

    Attributes:
        canvas: known text and spans.
        prompt: the condition, "" for none.
        seed: of its noise.
        source: index of the input it belongs to.
    """

    canvas: Canvas
    prompt: str
    seed: int
    source: int


def check_settings(steps: Any, temperature: Any, batch_size: Any) -> None:
    """Raises ValueError for a setting out of range."""
    check_count("steps", steps, "; 16 to 64 are usual")
    if temperature is not None:
        _check_temperature(temperature)
    check_count("batch_size", batch_size)


def _check_temperature(value: Any) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (number and 0 < value < math.inf):
        raise ValueError(f"temperature must be positive and finite, got {value!r}; 1 samples the model as it is.")


def read_temperatures(value: Any) -> dict[int, float]:
    """Temperatures by number of steps, from a number or a mapping (with strings for keys where it comes from JSON).

    Raises:
        ValueError: for anything but positive, finite temperatures of whole numbers of steps.
    """
    if not isinstance(value, Mapping):
        _check_temperature(value)
        return {32: float(value)}
    found = {}
    for steps, temperature in value.items():
        _check_temperature(temperature)
        if not str(steps).isdecimal() or int(steps) < 1:
            raise ValueError(f"temperature maps numbers of steps, such as 16, to temperatures; got the key {steps!r}.")
        found[int(steps)] = float(temperature)
    if not found:
        raise ValueError("temperature is an empty mapping; give a number, or at least one number of steps.")
    return found


def interpolate(temperatures: Mapping[int, float], steps: int) -> float:
    """The temperature for a number of steps: linear in log(steps) between those given, constant outside."""
    known = sorted(temperatures)
    return float(np.interp(math.log(steps), [math.log(n) for n in known], [temperatures[n] for n in known]))


def check_count(name: str, value: Any, hint: str = "") -> None:
    """Raises ValueError unless ``value`` is a whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be an integer of at least 1, got {value!r}{hint}.")


def read_rows(
    text: Any, prompt: Any, num_samples: int, seed: int | None, max_length: int, longest: int
) -> tuple[list[Row], bool]:
    """Rows in the order of the inputs, and whether a list of inputs was given.

    Args:
        text: as the pipeline takes it.
        prompt: likewise.
        num_samples: rows for each input.
        seed: of the first sample of each input; drawn if None.
        max_length: positions of a text written from nothing.
        longest: what the model takes.

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
    first = int(np.random.SeedSequence().generate_state(1)[0] >> 2) if seed is None else _read_seed(seed)
    rows = []
    for source, (given, condition) in enumerate(zip(texts, prompts, strict=True)):
        if condition is not None and not isinstance(condition, str):
            raise TypeError(f"prompt must be a string or a list of strings, got {type(condition).__name__}.")
        canvas = _read_canvas(given, max_length)
        for part in (condition or "", *canvas.literals):
            _check_characters(part)
        rows += [Row(canvas, condition or "", first + j, source) for j in range(num_samples)]
    return rows, batched


def _check_characters(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"The text has {text[error.start]!r} at character {error.start}, half of a character (a lone surrogate): read it "
            "with its right encoding, or replace what is broken."
        ) from error


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
