"""Posterior tilt: the factorised q nearest to the token posterior p that has low energy.

Minimise KL(q || p) + sum_k w_k E_k(q) by mirror descent with the entropy mirror map (Beck and Teboulle, "Mirror descent
and nonlinear projected subgradient methods for convex optimization", 2003): with A the tilt so far,
A <- (1 - eta) A - eta sum_k w_k dE_k/dq, log q = log p + A, eta = 2 / (i + 2). One step (eta = 1) is exact where the
energies are linear in q. No gradient runs through the network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from diffusionlm.guidance.engine.calls import energy_of, gradient_of
from diffusionlm.guidance.engine.conflicts import Conflicts, distinct
from diffusionlm.guidance.engine.trust_region import largest_step, mean_kl, tilted
from diffusionlm.guidance.strategies.strategy import STRATEGIES, Strategy, check_count

if TYPE_CHECKING:
    from diffusionlm.guidance.engine.session import GuidanceSession
    from diffusionlm.guidance.engine.step import Step
    from diffusionlm.guidance.guidance import Guidance
    from diffusionlm.guidance.state import GuidanceState


@STRATEGIES.register("tilt")
@dataclass(frozen=True)
class Tilt(Strategy):
    """Posterior tilt by mirror descent; see `diffusionlm.guidance.strategies.tilt`.

    Args:
        inner_steps: gradient evaluations at each denoising step; 1 is exact for energies that are linear in the tokens.
    """

    order: ClassVar[int] = 20
    reference: ClassVar[str] = (
        "Beck and Teboulle 2003, Mirror descent and nonlinear projected subgradient methods for convex optimization"
    )
    inner_steps: int = 1

    def __post_init__(self) -> None:
        check_count("Tilt", "inner_steps", self.inner_steps)

    def check(self, plugin: Guidance) -> None:
        """Also refuses energies that do not depend on the posterior."""
        super().check(plugin)
        if not {"probs", "clean", "unconditional"} & set(plugin.reads):
            raise ValueError(
                f"{plugin.title!r} reads {list(plugin.reads)}, not the token posterior, so there is nothing to tilt; use "
                f"strategy={'latent' if 'latents' in plugin.reads else 'particles'!r}."
            )

    @classmethod
    def act(cls, session: GuidanceSession, step: Step, plugins: Sequence[tuple[str, Guidance]]) -> None:
        """All tilts together, within what the step may spend."""
        given = [plugin for _, plugin in plugins]
        weigh, state = session.weigher(step, plugins), session.state_maker(step)
        done = tilt(step.log_probs, given, weigh, state, step.left, step.mask, step.share)
        step.log_probs, step.cost = done.log_probs, step.cost + done.cost
        for k, (name, plugin) in enumerate(plugins):
            session.record(step, name, plugin, done.energies[k], done.weights[k], done.costs[k])
            step.directions.append((name, done.tilts[k]))
        names = [name for name, _ in plugins]
        session.note(Conflicts(dict(zip(combinations(names, 2), done.conflicts.cosines.values(), strict=True))))


@dataclass
class TiltResult:
    """Outcome of tilting.

    Attributes:
        log_probs: guided log posterior (B, L, V).
        energies: of each plugin under p (B,).
        weights: of each plugin, after the trust region (B,).
        costs: mean KL per position of each plugin's own tilt (B,), nats.
        cost: that of all together (B,).
        tilts: of each plugin, as applied (B, L, V).
        conflicts: how the plugins' directions stand to each other.
    """

    log_probs: Tensor
    energies: list[Tensor]
    weights: list[Tensor]
    costs: list[Tensor]
    cost: Tensor
    tilts: list[Tensor]
    conflicts: Conflicts


def tilt(
    log_p: Tensor,
    plugins: Sequence[Guidance],
    weigh: Callable[[int, Tensor], Tensor],
    make_state: Callable[[Tensor], GuidanceState],
    budget: Tensor,
    mask: Tensor,
    share: float = 1.0,
) -> TiltResult:
    """Tilts a posterior by several plugins at once, within the trust region.

    Args:
        log_p: log posterior (B, L, V), -inf at forbidden tokens.
        plugins: those that are active.
        weigh: maps (number of the plugin, its energy under p (B,)) to its weight (B,); asked once for each plugin.
        make_state: the state for a posterior (B, L, V), which it takes as it is.
        budget: what all plugins together may spend (B,), mean KL per position in nats.
        mask: (B, L) span positions.
        share: of the whole way that the step makes, and of its own budget that each plugin may spend.
    """
    p = log_p.exp()
    rounds = max(plugin.how.inner_steps for plugin in plugins)  # type: ignore[attr-defined]
    tilts: list[Tensor] = [torch.zeros_like(log_p) for _ in plugins]
    energies: list[Tensor] = []
    weights: list[Tensor] = []
    q = p
    for i in range(rounds):
        rate = 2.0 / (i + 2.0)
        for k, plugin in enumerate(plugins):
            with torch.enable_grad():
                leaf = q.detach().clone().requires_grad_()
                state = make_state(leaf)
                energy = energy_of(plugin, state)
                gradient = gradient_of(plugin, state, energy, leaf)
            if i == 0:
                energies.append(energy.detach())
                weights.append(weigh(k, energy.detach()))
            direction = _direction(gradient, p, mask)
            if plugin.normalise:
                direction = direction / _length(direction, p, mask)[:, None, None].clamp_min(1e-12)
            tilts[k] = (1 - rate) * tilts[k] + rate * weights[k][:, None, None] * direction
        applied, factors, costs, cost, conflicts = _combine(log_p, p, tilts, plugins, budget, mask, share)
        total = torch.stack(applied).sum(0) if len(applied) > 1 else applied[0]
        log_q = tilted(log_p, total)
        if i + 1 < rounds:
            q = log_q.exp()
    return TiltResult(
        log_q, energies, [w * f for w, f in zip(weights, factors, strict=True)], costs, cost, applied, conflicts
    )


def _direction(gradient: Tensor, p: Tensor, mask: Tensor) -> Tensor:
    """Down the gradient (B, L, V), nothing outside the spans. What is constant at a position changes nothing in q; without it
    numbers stay small."""
    mean = torch.linalg.vecdot(p, gradient)
    return (mean[..., None] - gradient).mul_(mask[..., None])


def _length(direction: Tensor, p: Tensor, mask: Tensor) -> Tensor:
    """Root mean square over positions and the posterior (B,)."""
    return ((p * direction.square()).sum(-1).sum(-1) / mask.sum(-1).clamp_min(1)).sqrt()


def _combine(
    log_p: Tensor,
    p: Tensor,
    tilts: list[Tensor],
    plugins: Sequence[Guidance],
    budget: Tensor,
    mask: Tensor,
    share: float,
) -> tuple[list[Tensor], list[Tensor], list[Tensor], Tensor, Conflicts]:
    """Own budgets, then priorities, then the shared budget."""
    factors = [torch.ones_like(budget) for _ in tilts]
    applied = list(tilts)
    if len(plugins) == 1 and plugins[0].budget is not None:
        budget = budget.clamp(max=plugins[0].budget * share)
    for k, plugin in enumerate(plugins):
        if plugin.budget is not None and len(plugins) > 1:
            factors[k] = largest_step(log_p, applied[k], budget.clamp(max=plugin.budget * share), mask)[0]
            applied[k] = applied[k] * factors[k][:, None, None]
    conflicts = Conflicts.between(applied, p, distinct([plugin.title for plugin in plugins]))
    applied = conflicts.give_way(applied, p, [plugin.priority for plugin in plugins])
    base: Tensor | None = None
    cost = torch.zeros_like(budget)
    for level in sorted({plugin.priority for plugin in plugins}, reverse=True):
        members = [k for k, plugin in enumerate(plugins) if plugin.priority == level]
        group = applied[members[0]] if len(members) == 1 else torch.stack([applied[k] for k in members]).sum(0)
        step, cost = largest_step(log_p, group, budget, mask, base)
        for k in members:
            applied[k] = applied[k] * step[:, None, None]
            factors[k] = factors[k] * step
        group = group * step[:, None, None]
        base = group if base is None else base + group
    costs = [cost] if len(applied) == 1 else [mean_kl(log_p, own, mask) for own in applied]
    return applied, factors, costs, cost, conflicts
