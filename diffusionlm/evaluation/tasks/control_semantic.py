"""Task `control/semantic`: a given value is mentioned."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from diffusionlm.corpora.detokenize import detokenize
from diffusionlm.evaluation.context import Context
from diffusionlm.evaluation.control import ControlTarget, ControlTask, mentions
from diffusionlm.evaluation.registry import Unavailable, register
from diffusionlm.text.conditions import fields_of
from diffusionlm.text.lines import read_lines

SAYABLE = 0.1


@register("control/semantic")
@dataclass
class ControlSemantic(ControlTask):
    """A value of a field is mentioned word for word: semantic content, Li et al. 2022 (Diffusion-LM), section 5.1.

    Values come from ``control_targets/attribute.jsonl`` of the data, or else from the conditions of the held-out texts.
    One that fewer than a tenth of the real texts with it say word for word cannot be asked for this way and is left out.

    Args:
        values: phrases to ask for, instead of those of the data.
        count: at most so many values.
        per_target: samples of each.
    """

    values: list[str] = field(default_factory=list)
    count: int = 20
    per_target: int = 2

    full = {"count": 1000, "per_target": 6}
    order = 42

    def targets(self, context: Context) -> list[ControlTarget]:
        """One for each value."""
        values = list(dict.fromkeys(self.values)) or _values(context)
        return [
            ControlTarget(value, {"phrases": {"include": [value]}}, partial(_mentions, value))
            for value in values[: self.count]
        ]


def _mentions(value: str, text: str) -> float:
    return float(mentions(text, value))


def _values(context: Context) -> list[str]:
    """Values that real texts say, in an order that the seed decides."""
    if context.data.path("valid") is None:
        raise Unavailable("there are no values to mention: give data.root, or task.control_semantic.values=[...]")
    pairs = context.data.held_out + (context.data.training if context.data.path("train") else [])
    file = context.data.targets("attribute")
    found = read_values(file) if file else sorted({item for condition, _ in pairs for item in fields_of(condition)})
    if not found:
        raise Unavailable("the held-out texts have no conditions such as name[The Mill] to take values from")
    shares = said_shares(found, pairs)
    values = [value for (_, value), share in zip(found, shares, strict=True) if share >= SAYABLE]
    return random.Random(context.seed).sample(values, len(values))


def read_values(path: Path) -> list[tuple[str, str]]:
    """Fields and values of a file of lines such as `["name", ":", "The", "Mill"]`, as natural text.

    Raises:
        ValueError: a line of another form.
    """
    found = []
    for number, line in enumerate(read_lines(path), start=1):
        tokens = json.loads(line)
        if not isinstance(tokens, list) or ":" not in tokens[1:-1]:
            raise ValueError(f'{path}, line {number}: expected ["field", ":", "word", ...], got {line[:80]}')
        colon = tokens.index(":")
        found.append((" ".join(tokens[:colon]).lower(), detokenize(" ".join(tokens[colon + 1 :]))))
    return found


def said_shares(values: Sequence[tuple[str, str]], pairs: Sequence[tuple[str, str]]) -> list[float]:
    """For each field and value, how many of the texts that have it contain the value word for word."""
    texts: dict[tuple[str, str], list[str]] = {}
    for condition, text in pairs:
        for item in fields_of(condition):
            texts.setdefault(item, []).append(text)
    return [
        sum(mentions(text, value) for text in texts.get((name, value), [])) / max(1, len(texts.get((name, value), [])))
        for name, value in values
    ]
