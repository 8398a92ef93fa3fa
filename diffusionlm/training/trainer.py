"""The training loop: batches and noise are functions of the step, so that a killed run continues to the same losses."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from torch import Tensor

from diffusionlm.diffusion import (
    InformationRegression,
    InformationSchedule,
    NoiseSchedule,
    schedule_from_dict,
)
from diffusionlm.training.adapters import load_trained_state, trained_state
from diffusionlm.training.checkpoints import load_newest_checkpoint, save_checkpoint
from diffusionlm.training.ema import WeightAverage
from diffusionlm.training.noise import draw_noise
from diffusionlm.training.optimizer import build_optimizers, learning_rate_scale, set_learning_rate
from diffusionlm.training.settings import TrainerSettings, trains_on_cpu
from diffusionlm.training.step import TrainingStep
from diffusionlm.training.validation import valid_bound

if TYPE_CHECKING:
    from collections.abc import Callable

    from diffusionlm.denoiser import SpanDenoiser
    from diffusionlm.training.batches import BatchSource, SpanBatch

_TRAIN = 0
_RECOMPILE_LIMIT = 64  # known text or none, prompt or none, self-conditioning or not, and shapes: torch allows 8


class Trainer:
    """Trains a `SpanDenoiser` on batches from a `BatchSource`.

    With several processes each works on its rows of the same global batch, so that their number changes nothing but the
    time (but for the balancing loss of experts, which each process takes over its own rows).

    Args:
        denoiser: the network, changed in place.
        train: training batches.
        valid: validation batches, or None.
        schedule: the noise schedule to start from; an information-uniform one is refitted as training goes on.
        settings: see `TrainerSettings`.
        on_log: called with a dictionary of figures on the main process.
        on_validate: called as ``on_validate(trainer)`` on the main process at every validation, while the averaged
            weights are in place; what it returns is logged with the bound. To write samples, say.

    Raises:
        ValueError: if a batch has fewer rows than there are processes.
    """

    def __init__(
        self,
        denoiser: SpanDenoiser,
        train: BatchSource,
        valid: BatchSource | None,
        schedule: NoiseSchedule,
        settings: TrainerSettings,
        on_log: Callable[[dict[str, Any]], None] | None = None,
        on_validate: Callable[[Trainer], dict[str, Any]] | None = None,
    ) -> None:
        self.settings, self.train_source, self.valid_source = settings, train, valid
        self.denoiser, self.on_log, self.on_validate = denoiser.train(), on_log, on_validate
        # batches without known text or prompt leave the encoder's parameters unused
        unused = DistributedDataParallelKwargs(find_unused_parameters=True)
        # autocast is in `_forward`
        self.accelerator = Accelerator(cpu=trains_on_cpu(), mixed_precision="no", kwargs_handlers=[unused])
        if train.min_rows < self.accelerator.num_processes:
            raise ValueError(
                f"A batch may have only {train.min_rows} rows, fewer than the {self.accelerator.num_processes} "
                "processes; raise data.tokens_per_batch."
            )
        if settings.gradient_checkpointing:
            enable = getattr(denoiser, "activation_checkpointing_enable", None)  # the newer name
            (enable or denoiser.gradient_checkpointing_enable)({"use_reentrant": False})
        denoiser.to(self.accelerator.device)
        self.optimizers = build_optimizers(denoiser, **settings.optimizer)
        self.average = WeightAverage(denoiser, settings.ema_decay)
        self.schedule = schedule
        self.regression = InformationRegression(schedule) if isinstance(schedule, InformationSchedule) else None
        self.step, self.tokens_seen, self.seconds = 0, 0, 0.0
        self.figures: dict[str, float] = {}  # of the last validation
        module: torch.nn.Module = TrainingStep(denoiser)
        if settings.compile:
            module = torch.compile(module, dynamic=True)  # type: ignore[assignment]
        prepared = self.accelerator.prepare(module, *self.optimizers)
        self.module, self.optimizers = prepared[0], list(prepared[1:])

    # ---- one step ---------------------------------------------------------------------------------------------------

    def _forward(self, **inputs: Any) -> tuple[Tensor, dict[str, Tensor]]:
        limit = torch._dynamo.config.patch(recompile_limit=_RECOMPILE_LIMIT) if self.settings.compile else nullcontext()
        half = self.settings.precision == "bf16"
        with limit, torch.autocast(self.accelerator.device.type, torch.bfloat16, enabled=half):
            return self.module(**inputs)

    def _micro_step(
        self, batch: SpanBatch, micro: int, fade: Tensor, total_tokens: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Adds the gradient of a micro-batch; returns this process's summed loss, float64, and the routers' figures."""
        settings, accelerator = self.settings, self.accelerator
        world, rank, device = accelerator.num_processes, accelerator.process_index, accelerator.device
        rows, length = batch.span_ids.shape
        shape = (rows, length, self.denoiser.config.embedding_size)
        gamma, noise, self_condition = draw_noise(shape, self.schedule, settings, self.step, micro)
        start, stop = rows * rank // world, rows * (rank + 1) // world
        share = batch.rows(start, stop).to(device)
        gamma, noise = gamma[start:stop].to(device), noise[start:stop].to(device)
        last = micro == settings.accumulate - 1
        with nullcontext() if last else accelerator.no_sync(self.module):
            losses, figures = self._forward(
                **share.tensors(), gamma=gamma, noise=noise, likelihood_weight=fade, self_condition=self_condition
            )
            counts = share.span_mask.sum(-1)
            loss = (losses * counts).sum() * world / total_tokens
            if figures:
                config = self.denoiser.config
                loss = loss + config.router_aux_loss_coef * figures["load_balancing_loss"] / settings.accumulate
                loss = loss + config.router_z_loss_coef * figures["router_z_loss"] / settings.accumulate
            accelerator.backward(loss)
        if self.regression is not None:
            self._observe(gamma, losses.detach(), counts)
        return (losses.detach() * counts).sum().double(), figures

    def _train_step(self) -> dict[str, float]:
        settings, accelerator = self.settings, self.accelerator
        decay_start = round(settings.max_steps * (1 - settings.decay_share))
        scale = learning_rate_scale(self.step, settings.warmup_steps, decay_start, settings.max_steps)
        set_learning_rate(self.optimizers, scale)
        fade = min(1.0, (self.step + 1) / max(1, settings.likelihood_warmup_steps))
        streams = [_TRAIN + 10 * micro for micro in range(settings.accumulate)]
        batches = [self.train_source.batch(self.step, stream) for stream in streams]
        total_tokens = sum(batch.num_tokens for batch in batches)
        total_loss = torch.zeros((), dtype=torch.float64, device=accelerator.device)
        figures: dict[str, Tensor] = {}
        for micro, batch in enumerate(batches):
            loss, figures = self._micro_step(batch, micro, torch.tensor(fade, device=accelerator.device), total_tokens)
            total_loss += loss
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
        return result | {name: float(accelerator.reduce(value.detach(), "mean")) for name, value in figures.items()}

    def _observe(self, gamma: Tensor, losses: Tensor, counts: Tensor) -> None:
        assert self.regression is not None
        columns = torch.stack((gamma.double(), losses.double(), counts.double()), dim=-1)
        if self.accelerator.num_processes > 1:
            columns = self.accelerator.gather(self.accelerator.pad_across_processes(columns))
            columns = columns[columns[:, 2] > 0]
        self.regression.observe(columns[:, 0].cpu(), columns[:, 1].cpu(), columns[:, 2].cpu())

    # ---- the loop ---------------------------------------------------------------------------------------------------

    def run(self, resume: bool = True) -> None:
        """Trains to ``max_steps``.

        Args:
            resume: first load the newest checkpoint in the folder, if there is one.
        """
        if resume:
            self.resume()
        tokens, steps, seconds = self.tokens_seen, self.step, self.seconds
        while self.step < self.settings.max_steps:
            began = time.monotonic()
            figures: dict[str, Any] = self._train_step()
            self.step += 1
            self.seconds += time.monotonic() - began
            if self.step % self.settings.log_every == 0 or self.step == self.settings.max_steps:
                elapsed = max(self.seconds - seconds, 1e-9)
                figures |= {
                    "step": self.step,
                    "tokens": self.tokens_seen,
                    "tokens_per_second": (self.tokens_seen - tokens) / elapsed,
                    "steps_per_second": (self.step - steps) / elapsed,
                    "learning_rate": self.optimizers[0].param_groups[0]["lr"],
                }
                if self.regression is not None:
                    fitted = self.regression.schedule()
                    figures |= {"mu": fitted.mu, "beta": fitted.beta, "entropy": self.regression.entropy}
                self._log(figures)
                tokens, steps, seconds = self.tokens_seen, self.step, self.seconds
            if self.valid_source is not None and self.step % self.settings.valid_every == 0:
                self._log({"step": self.step, **self.validate()})
            if self.step % self.settings.save_every == 0 or self.step == self.settings.max_steps:
                self.save()

    def _log(self, figures: dict[str, Any]) -> None:
        if self.on_log is not None and self.accelerator.is_main_process:
            self.on_log(figures)

    def validate(self) -> dict[str, Any]:
        """Likelihood bound of whole validation texts without prompt, nats per token, under the averaged weights.

        Returns:
            "valid_bound", and what ``on_validate`` adds.

        Raises:
            ValueError: if the trainer has no validation batches.
        """
        if self.valid_source is None:
            raise ValueError("The trainer was made without validation batches; set data.valid.")
        accelerator, count = self.accelerator, self.settings.valid_batches
        self.denoiser.eval()
        try:
            with self.average.applied(self.denoiser):
                share = valid_bound(
                    self.denoiser,
                    self.valid_source,
                    self.schedule,
                    count,
                    accelerator.process_index,
                    accelerator.num_processes,
                )
                sums = torch.tensor(share, dtype=torch.float64, device=accelerator.device)
                nats, tokens = accelerator.reduce(sums, "sum")
                self.figures = {"valid_bound": float(nats / tokens)}
                found = {}
                if self.on_validate is not None and accelerator.is_main_process:
                    found = self.on_validate(self)
        finally:
            self.denoiser.train()
        accelerator.wait_for_everyone()
        return {**self.figures, **found}

    # ---- checkpoints ------------------------------------------------------------------------------------------------

    @property
    def checkpoint_folder(self) -> Path:
        """Where checkpoints live."""
        return Path(self.settings.folder) / "checkpoints"

    def save(self) -> None:
        """Writes a checkpoint (main process)."""
        if self.accelerator.is_main_process:
            tensors = {"model": trained_state(self.denoiser), "average": self.average.state_dict()}
            if self.regression is not None:
                tensors["regression"] = self.regression.state_dict()
            state = {
                "tokens_seen": self.tokens_seen,
                "seconds": self.seconds,
                "schedule": self.schedule.to_dict(),
                "figures": self.figures,
                "settings": asdict(self.settings),
            }
            states = [optimizer.state_dict() for optimizer in self.optimizers]
            save_checkpoint(self.checkpoint_folder, self.step, tensors, states, state, self.settings.keep_checkpoints)
        self.accelerator.wait_for_everyone()

    def resume(self) -> bool:
        """Loads the newest readable checkpoint if there is one; returns whether there was.

        Raises:
            CheckpointError: if there are checkpoints and all are damaged.
            ValueError: if the checkpoint is of another network.
        """
        found = load_newest_checkpoint(self.checkpoint_folder)
        if found is None:
            return False
        tensors, optimizers, state = found
        try:
            load_trained_state(self.denoiser, tensors["model"])
            self.average.load_state_dict(tensors["average"])
            for optimizer, saved in zip(self.optimizers, optimizers, strict=True):
                base = [group["base_lr"] for group in optimizer.param_groups]
                optimizer.load_state_dict(saved)
                for group, value in zip(optimizer.param_groups, base, strict=True):
                    group["base_lr"] = value
        except (RuntimeError, KeyError, ValueError) as error:
            raise ValueError(
                f"The checkpoint in {self.checkpoint_folder} is of another network or optimizer "
                f"({' '.join(str(error).split())[:300]}). Give the old settings, or train in another folder=..."
            ) from error
        if self.regression is not None and "regression" in tensors:
            self.regression.load_state_dict(tensors["regression"])
        self.schedule = schedule_from_dict(state["schedule"])
        self.step, self.tokens_seen, self.seconds = state["step"], state["tokens_seen"], state["seconds"]
        self.figures = dict(state.get("figures", {}))
        return True
