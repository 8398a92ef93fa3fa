"""Cost of a training step in floating-point operations, counted from its matrix products."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.utils.flop_counter import FlopCounterMode

from diffusionlm.training.muon import Muon, operations_of_step
from diffusionlm.training.noise import draw_noise

if TYPE_CHECKING:
    from diffusionlm.training.trainer import Trainer

_BATCHES = 8  # tasks, limits and prompts differ from batch to batch


def step_operations(trainer: Trainer) -> float:
    """Floating-point operations of a typical step: forward, backward, self-conditioning and Muon's iteration.

    Some coming batches are run by one row each, which costs next to nothing; the weights and their gradients stay as they are.
    """
    settings, denoiser = trainer.settings, trainer.denoiser
    gradients = [parameter.grad for parameter in denoiser.parameters()]
    module, total = trainer.objective.step, 0.0
    for ahead in range(_BATCHES):
        batch = trainer.train_source.batch(trainer.step + ahead)
        rows, length = batch.span_ids.shape
        row = batch.rows(0, 1).to(denoiser.device)
        shape = (1, length, denoiser.config.embedding_size)
        gamma, noise, _ = draw_noise(shape, trainer.schedule, settings, trainer.step, 0)
        drawn = {"gamma": gamma.to(denoiser.device), "noise": noise.to(denoiser.device)}
        weight = torch.ones((), device=denoiser.device)
        counts = []
        share = settings.self_condition_share
        for self_condition in (False, True):
            if not (share if self_condition else 1 - share):
                counts.append(0)  # it never occurs, and a pass of a large network takes its time
                continue
            half = torch.autocast(denoiser.device.type, torch.bfloat16, enabled=trainer.precision.half)
            with half, FlopCounterMode(display=False) as counter:
                loss, _ = module(**row.tensors(), **drawn, likelihood_weight=weight, self_condition=self_condition)
                loss.mean().backward()
            counts.append(counter.get_total_flops())
        total += rows * ((1 - share) * counts[0] + share * counts[1])
    for parameter, gradient in zip(denoiser.parameters(), gradients, strict=True):
        parameter.grad = gradient
    of_optimizers = sum(
        operations_of_step(group["params"])
        for optimizer in trainer.optimizers
        if isinstance(getattr(optimizer, "optimizer", optimizer), Muon)
        for group in optimizer.param_groups
    )
    return total / _BATCHES * settings.accumulate + of_optimizers
