"""Random draws of a step beside its batch: noise levels and noise, as a pure function of (seed, step, micro-step)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from diffusionlm.diffusion import NoiseSchedule, draw_progress

if TYPE_CHECKING:
    from diffusionlm.training.settings import TrainerSettings

_NOISE = 2  # the stream; those of batches are 0, 10, 20, ... and 1


@dataclass(frozen=True)
class NoiseDraws:
    """The random numbers of one micro-batch, which noise levels are made from once the schedule of the step is known.

    Attributes:
        progress: u (B,).
        nearly_clean: (B,) uniform, which rows get a nearly clean level.
        low: (B,) uniform, where between the cleanest level and a low one those are.
        self_condition: uniform.
        noise: (B, L, D) standard normal.
    """

    progress: Tensor
    nearly_clean: Tensor
    low: Tensor
    self_condition: Tensor
    noise: Tensor

    def under(self, schedule: NoiseSchedule, settings: TrainerSettings) -> tuple[Tensor, Tensor, bool]:
        """gamma (B,), noise (B, L, D), and whether to self-condition."""
        gamma = schedule.gamma(self.progress).float()
        middle = float(schedule.gamma(torch.tensor(0.05)))
        low = schedule.gamma_min + (middle - schedule.gamma_min) * self.low
        gamma = torch.where(self.nearly_clean < settings.clean_share, low, gamma)
        return gamma, self.noise, bool(self.self_condition < settings.self_condition_share)


def draw(shape: tuple[int, int, int], seed: int, step: int, micro: int) -> NoiseDraws:
    """Draws for a whole micro-batch, on the CPU, so that every process and device sees the same.

    Args:
        shape: (B, L, D).
        seed: of the run.
        step: optimiser step.
        micro: micro-batch within the step.
    """
    entropy = np.random.SeedSequence((seed, _NOISE, step, micro))
    generator = torch.Generator().manual_seed(int(entropy.generate_state(1, np.uint64)[0] >> 1))
    size = shape[0]
    return NoiseDraws(
        progress=draw_progress(size, generator),
        nearly_clean=torch.rand(size, generator=generator),
        low=torch.rand(size, generator=generator),
        self_condition=torch.rand((), generator=generator),
        noise=torch.randn(shape, generator=generator),
    )


def draw_noise(
    shape: tuple[int, int, int], schedule: NoiseSchedule, settings: TrainerSettings, step: int, micro: int
) -> tuple[Tensor, Tensor, bool]:
    """gamma (B,), noise (B, L, D), and whether to self-condition, for the schedule of now; see `draw`."""
    return draw(shape, settings.seed, step, micro).under(schedule, settings)
