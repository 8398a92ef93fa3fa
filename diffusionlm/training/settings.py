"""`TrainerSettings`: how long and how to train, checked before any work is done."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import torch

from diffusionlm.errors import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable

PRECISIONS = ("auto", "no", "bf16")
FIRST = "first"  # among the figures of the first step of a run, or of its continuation: they are said, not recorded
_TYPES: dict[str, tuple[type, ...]] = {"int": (int,), "float": (int, float), "bool": (bool,), "str": (str,)}


@dataclass(frozen=True)
class TrainerSettings:
    """Settings of a training run.

    Attributes:
        folder: of checkpoints and logs.
        max_steps: optimiser steps.
        max_minutes: of training, over all calls, after which it ends before ``max_steps``; 0: no limit. The course of the
            learning rate then depends on the speed of the machine.
        decay_share: last share of the steps over which the learning rate falls to 0.
        warmup_steps: over which it rises.
        likelihood_warmup_steps: over which the exact token likelihood is faded into the logits.
        self_condition_share: share of the steps with a first pass.
        clean_share: share of the samples at nearly clean noise levels.
        gradient_clip: largest norm of the gradient.
        accumulate: micro-batches in one step.
        ema_decay: of the weight average.
        optimizer: settings of ``build_optimizers``.
        precision: "no" (float32), "bf16" (autocast; weights, averages and optimisers stay in float32), or "auto": the one that
            the machine multiplies matrices faster in.
        compile: whether to compile the step.
        gradient_checkpointing: recompute the blocks in the backward pass: less memory, more time.
        schedule_every: steps between refits of an information-uniform schedule.
        log_every: steps between log lines.
        valid_every: steps between validations.
        valid_batches: batches in a validation.
        sample_after: seconds of training until the first samples, then twice as many, and so on; 0: at validations only.
        save_every: steps between checkpoints.
        save_minutes: of training after which a checkpoint is written too, since the last one.
        keep_checkpoints: how many stay.
        workers: processes that prepare batches and noise ahead of time, for a fast device; 0: they are made in turn.
        seed: of noise and noise levels.

    Raises:
        ValueError: if a value is of the wrong type or out of range.
    """

    folder: str
    max_steps: int = 10_000
    max_minutes: float = 0.0
    decay_share: float = 0.2
    warmup_steps: int = 100
    likelihood_warmup_steps: int = 1000
    self_condition_share: float = 0.5
    clean_share: float = 0.05
    gradient_clip: float = 1.0
    accumulate: int = 1
    ema_decay: float = 0.999
    optimizer: dict[str, Any] = field(default_factory=dict)
    precision: str = "no"
    compile: bool = False
    gradient_checkpointing: bool = False
    schedule_every: int = 50
    log_every: int = 20
    valid_every: int = 1000
    valid_batches: int = 4
    sample_after: float = 60.0
    save_every: int = 500
    save_minutes: float = 10.0
    keep_checkpoints: int = 2
    workers: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for entry in fields(self):
            allowed, value = _TYPES.get(str(entry.type)), getattr(self, entry.name)
            if allowed and (not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed)):
                raise ValueError(f"trainer.{entry.name} must be of type {entry.type}, got {value!r}.")
        every = ("schedule_every", "log_every", "valid_every", "save_every")
        for name in ("max_steps", "accumulate", *every, "valid_batches", "keep_checkpoints"):
            if getattr(self, name) < 1:
                raise ValueError(f"trainer.{name} must be at least 1, got {getattr(self, name)}.")
        for name in ("warmup_steps", "likelihood_warmup_steps", "workers", "seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"trainer.{name} must be at least 0, got {getattr(self, name)}.")
        for name in ("decay_share", "self_condition_share", "clean_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"trainer.{name} must lie in [0, 1], got {getattr(self, name)}.")
        for name in ("sample_after", "max_minutes", "save_minutes"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"trainer.{name} must be 0 or a positive number, got {getattr(self, name)}.")
        if not (self.gradient_clip > 0 and math.isfinite(self.gradient_clip)):
            raise ValueError(f"trainer.gradient_clip must be positive and finite, got {self.gradient_clip}.")
        if self.precision not in PRECISIONS:
            raise ValueError(f"trainer.precision must be one of {PRECISIONS}, got {self.precision!r}.")


def trains_on_cpu() -> bool:
    """True if ACCELERATE_USE_CPU asks for it, or there is no accelerator that knows float64 (MPS does not)."""
    asked = os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes", "on")
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return asked or found is None or found.type == "mps"


def check_keys(section: str, given: Iterable[str], allowed: Iterable[str]) -> None:
    """Refuses settings that nothing reads.

    Raises:
        ValueError: naming the first unknown one, with the nearest that exists.
    """
    known = list(allowed)
    for name in given:
        if name not in known:
            near = nearest(name, known)
            hint = f"did you mean '{section}.{near}'?" if near else f"there are: {', '.join(known)}."
            raise ValueError(f"There is no setting '{section}.{name}'; {hint}")
