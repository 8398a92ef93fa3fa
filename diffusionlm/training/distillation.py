"""Progressive distillation: the loss of a student whose one step is to lead where two steps of its teacher lead.

Source: Salimans and Ho 2022, "Progressive distillation for fast sampling of diffusion models", algorithm 2; what is different
is in `diffusionlm.diffusion.distillation`.

Shape letters: B rows, L span positions, V vocabulary, D embedding size, N steps of the student.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from diffusionlm.diffusion import NoiseSchedule, diffuse
from diffusionlm.diffusion.distillation import divergence, first_share, two_step_posterior
from diffusionlm.diffusion.posterior import LOWEST
from diffusionlm.samplers.gaussian.euler import euler_step
from diffusionlm.training.noise import draw
from diffusionlm.training.objective import Objective
from diffusionlm.training.step import TrainingStep, router_figures
from diffusionlm.training.validation import VALID_STREAM

if TYPE_CHECKING:
    from diffusionlm.denoiser import ContextMemory, DenoiserOutput, SpanDenoiser
    from diffusionlm.training.batches import BatchSource


class DistillationStep(TrainingStep):
    """KL divergence of the student's posterior from the one whose single step leads where two steps of the teacher lead.

    A row whose noise level lies within a step of the student begins at that step's beginning. It comes there as the student
    comes there: from the text under the noise of the level before, by one step of its own, whose posterior is the previous
    estimate that both networks are given (first steps have none).

    Args:
        student: learns, but for its token embeddings: noise, likelihood and readers are those of the teacher.
        teacher: stays as it is.
        schedule: of both.
        steps: N, of the student; the teacher has twice as many.
        temperature: of the teacher; the student learns it, and is sampled at 1.
    """

    def __init__(
        self,
        student: SpanDenoiser,
        teacher: SpanDenoiser,
        schedule: NoiseSchedule,
        steps: int,
        temperature: float = 1.0,
    ) -> None:
        super().__init__(student)
        student.embeddings.requires_grad_(False)
        self.teacher = TrainingStep(teacher.eval().requires_grad_(False))
        self.temperature = temperature
        levels = schedule.gamma(schedule.steps(2 * steps))
        self.register_buffer("levels", levels, persistent=False)
        self.register_buffer("shares", first_share(levels[:-2:2], levels[1:-1:2], levels[2::2]), persistent=False)

    levels: Tensor  # (2N + 1,) float64, from noise to text
    shares: Tensor  # (N,) float64

    def train(self, mode: bool = True) -> DistillationStep:
        """The teacher never trains."""
        super().train(mode)
        self.teacher.eval()
        return self

    def places(self, gamma: Tensor) -> Tensor:
        """The student's step (B,) that each noise level (B,) lies within."""
        starts = self.levels[:-1:2].float()
        return ((starts >= gamma.float()[:, None]).sum(-1) - 1).clamp(min=0)

    def forward(
        self,
        span_ids: Tensor,
        span_mask: Tensor,
        span_positions: Tensor,
        open_mask: Tensor,
        gamma: Tensor,
        noise: Tensor,
        likelihood_weight: Tensor,
        self_condition: bool,
        **context: Tensor,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """One pass; see `TrainingStep`.

        Args:
            span_ids, span_mask, span_positions, open_mask: (B, L), see ``SpanBatch``.
            gamma: (B,).
            noise: (B, L, D) standard normal.
            likelihood_weight: not read, the exact likelihood always counts whole.
            self_condition: whether rows come by a step of the student; otherwise all begin without a previous estimate.
            context: known, prompt and retrieved tensors of the batch.

        Returns:
            Nats per token (B,), and the routers' losses and figures.
        """
        at = self.places(gamma)
        begin, middle, end = (self.levels[2 * at + n].float() for n in range(3))
        layout = (span_mask, span_positions, open_mask)
        memory = self.memory(**context)
        clean = self.denoiser.embed(span_ids)
        latents, estimate = diffuse(clean, noise, begin), None
        with torch.no_grad():
            if self_condition:
                before = self.levels[2 * (at - 1).clamp(min=0)].float()
                earlier = diffuse(clean, noise, before)
                out = self.denoiser(earlier, before, memory, None, *layout)
                came = self.denoiser.clean_estimate(out.logits.softmax(-1))
                later = (at > 0)[:, None, None]
                latents = torch.where(later, euler_step(came, earlier, _column(before), _column(begin)), latents)
                estimate = came * later
            target = self._target(latents, (begin, middle, end), estimate, layout, at, context)
        out = self.denoiser(latents, begin, memory, estimate, *layout)
        return divergence(target, out.logits, span_mask), router_figures(out)

    def _target(
        self,
        latents: Tensor,
        gammas: tuple[Tensor, Tensor, Tensor],
        estimate: Tensor | None,
        layout: tuple[Tensor, Tensor, Tensor],
        at: Tensor,
        context: dict[str, Tensor],
    ) -> Tensor:
        """Probabilities (B, L, V) of the single step that leads where two steps of the teacher lead."""
        begin, middle, _ = gammas
        teacher, memory = self.teacher.denoiser, self.teacher.memory(**context)
        first = self._said(latents, begin, memory, estimate, layout)
        clean = teacher.clean_estimate(first.clamp_min(LOWEST).exp())
        halfway = euler_step(clean, latents, _column(begin), _column(middle))
        second = self._said(halfway, middle, memory, clean, layout)
        return two_step_posterior(first, second, self.shares[at])

    def _said(
        self,
        latents: Tensor,
        gamma: Tensor,
        memory: ContextMemory | None,
        estimate: Tensor | None,
        layout: tuple[Tensor, Tensor, Tensor],
    ) -> Tensor:
        """Log-probabilities (B, L, V) of the teacher."""
        out: DenoiserOutput = self.teacher.denoiser(
            latents, gamma, memory, estimate, *layout, temperature=self.temperature
        )
        assert out.logits is not None
        return out.logits.log_softmax(-1)


def _column(gamma: Tensor) -> Tensor:
    return gamma[:, None, None]


@torch.no_grad()
def valid_divergence(
    step: DistillationStep,
    source: BatchSource,
    schedule: NoiseSchedule,
    num_batches: int,
    rank: int = 0,
    world: int = 1,
) -> tuple[float, int]:
    """This process's share of a validation: how far the student is from its teacher's two steps on held-out text.

    Args:
        step: student and teacher, averaged weights in place.
        source: of validation batches.
        schedule: of both.
        num_batches: of the whole validation.
        rank: which process this is.
        world: how many there are.

    Returns:
        Nats and positions.
    """
    device = step.denoiser.device
    total, positions = 0.0, 0
    for number in range(rank, num_batches, world):
        batch = source.batch(number, stream=VALID_STREAM).to(device)
        drawn = draw((*batch.span_ids.shape, step.denoiser.config.embedding_size), VALID_STREAM, number, 0)
        gamma = schedule.gamma(drawn.progress).float().to(device)
        one = torch.ones((), device=device)
        apart, _ = step(
            **batch.tensors(), gamma=gamma, noise=drawn.noise.to(device), likelihood_weight=one, self_condition=True
        )
        counts = batch.span_mask.sum(-1)
        total, positions = total + float((apart * counts).sum()), positions + int(counts.sum())
    return total, positions


def distillation_objective(
    student: SpanDenoiser, teacher: SpanDenoiser, schedule: NoiseSchedule, steps: int, temperature: float = 1.0
) -> Objective:
    """The loss of a student of ``steps`` steps, and its distance from the teacher's twice as many on held-out text."""
    step = DistillationStep(student, teacher, schedule, steps, temperature)
    return Objective(step, partial(valid_divergence, step), "valid_divergence", False)
