"""Task `control/prompt`: the values of a prompt are mentioned, with classifier-free guidance of several strengths."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from diffusionlm.evaluation.context import Context
from diffusionlm.evaluation.control import ControlTarget, ControlTask, mentions
from diffusionlm.evaluation.registry import Unavailable, register
from diffusionlm.text.conditions import fields_of


@register("control/prompt")
@dataclass
class ControlPrompt(ControlTask):
    """Share of a prompt's values that the text says word for word; "unguided" has the prompt and no guidance.

    Prompts are conditions of held-out texts, with those values that the text itself says.

    Args:
        count: prompts.
        per_target: samples of each.
        weight: of classifier-free guidance (Ho and Salimans 2022).
        strengths: weights for the frontier of control against fluency; [] draws none.
    """

    count: int = 12
    per_target: int = 2
    weight: float = 1.0
    strengths: list[float] = field(default_factory=lambda: [0.5, 2.0, 4.0])

    full = {"count": 100, "per_target": 4, "strengths": [0.25, 0.5, 2.0, 4.0]}
    order = 46

    def targets(self, context: Context) -> list[ControlTarget]:
        """One for each prompt."""
        if context.data.path("valid") is None:
            raise Unavailable("there are no held-out texts to take prompts from")
        found: dict[str, ControlTarget] = {}
        for condition, text in context.data.held_out:
            said = [(name, value) for name, value in fields_of(condition) if mentions(text, value)]
            if len(said) < 2:
                continue
            prompt = ", ".join(f"{name}[{value}]" for name, value in said)
            values = tuple(value for _, value in said)
            guidance = {"classifier-free": {"weight": self.weight}}
            found[prompt] = ControlTarget(prompt, guidance, partial(_share, values), {"prompt": prompt})
            if len(found) == self.count:
                break
        if not found:
            raise Unavailable("no held-out text has a condition such as name[The Mill], food[Italian] and says it")
        return list(found.values())


def _share(values: tuple[str, ...], text: str) -> float:
    return sum(mentions(text, value) for value in values) / len(values)
