"""`DenoisingLoop`: the one loop over denoising steps, and the attempts at texts that miss a goal.

Shape letters: B rows (inputs times samples), L span positions, V vocabulary, D embedding size.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from diffusionlm.context.source import segment_index
from diffusionlm.diffusion import NoisyTokens, Posterior
from diffusionlm.generation.candidates import SHARED, Certainty, surest
from diffusionlm.generation.canvas_batch import CanvasBatch, TokenPosterior
from diffusionlm.generation.fluency import fluency_of
from diffusionlm.generation.results import StepState
from diffusionlm.generation.retries import Attempts, Finished
from diffusionlm.generation.text_ends import decide_ends
from diffusionlm.generation.valid_text import repair_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from diffusionlm.denoiser import DiffusionModel
    from diffusionlm.diffusion import NoiseSchedule, NoisyText
    from diffusionlm.generation.requests import Row
    from diffusionlm.guidance.engine.composition import Steering
    from diffusionlm.guidance.engine.session import GuidanceSession
    from diffusionlm.samplers import Sampler
    from diffusionlm.spans import CanvasLayout
    from diffusionlm.text import TextTokenizer


@dataclass
class DenoisingLoop:
    """What stays the same over the batches of a call.

    Attributes:
        model: the network behind its contract.
        tokenizer: its tokenizer.
        schedule: the noise schedule it was trained with.
        sampler: with the schedule set.
        steps: denoising steps.
        temperature: of the posterior.
        batch_size: texts that are written at once.
        best_of: candidates of each text.
        floor: of fluency, below which a text is written again; None: fluency is not measured.
        bigrams: the checkpoint's bigram model, a part of its posterior on which guidance acts; None: it has none.
        timings: seconds by part of the work, added to.
    """

    model: DiffusionModel
    tokenizer: TextTokenizer
    schedule: NoiseSchedule
    sampler: Sampler
    steps: int
    temperature: float
    batch_size: int
    best_of: int
    floor: float | None
    bigrams: Steering | None
    timings: dict[str, float]

    def attempt(
        self,
        attempts: Attempts,
        numbers: list[int],
        rows: list[Row],
        layouts: list[CanvasLayout],
        steering: Steering | None,
    ) -> Iterator[StepState]:
        """Writes rows, and those again that miss a goal, into ``attempts``; yields after every step."""
        waiting, guide = list(range(len(rows))), steering
        while waiting:
            for start in range(0, len(waiting), self.batch_size):
                own = waiting[start : start + self.batch_size]
                again = [attempts.row(n) for n in own]
                for item in self.denoise(again, [numbers[n] for n in own], [layouts[n] for n in own], guide):
                    if isinstance(item, StepState):
                        yield item
                    else:
                        attempts.add(own, item)
            waiting = attempts.missed()
            if waiting and guide is steering and steering is not None and not self.floor:  # a harder push breaks more
                guide = steering.insistent()

    def denoise(
        self, rows: list[Row], numbers: list[int], layouts: list[CanvasLayout], steering: Steering | None
    ) -> Iterator[StepState | Finished]:
        """Writes a batch: posterior, guidance, sampler; yields after every step, and what was finished."""
        batch = CanvasBatch(rows, layouts, 1 if steering is None else steering.particles, self.model, self.tokenizer)
        branches = self.best_of if steering is None else 1
        if branches > 1 and not self.sampler.noise_per_step:  # what is the same half way would stay the same
            batch, branches = batch.branch(branches), 1
        with self._timed("encode"):
            ask = TokenPosterior(batch, self.temperature)
        self.sampler.set_timesteps(self.steps, device=batch.device)
        assert self.sampler.gammas is not None
        assert self.sampler.u is not None
        embeddings = self.model.embeddings()
        session = None if steering is None else self._begin(steering, batch)
        neighbours = None if self.bigrams is None else self._begin(self.bigrams, batch)
        noisy = self.model.start(batch.places, batch.draws)
        posterior: Posterior | None = None
        certainty = Certainty(self.tokenizer.pad_id)
        for i in range(self.steps):
            if branches > 1 and i == round(SHARED * self.steps):
                copies = torch.arange(len(batch), device=batch.device).repeat_interleave(branches)
                batch, noisy = batch.branch(branches), noisy.select(copies)
                posterior = None if posterior is None else Posterior(posterior.log_probs[copies], embeddings)
                self.sampler.select(copies)
                certainty.select(copies)
                neighbours = None if self.bigrams is None else self._begin(self.bigrams, batch)
                with self._timed("encode"):
                    ask = TokenPosterior(batch, self.temperature)
            gamma, u = self.sampler.gammas[i].to(batch.device, torch.float32), float(self.sampler.u[i])
            with self._timed("network"):
                log_probs = ask(noisy, gamma, posterior)
            if bool(log_probs[..., 0].isnan().any()):  # a NaN logit makes its whole row NaN
                raise FloatingPointError(
                    f"The denoiser gave NaN at step {i} of {self.steps}; load it in float32 or bfloat16, and check the weights."
                )

            def asked(
                text: NoisyText,
                unconditional: bool | tuple[str, ...] = False,
                level: Tensor = gamma,
                previous: Posterior | None = posterior,
                model_of: TokenPosterior = ask,
            ) -> Tensor:
                left_out = ("prompt",) if unconditional is True else unconditional or ()
                return model_of(text, level, previous, [segment_index(name) for name in left_out])

            if neighbours is not None:
                with self._timed("bigrams"):
                    log_probs = neighbours.guide(log_probs, noisy, gamma, u, i, asked).log_probs
            posterior = Posterior(log_probs, embeddings)
            if session is not None:
                with self._timed("guidance"):
                    posterior = session.guide(log_probs, noisy, gamma, u, i, asked)
                    noisy = posterior.noisy
                    if posterior.rows is not None:
                        if neighbours is not None:
                            neighbours.select(posterior.rows)
                        self.sampler.select(posterior.rows)
                        certainty.select(posterior.rows)
            if i == 0 and self.sampler.ends_first and isinstance(noisy, NoisyTokens) and noisy.ended is None:
                posterior, noisy = decide_ends(posterior, noisy, batch.places, self.tokenizer.pad_id, batch.draws)
            state = StepState(
                i, self.steps, u, float(gamma), posterior.log_probs, noisy, batch.layouts, self.tokenizer, numbers
            )
            with self._timed("sampler"):
                before, noisy = noisy, self.sampler.move(posterior, i, noisy, batch.draws)
                certainty.step(posterior.log_probs, before, noisy)
            yield state
        assert posterior is not None
        ids = self.sampler.finish(posterior, noisy)
        if self.tokenizer.vocabulary.token_share < 1:  # bytes: a text must be valid UTF-8
            ids = repair_rows(ids, posterior.log_probs, batch.layouts, self.tokenizer.vocabulary)
        sure = certainty.of(ids, batch.places.span_mask)
        if session is None:
            chosen, certificates = surest(sure, len(batch) // len(rows)), None
        else:
            chosen, certificates = session.report(ids, posterior.log_probs.dtype, sure if self.best_of > 1 else None)
        fluent = None
        if self.floor is not None:
            with self._timed("network"):
                fluent = fluency_of(ids, batch, ask, self.schedule)
        kept: list[Tensor | None] = [None] * len(chosen)
        if embeddings is not None:
            kept = [posterior.clean[row, : batch.layouts[row].length] for row in chosen]
        yield Finished(
            batch.samples(ids, chosen, certificates, sure.tolist(), fluent),
            kept,
            None if session is None else session.trace,
        )

    def _begin(self, steering: Steering, batch: CanvasBatch) -> GuidanceSession:
        seeds, mask = [row.seed for row in batch.rows], batch.places.span_mask
        embeddings, process = self.model.embeddings(), self.model.process
        return steering.begin(batch.layouts, batch.allowed, mask, embeddings, seeds, self.steps, process)

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.timings[name] += time.perf_counter() - began
