"""`Step`: one denoising step as the strategies find it and leave it; and `Guided`, what comes out of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import Tensor

from diffusionlm.diffusion import NoisyText, Posterior
from diffusionlm.diffusion.posterior import given_ends

if TYPE_CHECKING:
    from diffusionlm.guidance.constraints.constraint import JointConstraint

Ask = Callable[..., Tensor]
"""``ask(noisy, unconditional=False) -> log posterior (B, L, V)``: the model, differentiable where gradients are enabled;
``unconditional`` is True to leave out the prompt, or names the kinds of memory to leave out."""


@dataclass
class Step:
    """One denoising step of B rows.

    Attributes:
        index: of the step.
        u: progress, 1 is noise.
        gamma: noise level.
        log_probs: log posterior (B, L, V) as it stands.
        noisy: the noisy text as it stands.
        unguided: log posterior of the model (B, L, V).
        active: weight by schedule of each active plugin, by name.
        mask: (B, L) positions that can still change; the trust region averages over them.
        budget: what soft guidance may spend in this step (B,), nats a position.
        share: part of the whole way that the step makes; it may spend that part of each plugin's own budget.
        ask: the model.
        cost: what soft guidance has spent (B,).
        exact_cost: mean divergence that the rules that always hold cost (B,); outside the budget.
        directions: tilts (B, L, V) by plugin, to be compared with what follows.
        rows: rows that go on, where candidates were resampled.
    """

    index: int
    u: float
    gamma: float
    log_probs: Tensor
    noisy: NoisyText
    unguided: Tensor
    active: dict[str, float]
    mask: Tensor
    budget: Tensor
    share: float
    ask: Ask
    cost: Tensor
    exact_cost: Tensor | None = None
    directions: list[tuple[str, Tensor]] = field(default_factory=list)
    rows: Tensor | None = None
    _unconditional: dict[tuple[str, ...], Tensor] = field(default_factory=dict)

    def unconditional(self, without: tuple[str, ...] = ("prompt",)) -> Tensor:
        """Log posterior (B, L, V) without some kinds of memory; asked for once for each state of the noisy text."""
        if without not in self._unconditional:
            self._unconditional[without] = self.ask(self.noisy, True if without == ("prompt",) else without)
        return self._unconditional[without]

    def move(self, noisy: NoisyText, log_probs: Tensor) -> None:
        """Goes on from another noisy text and its posterior (B, L, V)."""
        self.noisy, self.log_probs = noisy, log_probs
        self._unconditional.clear()

    @property
    def left(self) -> Tensor:
        """What soft guidance may still spend (B,)."""
        return (self.budget - self.cost).clamp_min(0.0)


class Guided(Posterior):
    """Guided posterior of one step.

    Args:
        log_probs: guided log posterior (B, L, V).
        probs: (B, L, V).
        embeddings: (V, D), or None.
        noisy: the noisy text, which guidance may have moved.
        rows: where candidates were resampled, the rows (B,) that go on; the tensors above are re-indexed already.
        soft: log posterior before the rules that always hold (B, L, V).
        joint: those rules, or None.
    """

    def __init__(
        self,
        log_probs: Tensor,
        probs: Tensor,
        embeddings: Tensor | None,
        noisy: NoisyText,
        rows: Tensor | None,
        soft: Tensor,
        joint: JointConstraint | None,
    ) -> None:
        super().__init__(log_probs, embeddings, probs)
        self.noisy, self.rows, self.soft, self.joint = noisy, rows, soft, joint

    @property
    def joint_draws(self) -> bool:
        """True under rules that always hold."""
        return self.joint is not None

    def ending(self, ended: Tensor, going_on: Tensor, pad_id: int) -> Guided:
        """See `Posterior`; draws stay joint, the marginals are those of each position by itself."""
        log_probs, soft = (given_ends(x, ended, going_on, pad_id) for x in (self.log_probs, self.soft))
        return Guided(log_probs, log_probs.exp(), self.embeddings, self.noisy, self.rows, soft, self.joint)

    def draw(self, uniforms: Tensor) -> Tensor:
        """One text (B, L) that obeys all rules, drawn jointly: independent draws from exact marginals need not obey."""
        return super().draw(uniforms) if self.joint is None else self.joint.sample(self.soft, uniforms)

    def best(self) -> Tensor:
        """The most probable text (B, L) that obeys all rules."""
        return super().best() if self.joint is None else self.joint.best(self.soft)
