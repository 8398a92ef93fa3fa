"""Task `control/compose`: two phrases and an exact length at once."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import partial

from diffusionlm.evaluation.context import Context
from diffusionlm.evaluation.control import ControlTarget, ControlTask, mentions
from diffusionlm.evaluation.registry import Unavailable, register
from diffusionlm.text.conditions import fields_of


@register("control/compose")
@dataclass
class ControlCompose(ControlTask):
    """Two values of a held-out text that says both word for word, and its number of words, all at once.

    Args:
        count: targets.
        per_target: samples of each.
        shortest: words of a text that a target is taken from.
        longest: likewise.
    """

    count: int = 12
    per_target: int = 2
    shortest: int = 10
    longest: int = 40

    full = {"count": 100, "per_target": 4}
    order = 44

    def targets(self, context: Context) -> list[ControlTarget]:
        """One for each text."""
        if context.data.path("valid") is None:
            raise Unavailable("there are no held-out texts to take phrases and lengths from")
        draw = random.Random(context.seed)
        found: list[ControlTarget] = []
        for condition, text in context.data.held_out:
            said = [value for _, value in fields_of(condition) if mentions(text, value)]
            count = len(text.split())
            if len(said) > 1 and self.shortest <= count <= self.longest:
                phrases = tuple(draw.sample(said, 2))
                guidance = {"phrases": {"include": list(phrases)}, "length": {"words": count}}
                found.append(
                    ControlTarget(
                        f"{phrases[0]} + {phrases[1]}, {count} words", guidance, partial(_both, phrases, count)
                    )
                )
            if len(found) == self.count:
                break
        if not found:
            raise Unavailable("no held-out text says two values of its condition word for word")
        return found


def _both(phrases: tuple[str, ...], count: int, text: str) -> float:
    return float(len(text.split()) == count and all(mentions(text, phrase) for phrase in phrases))
