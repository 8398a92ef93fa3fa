"""Task `control/length`: exactly so many words."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from diffusionlm.evaluation.context import Context
from diffusionlm.evaluation.control import ControlTarget, ControlTask
from diffusionlm.evaluation.registry import register


@register("control/length")
@dataclass
class ControlLength(ControlTask):
    """Texts of exactly n words as `str.split` counts them, n from `shortest` to `longest`, every `stride`-th.

    Args:
        shortest: words.
        longest: words.
        stride: between two lengths.
        per_target: samples of each length.
    """

    shortest: int = 10
    longest: int = 40
    stride: int = 3
    per_target: int = 2

    full = {"stride": 1, "per_target": 4}
    order = 40

    def targets(self, context: Context) -> list[ControlTarget]:
        """One for each length."""
        lengths = range(self.shortest, self.longest + 1, self.stride)
        return [ControlTarget(f"{n} words", {"length": {"words": n}}, partial(_has_words, n)) for n in lengths]


def _has_words(count: int, text: str) -> float:
    return float(len(text.split()) == count)
