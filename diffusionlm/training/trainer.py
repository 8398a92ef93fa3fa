"""The training loop: batches and noise are functions of the step, so that a killed run continues to the same losses."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from diffusionlm.diffusion import InformationRegression, InformationSchedule, NoiseSchedule, draw_progress, likelihood_bound
from diffusionlm.training.checkpoints import list_checkpoints, load_checkpoint, save_checkpoint
from diffusionlm.training.ema import WeightAverage
from diffusionlm.training.optimizer import build_optimizers, learning_rate_scale, set_learning_rate
from diffusionlm.training.step import TrainingStep

if TYPE_CHECKING:
    from collections.abc import Callable

    from diffusionlm.denoiser import SpanDenoiser
    from diffusionlm.training.batches import BatchSource, SpanBatch

_TRAIN, _VALID, _NOISE = 0, 1, 2


@dataclass(frozen=True)
class TrainerSettings:
    """How long and how to train.

    Attributes:
        folder: of checkpoints and logs.
        max_steps: optimiser steps.
        decay_share: last share of the steps over which the learning rate falls to 0.
        warmup_steps: over which it rises.
        likelihood_warmup_steps: over which the exact token likelihood is faded into the logits.
        self_condition_share: share of the steps with a first pass.
        clean_share: share of the samples at nearly clean noise levels.
        gradient_clip: largest norm of the gradient.
        accumulate: micro-batches in one step.
        ema_decay: of the weight average.
        optimizer: settings of ``build_optimizers``.
        precision: "no", "bf16" or "fp16".
        compile: whether to compile the step.
        schedule_every: steps between refits of an information-uniform schedule.
        log_every: steps between log lines.
        valid_every: steps between validations.
        valid_batches: batches in a validation.
        save_every: steps between checkpoints.
        keep_checkpoints: how many stay.
        seed: of noise and noise levels.
    """

    folder: str
    max_steps: int = 10_000
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
    schedule_every: int = 50
    log_every: int = 20
    valid_every: int = 1000
    valid_batches: int = 4
    save_every: int = 500
    keep_checkpoints: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("max_steps", "accumulate", "schedule_every", "log_every", "valid_every", "save_every", "keep_checkpoints"):
            if getattr(self, name) < 1:
                raise ValueError(f"trainer.{name} must be at least 1, got {getattr(self, name)}.")
        for name in ("decay_share", "self_condition_share", "clean_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"trainer.{name} must lie in [0, 1], got {getattr(self, name)}.")


class Trainer:
    """Trains a `SpanDenoiser` on batches from a `BatchSource`.

    Args:
        denoiser: the network, changed in place.
        train: training batches.
        valid: validation batches, or None.
        schedule: the noise schedule to start from; an information-uniform one is refitted as training goes on.
        settings: see `TrainerSettings`.
        on_log: called with a dictionary of figures on the main process.
    """

    def __init__(
        self,
        denoiser: SpanDenoiser,
        train: BatchSource,
        valid: BatchSource | None,
        schedule: NoiseSchedule,
        settings: TrainerSettings,
        on_log: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self.settings, self.train_source, self.valid_source = settings, train, valid
        self.denoiser, self.on_log = denoiser, on_log
        self.accelerator = Accelerator(mixed_precision=settings.precision)
        self.optimizers = build_optimizers(denoiser, **settings.optimizer)
        self.average = WeightAverage(denoiser, settings.ema_decay)
        self.schedule = schedule
        self.regression = InformationRegression(schedule) if isinstance(schedule, InformationSchedule) else None
        self.step, self.tokens_seen, self.seconds = 0, 0, 0.0
        module: torch.nn.Module = TrainingStep(denoiser)
        if settings.compile:
            module = torch.compile(module, dynamic=True)  # type: ignore[assignment]
        prepared = self.accelerator.prepare(module, *self.optimizers)
        self.module, self.optimizers = prepared[0], list(prepared[1:])
        self.average.average = [value.to(self.accelerator.device) for value in self.average.average]

    # ---- one step ---------------------------------------------------------------------------------------------------

    def _draws(self, batch: SpanBatch, step: int, micro: int) -> tuple[Tensor, Tensor, bool]:
        """gamma (B,), noise (B, L, D) and whether to self-condition, for the global batch of a micro-step."""
        entropy = np.random.SeedSequence((self.settings.seed, _NOISE, step, micro))
        generator = torch.Generator().manual_seed(int(entropy.generate_state(1, np.uint64)[0] >> 1))
        size, length = batch.span_ids.shape
        gamma = self.schedule.gamma(draw_progress(size, generator)).float()
        nearly_clean = torch.rand(size, generator=generator) < self.settings.clean_share
        middle = float(self.schedule.gamma(torch.tensor(0.05)))
        low = self.schedule.gamma_min + (middle - self.schedule.gamma_min) * torch.rand(size, generator=generator)
        gamma = torch.where(nearly_clean, low, gamma)
        self_condition = bool(torch.rand((), generator=generator) < self.settings.self_condition_share)
        noise = torch.randn(size, length, self.denoiser.config.embedding_size, generator=generator)
        return gamma, noise, self_condition

    def _train_step(self) -> dict[str, float]:
        settings, accelerator = self.settings, self.accelerator
        world, rank, device = accelerator.num_processes, accelerator.process_index, accelerator.device
        decay_start = round(settings.max_steps * (1 - settings.decay_share))
        set_learning_rate(
            self.optimizers, learning_rate_scale(self.step, settings.warmup_steps, decay_start, settings.max_steps)
        )
        fade = torch.tensor(min(1.0, (self.step + 1) / max(1, settings.likelihood_warmup_steps)), device=device)
        batches = [self.train_source.batch(self.step, stream=_TRAIN + 10 * micro) for micro in range(settings.accumulate)]
        total_tokens = sum(batch.num_tokens for batch in batches)
        total_loss, figures = torch.zeros((), dtype=torch.float64, device=device), {}
        for micro, batch in enumerate(batches):
            gamma, noise, self_condition = self._draws(batch, self.step, micro)
            rows = batch.span_ids.shape[0]
            start, stop = rows * rank // world, rows * (rank + 1) // world
            share = batch.rows(start, stop).to(device)
            gamma, noise = gamma[start:stop].to(device), noise[start:stop].to(device)
            with accelerator.autocast():
                losses, figures = self.module(
                    **share.tensors(), gamma=gamma, noise=noise, likelihood_weight=fade, self_condition=self_condition
                )
            counts = share.span_mask.sum(-1)
            loss = (losses * counts).sum() * world / total_tokens
            if figures:
                config = self.denoiser.config
                loss = loss + config.router_aux_loss_coef * figures["load_balancing_loss"] / len(batches)
                loss = loss + config.router_z_loss_coef * figures["router_z_loss"] / len(batches)
            accelerator.backward(loss)
            total_loss += (losses.detach() * counts).sum().double()
            if self.regression is not None:
                self._observe(gamma, losses.detach(), counts)
        norm = accelerator.clip_grad_norm_(self.denoiser.parameters(), settings.gradient_clip)
        if not bool(torch.isfinite(norm)):
            raise FloatingPointError(
                f"The gradient is not finite at step {self.step}. The last checkpoint is intact: resume from it with a "
                "lower optimizer.learning_rate or trainer.precision=no."
            )
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        self.average.update(self.denoiser, self.step)
        if self.regression is not None and (self.step + 1) % settings.schedule_every == 0:
            self.schedule = self.regression.fit()
        self.tokens_seen += total_tokens
        total_loss = accelerator.reduce(total_loss, "sum")
        result = {"loss": float(total_loss) / total_tokens, "gradient_norm": float(norm)}
        return result | {name: float(value) for name, value in figures.items()}

    def _observe(self, gamma: Tensor, losses: Tensor, counts: Tensor) -> None:
        assert self.regression is not None
        columns = torch.stack((gamma.double(), losses.double(), counts.double()), dim=-1)
        if self.accelerator.num_processes > 1:
            columns = self.accelerator.gather(self.accelerator.pad_across_processes(columns))
            columns = columns[columns[:, 2] > 0]
        self.regression.observe(columns[:, 0].cpu(), columns[:, 1].cpu(), columns[:, 2].cpu())

    # ---- the loop ---------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Trains to ``max_steps``, resuming from the newest checkpoint in the folder."""
        self.resume()
        began, seen, window = time.monotonic(), self.tokens_seen, self.step
        before = self.seconds
        while self.step < self.settings.max_steps:
            figures = self._train_step()
            self.step += 1
            self.seconds = before + time.monotonic() - began
            if self.step % self.settings.log_every == 0 or self.step == self.settings.max_steps:
                elapsed = time.monotonic() - began
                figures |= {
                    "step": self.step,
                    "tokens": self.tokens_seen,
                    "tokens_per_second": (self.tokens_seen - seen) / max(elapsed, 1e-9),
                    "steps_per_second": (self.step - window) / max(elapsed, 1e-9),
                    "learning_rate": self.optimizers[0].param_groups[0]["lr"],
                }
                if self.regression is not None:
                    figures |= {"mu": self.schedule.mu, "beta": self.schedule.beta, "entropy": self.regression.entropy}
                self._log(figures)
            if self.valid_source is not None and self.step % self.settings.valid_every == 0:
                self._log({"step": self.step, **self.validate()})
            if self.step % self.settings.save_every == 0 or self.step == self.settings.max_steps:
                self.save()

    def _log(self, figures: dict[str, Any]) -> None:
        if self.on_log is not None and self.accelerator.is_main_process:
            self.on_log(figures)

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Likelihood bound of whole validation texts without prompt, nats per token, under the averaged weights."""
        assert self.valid_source is not None
        total = tokens = 0.0
        step = TrainingStep(self.denoiser)
        with self.average.applied(self.denoiser):
            for i in range(self.settings.valid_batches):
                batch = self.valid_source.batch(i, stream=_VALID).to(self.accelerator.device)
                parts = batch.tensors()
                context = {name: value for name, value in parts.items() if name.startswith(("known", "prompt"))}
                memory = step.memory(**context)

                def denoise(z: Tensor, gamma: Tensor, memory=memory, batch=batch) -> tuple[Tensor, Tensor]:  # noqa: ANN001
                    estimate = None
                    for _ in range(2):
                        logits = self.denoiser(
                            z, gamma, memory, estimate, batch.span_mask, batch.span_positions, batch.open_mask
                        ).logits
                        estimate = self.denoiser.clean_estimate(logits.softmax(-1))
                    return logits, estimate

                bound = likelihood_bound(
                    denoise,
                    self.denoiser.embed(batch.span_ids),
                    batch.span_ids,
                    batch.span_mask,
                    self.schedule,
                    num_levels=16,
                    generator=torch.Generator().manual_seed(i),
                )
                total += float(bound.total.sum())
                tokens += float(((batch.span_ids != self.valid_source.pad_id) & batch.span_mask).sum())
        return {"valid_bound": total / tokens}

    # ---- checkpoints ------------------------------------------------------------------------------------------------

    @property
    def checkpoint_folder(self) -> Path:
        """Where checkpoints live."""
        return Path(self.settings.folder) / "checkpoints"

    def save(self) -> None:
        """Writes a checkpoint (main process)."""
        if self.accelerator.is_main_process:
            tensors = {"model": self.denoiser.state_dict(), "average": self.average.state_dict()}
            if self.regression is not None:
                tensors["regression"] = self.regression.state_dict()
            state = {
                "tokens_seen": self.tokens_seen,
                "seconds": self.seconds,
                "schedule": self.schedule.to_dict(),
                "settings": asdict(self.settings),
            }
            states = [optimizer.state_dict() for optimizer in self.optimizers]
            save_checkpoint(self.checkpoint_folder, self.step, tensors, states, state, self.settings.keep_checkpoints)
        self.accelerator.wait_for_everyone()

    def resume(self) -> bool:
        """Loads the newest checkpoint if there is one; returns whether there was."""
        found = list_checkpoints(self.checkpoint_folder)
        if not found:
            return False
        tensors, optimizers, state = load_checkpoint(found[-1])
        self.denoiser.load_state_dict(tensors["model"])
        self.average.load_state_dict({k: v.to(self.accelerator.device) for k, v in tensors["average"].items()})
        if self.regression is not None and "regression" in tensors:
            self.regression.load_state_dict(tensors["regression"])
            self.schedule = self.regression.schedule()
        for optimizer, saved in zip(self.optimizers, optimizers, strict=True):
            base = [group["base_lr"] for group in optimizer.param_groups]
            optimizer.load_state_dict(saved)
            for group, value in zip(optimizer.param_groups, base, strict=True):
                group["base_lr"] = value
        self.step, self.tokens_seen, self.seconds = state["step"], state["tokens_seen"], state["seconds"]
        return True
