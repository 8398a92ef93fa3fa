"""Optimisers: AdamW alone, or Muon for the matrices inside the blocks with AdamW for the rest; one learning-rate curve.

Sources: Jordan et al. 2024 (Muon), Liu et al. 2025 ("Muon is scalable", the scaling of its steps to those of AdamW),
Hu et al. 2024 (warm-up, constant, decay).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from diffusionlm.training.muon import Muon

if TYPE_CHECKING:
    from collections.abc import Iterable

OPTIMIZERS = ("adamw", "muon")
_NO_MATRICES = ("modulation", "lora_")  # factors of an adapter have a few rows: AdamW


def learning_rate_scale(step: int, warmup: int, decay_start: int, total: int) -> float:
    """Factor on the learning rate: linear rise, constant, linear fall to 0 from step ``decay_start`` to ``total``."""
    if warmup and step < warmup:
        return (step + 1) / warmup
    if step >= decay_start and total > decay_start:
        return max(0.0, (total - step) / (total - decay_start))
    return 1.0


def build_optimizers(
    model: nn.Module,
    name: str = "muon",
    learning_rate: float = 2e-3,
    matrix_learning_rate: float = 4e-3,
    weight_decay: float = 0.01,
    betas: tuple[float, float] = (0.9, 0.98),
) -> list[torch.optim.Optimizer]:
    """Optimisers over the trainable parameters of ``model``; each group remembers its ``base_lr``.

    Args:
        model: parameters of its submodules named ``blocks`` count as matrices, with three dimensions as stacks of them.
        name: "muon" or "adamw".
        learning_rate: of AdamW.
        matrix_learning_rate: of Muon.
        weight_decay: decoupled, on tensors of two or more dimensions.
        betas: of AdamW.

    Raises:
        ValueError: for an unknown name.
    """
    if name not in OPTIMIZERS:
        raise ValueError(f"Unknown optimizer {name!r}; allowed are {OPTIMIZERS}.")
    matrices, tensors, vectors = [], [], []
    for key, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        inside = ".blocks." in f".{key}" and not any(part in key for part in _NO_MATRICES)
        if name == "muon" and parameter.dim() >= 2 and inside:  # experts are stacks of matrices
            matrices.append(parameter)
        elif parameter.dim() >= 2 and "embeddings" not in key:
            tensors.append(parameter)
        else:
            vectors.append(parameter)
    groups = [{"params": tensors, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW([g for g in groups if g["params"]], lr=learning_rate, betas=betas, fused=None)
    ]
    if matrices:
        optimizers.append(Muon(matrices, lr=matrix_learning_rate, weight_decay=weight_decay))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["base_lr"] = group["lr"]
    return optimizers


def set_learning_rate(optimizers: Iterable[torch.optim.Optimizer], scale: float) -> None:
    """Sets every group to its base rate times ``scale``."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["base_lr"] * scale
