"""Goals instead of weights: a controller per plugin and sample that holds a measure at its set point.

Integral control of the log-weight: every step the distance of the measure from the goal, relative to the goal and clipped
to [-1, 1], is added to it, so a measure far off doubles the weight at each step and one safely within lets it fall again.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from diffusionlm.guidance.guidance import Guidance

GAIN = math.log(2.0)
LOWEST, HIGHEST = math.log(1 / 64), math.log(4096.0)
FLOOR = 0.01  # smallest size that a distance is relative to


class GoalController:
    """The controller of one plugin.

    Args:
        plugin: with ``below`` or ``above``.
        rows: B.
        device: of the energies.
    """

    def __init__(self, plugin: Guidance, rows: int, device: torch.device) -> None:
        self.plugin = plugin
        self.log_factor = torch.zeros(rows, device=device)

    def update(self, measure: Tensor) -> Tensor:
        """Takes the measure (B,) of this step; returns the factor (B,) on the weight."""
        low, high = self.plugin.weight_range
        moved = self.log_factor + GAIN * shortfall(self.plugin, measure).clamp(-1, 1)
        self.log_factor = moved.clamp(max(LOWEST, math.log(low)), min(HIGHEST, math.log(high)))
        return self.log_factor.exp()

    def select(self, rows: Tensor) -> None:
        """Follows a resampling of the rows."""
        self.log_factor = self.log_factor[rows]


def has_goal(plugin: Guidance) -> bool:
    """Whether a goal is set."""
    return plugin.below is not None or plugin.above is not None


def shortfall(plugin: Guidance, measure: Tensor) -> Tensor:
    """How far the measure is from the goal, relative to it; at most 0 where it is reached."""
    if plugin.below is not None:
        return (measure - plugin.below) / max(abs(plugin.below), FLOOR)
    assert plugin.above is not None
    return (plugin.above - measure) / max(abs(plugin.above), FLOOR)


def reached(plugin: Guidance, measure: Tensor) -> Tensor:
    """Whether the goal holds (B,)."""
    if plugin.below is not None:
        return measure <= plugin.below
    assert plugin.above is not None
    return measure >= plugin.above


def goal_text(plugin: Guidance) -> str:
    """The goal in words."""
    return (
        f"{plugin.title} below {plugin.below:g}"
        if plugin.below is not None
        else f"{plugin.title} above {plugin.above:g}"
    )
