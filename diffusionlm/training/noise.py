"""What a step draws beside its batch: noise levels and noise, as a pure function of (seed, step, micro-step)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from diffusionlm.diffusion import NoiseSchedule, draw_progress

if TYPE_CHECKING:
    from diffusionlm.training.settings import TrainerSettings

_NOISE = 2  # the stream; those of batches are 0, 10, 20, ... and 1


def draw_noise(
    shape: tuple[int, int, int], schedule: NoiseSchedule, settings: TrainerSettings, step: int, micro: int
) -> tuple[Tensor, Tensor, bool]:
    """Draws for a whole micro-batch, on the CPU, so that every process and device sees the same.

    Args:
        shape: (B, L, D).
        schedule: of now.
        settings: seed, ``clean_share`` and ``self_condition_share``.
        step: optimiser step.
        micro: micro-batch within the step.

    Returns:
        gamma (B,), noise (B, L, D), and whether to self-condition.
    """
    entropy = np.random.SeedSequence((settings.seed, _NOISE, step, micro))
    generator = torch.Generator().manual_seed(int(entropy.generate_state(1, np.uint64)[0] >> 1))
    size = shape[0]
    gamma = schedule.gamma(draw_progress(size, generator)).float()
    nearly_clean = torch.rand(size, generator=generator) < settings.clean_share
    middle = float(schedule.gamma(torch.tensor(0.05)))
    low = schedule.gamma_min + (middle - schedule.gamma_min) * torch.rand(size, generator=generator)
    gamma = torch.where(nearly_clean, low, gamma)
    self_condition = bool(torch.rand((), generator=generator) < settings.self_condition_share)
    return gamma, torch.randn(shape, generator=generator), self_condition
