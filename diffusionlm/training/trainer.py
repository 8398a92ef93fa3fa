"""The training loop: batches and noise are functions of the step, so that a killed run continues to the same losses."""

from __future__ import annotations

import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from torch import Tensor

from diffusionlm.diffusion import (
    InformationRegression,
    InformationSchedule,
    NoiseSchedule,
)
from diffusionlm.training import media_agreement
from diffusionlm.training.ahead import Drawn, draw_step, drawn_ahead
from diffusionlm.training.ema import WeightAverage
from diffusionlm.training.muon import Muon
from diffusionlm.training.noise import NoiseDraws
from diffusionlm.training.objective import Objective, likelihood_objective
from diffusionlm.training.optimizer import build_optimizers, learning_rate_scale, set_learning_rate
from diffusionlm.training.pace import Pace
from diffusionlm.training.processes import agreed_precision, any_process
from diffusionlm.training.settings import FIRST, TrainerSettings, trains_on_cpu
from diffusionlm.training.state import load_trainer, save_trainer

if TYPE_CHECKING:
    from collections.abc import Callable

    from diffusionlm.denoiser import SpanDenoiser
    from diffusionlm.training.batches import BatchSource, SpanBatch
    from diffusionlm.training.stopping import StopRequest

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
        on_validate: called as ``on_validate(trainer)`` on the main process at every validation, and from time to time
            (``sample_after``), while the averaged weights are in place; what it returns is logged. To write samples, say.
        objective: what to minimise and measure; None: the likelihood of the texts.

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
        objective: Objective | None = None,
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
        self.objective = likelihood_objective(denoiser) if objective is None else objective
        self.optimizers = build_optimizers(denoiser, **settings.optimizer)
        self.average = WeightAverage(denoiser, settings.ema_decay)
        self.schedule = schedule
        fits = self.objective.fits_schedule and isinstance(schedule, InformationSchedule)
        self.regression = InformationRegression(schedule) if fits else None  # type: ignore[arg-type]
        self.step, self.tokens_seen, self.seconds = 0, 0, 0.0
        self.figures: dict[str, float] = {}  # of the last validation
        self.precision = agreed_precision(settings.precision, self.accelerator)
        for optimizer in self.optimizers:
            if isinstance(optimizer, Muon):  # all processes step alike
                optimizer.dtype = torch.bfloat16 if agreed_precision("auto", self.accelerator).half else torch.float32
        module: torch.nn.Module = self.objective.step
        if settings.compile:
            module = torch.compile(module, dynamic=True)  # type: ignore[assignment]
        prepared = self.accelerator.prepare(module, *self.optimizers)
        self.module, self.optimizers = prepared[0], list(prepared[1:])

    # ---- one step ---------------------------------------------------------------------------------------------------

    def _forward(self, **inputs: Any) -> tuple[Tensor, dict[str, Tensor]]:
        limit = torch._dynamo.config.patch(recompile_limit=_RECOMPILE_LIMIT) if self.settings.compile else nullcontext()
        with limit, torch.autocast(self.accelerator.device.type, torch.bfloat16, enabled=self.precision.half):
            return self.module(**inputs)

    def _micro_step(
        self, batch: SpanBatch, draws: NoiseDraws, micro: int, fade: Tensor, total_tokens: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Adds the gradient of a micro-batch; returns this process's summed loss, float64, and the routers' figures."""
        settings, accelerator = self.settings, self.accelerator
        world, rank, device = accelerator.num_processes, accelerator.process_index, accelerator.device
        rows = batch.span_ids.shape[0]
        gamma, noise, self_condition = draws.under(self.schedule, settings)
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
            if media_agreement.FIGURE in figures:
                loss = loss + media_agreement.WEIGHT * figures[media_agreement.FIGURE] / settings.accumulate
            if "load_balancing_loss" in figures:
                config = self.denoiser.config
                loss = loss + config.router_aux_loss_coef * figures["load_balancing_loss"] / settings.accumulate
                loss = loss + config.router_z_loss_coef * figures["router_z_loss"] / settings.accumulate
            accelerator.backward(loss)
        if self.regression is not None:
            self._observe(gamma, losses.detach(), counts)
        return (losses.detach() * counts).sum().double(), figures

    def _train_step(self, drawn: list[Drawn] | None = None) -> dict[str, float]:
        """One step; ``drawn`` is what `draw_step` gives for it, made ahead of time or now."""
        settings, accelerator = self.settings, self.accelerator
        decay_start = round(settings.max_steps * (1 - settings.decay_share))
        scale = learning_rate_scale(self.step, settings.warmup_steps, decay_start, settings.max_steps)
        if settings.max_minutes and settings.decay_share:
            scale = min(scale, max(0.0, 1 - self._time_used) / settings.decay_share)
        set_learning_rate(self.optimizers, scale)
        fade = min(1.0, (self.step + 1) / max(1, settings.likelihood_warmup_steps))
        if drawn is None:
            drawn = draw_step(self.train_source, self.denoiser.config.embedding_size, settings, self.step)
        total_tokens = sum(batch.num_tokens for batch, _ in drawn)
        total_loss = torch.zeros((), dtype=torch.float64, device=accelerator.device)
        figures: dict[str, Tensor] = {}
        for micro, (batch, draws) in enumerate(drawn):
            weight = torch.tensor(fade, device=accelerator.device)
            loss, figures = self._micro_step(batch, draws, micro, weight, total_tokens)
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

    def run(self, resume: bool = True, stop: StopRequest | None = None) -> None:
        """Trains to ``max_steps``, or until somebody asks for the end; a checkpoint is written in either case.

        Args:
            resume: first load the newest checkpoint in the folder, if there is one.
            stop: looked at after every step; with several processes, one that is asked ends all.
        """
        if resume:
            self.resume()
        next_samples, trained = self.settings.sample_after, 0.0
        pace, first = Pace(self.tokens_seen, self.step, self.seconds), True
        saved = self.seconds
        ahead = drawn_ahead(self.train_source, self.denoiser.config.embedding_size, self.settings, self.step)
        while not self.finished:
            began = time.monotonic()
            figures: dict[str, Any] = self._train_step(next(ahead))
            self.step += 1
            lasted = time.monotonic() - began
            self.seconds, trained = self.seconds + lasted, trained + lasted
            last = any_process(self.finished, self.accelerator)
            due = self.step % self.settings.log_every == 0 or last
            if first or due:
                figures |= pace.figures(self.tokens_seen, self.step, self.seconds)
                figures |= {"learning_rate": self.optimizers[0].param_groups[0]["lr"], **self._left(figures)}
                if self.regression is not None:
                    fitted = self.regression.schedule()
                    figures |= {"mu": fitted.mu, "beta": fitted.beta, "entropy": self.regression.entropy}
                self._log(figures if due else {**figures, FIRST: True})
                first = False
            if self.valid_source is not None and self.step % self.settings.valid_every == 0:
                self._log({"step": self.step, **self.validate()})
            elif any_process(0 < next_samples <= trained and not last, self.accelerator):
                next_samples *= 2
                self._log({"step": self.step, **self._look()})
            stopping = any_process(bool(stop), self.accelerator)
            long_ago = any_process(self.seconds - saved >= 60 * self.settings.save_minutes > 0, self.accelerator)
            if self.step % self.settings.save_every == 0 or long_ago or last or stopping:
                self.save()
                saved = self.seconds
            if stopping or last:
                break

    @property
    def finished(self) -> bool:
        """True if all steps are done, or all the time is used."""
        return self.step >= self.settings.max_steps or self._time_used >= 1

    @property
    def _time_used(self) -> float:
        limit = 60 * self.settings.max_minutes
        return self.seconds / limit if limit else 0.0

    def _left(self, figures: dict[str, Any]) -> dict[str, float]:
        left = (self.settings.max_steps - self.step) / max(figures["steps_per_second"], 1e-9)
        limit = 60 * self.settings.max_minutes
        return {"seconds_left": max(0.0, min(left, limit - self.seconds) if limit else left)}

    def _look(self) -> dict[str, Any]:
        """Figures of ``on_validate``, under the averaged weights."""
        self.denoiser.eval()
        found: dict[str, Any] = {}
        try:
            with self.average.applied(self.denoiser):
                if self.on_validate is not None and self.accelerator.is_main_process:
                    found = self.on_validate(self)
        finally:
            self.denoiser.train()
        self.accelerator.wait_for_everyone()
        return found

    def _log(self, figures: dict[str, Any]) -> None:
        if self.on_log is not None and self.accelerator.is_main_process and len(figures) > 1:
            self.on_log(figures)

    def validate(self) -> dict[str, Any]:
        """Figure of whole validation texts without prompt, nats per token, under the averaged weights: the likelihood bound.

        Returns:
            "valid_bound" (or what the objective calls its figure), and what ``on_validate`` adds.

        Raises:
            ValueError: if the trainer has no validation batches.
        """
        if self.valid_source is None:
            raise ValueError("The trainer was made without validation batches; set data.valid.")
        accelerator, count = self.accelerator, self.settings.valid_batches
        rank, world = accelerator.process_index, accelerator.num_processes
        self.denoiser.eval()
        try:
            with self.average.applied(self.denoiser):
                share = self.objective.measure(self.valid_source, self.schedule, count, rank, world)
        finally:
            self.denoiser.train()
        nats, tokens = accelerator.reduce(torch.tensor(share, dtype=torch.float64, device=accelerator.device), "sum")
        self.figures = {self.objective.figure: float(nats / tokens)}
        return {**self.figures, **self._look()}

    # ---- checkpoints ------------------------------------------------------------------------------------------------

    @property
    def checkpoint_folder(self) -> Path:
        """Folder of the checkpoints."""
        return Path(self.settings.folder) / "checkpoints"

    def save(self) -> None:
        """Writes a checkpoint (main process)."""
        if self.accelerator.is_main_process:
            save_trainer(self)
        self.accelerator.wait_for_everyone()

    def resume(self) -> bool:
        """Loads the newest readable checkpoint if there is one; returns whether there was.

        Raises:
            CheckpointError: if there are checkpoints and all are damaged.
            ValueError: if the checkpoint is of another network.
        """
        return load_trainer(self)
