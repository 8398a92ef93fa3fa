"""Exact: rules that always hold. The posterior becomes the marginals of the texts that obey, by inference in an automaton.

See `diffusionlm.guidance.constraints`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from diffusionlm.guidance.engine.conflicts import Conflicts
from diffusionlm.guidance.engine.trust_region import mean_over_spans
from diffusionlm.guidance.strategies.strategy import STRATEGIES, Strategy

if TYPE_CHECKING:
    from diffusionlm.guidance.engine.session import GuidanceSession
    from diffusionlm.guidance.engine.step import Step
    from diffusionlm.guidance.guidance import Guidance

UNDONE = 20.0  # nats; log ratios of a constraint are clipped to it where directions are compared


@STRATEGIES.register("constraint")
@dataclass(frozen=True)
class Exact(Strategy):
    """Automaton constraint that always holds.

    Example:
        >>> Phrases(include=["pub"]).how
        Exact()
    """

    order: ClassVar[int] = 80
    reference: ClassVar[str] = (
        "Rabin and Scott 1959, Finite automata and their decision problems; "
        "Baum et al. 1970, A maximization technique; Viterbi 1967, Error bounds for convolutional codes"
    )

    def check(self, plugin: Guidance) -> None:
        """Only constraints can be exact, and a constraint that always holds needs no goal."""
        if not hasattr(plugin, "automata"):
            raise ValueError(
                f"{plugin.title!r} is an energy, and only constraints made of automata can hold exactly; use "
                "strategy='tilt', or derive it from diffusionlm.guidance.Constraint."
            )
        if plugin.below is not None or plugin.above is not None:
            raise ValueError(f"{plugin.title!r} always holds, so a goal has no meaning for it; drop below and above.")

    @classmethod
    def act(cls, session: GuidanceSession, step: Step, plugins: Sequence[tuple[str, Guidance]]) -> None:
        """Exact marginals under all rules of the call together."""
        assert session.joint is not None
        q = step.log_probs
        marginals, log_z, divergence = session.joint.marginals(q)
        energy, own = -log_z, mean_over_spans(divergence, step.mask)
        for name, plugin in plugins:
            session.record(step, name, plugin, energy, torch.ones_like(energy), own)
        if step.directions:
            ratio = (marginals - q).nan_to_num(0.0, UNDONE, -UNDONE).clamp(-UNDONE, UNDONE)
            ratio = torch.where(torch.isfinite(q), ratio, 0.0)
            for name, direction in step.directions:
                session.note(Conflicts.between([direction, ratio], q.exp(), [name, "constraints"]))
        step.log_probs, step.exact_cost = marginals, own
