"""`Objective`: what a trainer minimises, and what it measures on held-out text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from diffusionlm.training.step import TrainingStep
from diffusionlm.training.validation import valid_bound

if TYPE_CHECKING:
    from diffusionlm.denoiser import SpanDenoiser
    from diffusionlm.diffusion import NoiseSchedule
    from diffusionlm.training.batches import BatchSource

Measure = Callable[["BatchSource", "NoiseSchedule", int, int, int], tuple[float, int]]


@dataclass(frozen=True)
class Objective:
    """Loss of a trainer, and its figure of held-out text.

    Attributes:
        step: the loss of a batch, the module that is compiled and distributed.
        measure: of held-out text: called as ``measure(source, schedule, batches, rank, world)``, it gives this process's share
            of nats and of tokens.
        figure: name of nats over tokens in logs and cards.
        fits_schedule: whether the losses say how the noise schedule should be.
    """

    step: TrainingStep
    measure: Measure
    figure: str
    fits_schedule: bool


def likelihood_objective(denoiser: SpanDenoiser) -> Objective:
    """Cross-entropy of the true tokens; the bound on the likelihood of held-out text."""
    return Objective(TrainingStep(denoiser), partial(valid_bound, denoiser), "valid_bound", True)
