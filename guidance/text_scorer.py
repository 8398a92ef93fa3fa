"""`TextScorer`: any Python function of the finished text as guidance, by particles."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from diffusionlm.guidance.guidance import Guidance
from diffusionlm.guidance.registry.plugins import register
from diffusionlm.guidance.state import GuidanceState
from diffusionlm.guidance.strategies import Particles


@register("text-scorer")
class TextScorer(Guidance):
    """A function of text that says how good a text is; needs no gradient.

    Args:
        function: ``text -> float``, higher is better; differences of 1 count as much as a factor e in probability.

    The measure for goals is the score, so ``TextScorer(score, above=0.9)`` reads naturally.
    """

    reads = ("text",)
    differentiable = False
    reference = "Singhal et al. 2025, A general framework for inference-time scaling and steering of diffusion models"
    expected_failures = {"default_constructible": "there is no score that everybody wants"}

    function: Callable[[str], float]
    strategy = Particles()

    @classmethod
    def example(cls) -> TextScorer:
        """Prefers short texts."""
        return cls(brevity)

    def energy(self, state: GuidanceState) -> Tensor:
        """Minus the score of each text (B,)."""
        texts = state.texts()
        scores = {text: float(self.function(text)) for text in dict.fromkeys(texts)}
        return torch.tensor([-scores[text] for text in texts], dtype=state.probs.dtype, device=state.device)

    def measure(self, energy: Tensor) -> Tensor:
        """The score."""
        return -energy


def brevity(text: str) -> float:
    """Minus a tenth of the number of characters."""
    return -0.1 * len(text)
