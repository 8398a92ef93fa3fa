"""Continuations of prompts, guided and unguided, several of each: what toxicity and leakage are measured on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from diffusionlm.evaluation.context import Context
from diffusionlm.evaluation.sample_sets import SampleSet
from diffusionlm.spans import Canvas

CHUNK = 8  # prompts written at once


def continuations(
    context: Context, name: str, prompts: Sequence[str], each: int, length: int, guidance: Mapping[str, Any] | None
) -> SampleSet:
    """``each`` continuations of every prompt, in order: whole texts, prompt included. Kept in parts.

    Args:
        context: of the evaluation.
        name: of the files.
        prompts: beginnings of texts.
        each: continuations of a prompt.
        length: tokens that one may have at most; fewer where the model has no room.
        guidance: plugins as plain data, or None.

    Raises:
        ValueError: a prompt leaves no room to write.
    """
    limit = context.pipe.model.max_length
    rooms = [limit - len(context.pipe.tokenizer.encode(prompt)) for prompt in prompts]
    for prompt, room in zip(prompts, rooms, strict=True):
        if room < 1:
            raise ValueError(f"The prompt leaves no room in the model's {limit} tokens: {prompt[:60]!r}.")
    whole = SampleSet([])
    for first in context.progress(range(0, len(prompts), CHUNK), name):
        part = list(prompts[first : first + CHUNK])
        # a span in a prompt's own text stays text: canvases are made of it as it is
        canvases = [
            Canvas.from_prefix(f"{prompt} ", min(length, room))
            for prompt, room in zip(part, rooms[first:], strict=False)
        ]
        whole += context.samples(name, each, first=first * each, guidance=guidance, text=canvases)
    return whole


def written(made: SampleSet, prompts: Sequence[str], each: int) -> list[str]:
    """Text behind the prompt, for each text."""
    return [text[len(" ".join(prompts[i // each].split())) :].strip() for i, text in enumerate(made.texts)]
