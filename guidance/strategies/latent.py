"""Latent gradient: z <- z - s dE/dz, through the denoiser or by an energy that reads the noisy embeddings themselves.

Dhariwal and Nichol, "Diffusion models beat GANs on image synthesis" (2021), algorithm 2, for an energy of z; Chung et al.,
"Diffusion posterior sampling" (2023), eq. 16, for an energy of the clean estimate, differentiated through the network.

Since sigma/alpha spans orders of magnitude, z is not moved by a fixed step: z enters the logits as (alpha/sigma²) <z, e_v>,
so z - w (sigma²/alpha)² dE/dz shifts them by an amount that does not depend on the noise level. The step is then shortened,
for each sample, until the posterior after it lies within the trust region around the one before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from diffusionlm.diffusion import NoisyEmbeddings
from diffusionlm.guidance.engine.calls import energy_of, gradient_of
from diffusionlm.guidance.engine.trust_region import divergence
from diffusionlm.guidance.strategies.strategy import STRATEGIES, Strategy, check_count

if TYPE_CHECKING:
    from diffusionlm.guidance.engine.session import GuidanceSession
    from diffusionlm.guidance.engine.step import Step
    from diffusionlm.guidance.guidance import Guidance
    from diffusionlm.guidance.state import GuidanceState


@STRATEGIES.register("latent")
@dataclass(frozen=True)
class Latent(Strategy):
    """Gradient step on the noisy embeddings; see `diffusionlm.guidance.strategies.latent`.

    Args:
        through: "denoiser": the energy of the clean estimate or posterior, differentiated through the network; "latents":
            the energy reads the noisy embeddings themselves; "auto": by what the plugin reads.
        halvings: how often a step that leaves the trust region is halved before it is given up for this denoising step.
    """

    order: ClassVar[int] = 10
    needs: ClassVar[tuple[str, ...]] = ("latents",)
    reference: ClassVar[str] = (
        "Dhariwal and Nichol 2021, Diffusion models beat GANs on image synthesis, algorithm 2; "
        "Chung et al. 2023, Diffusion posterior sampling, eq. 16"
    )
    through: str = "auto"
    halvings: int = 5

    def __post_init__(self) -> None:
        if self.through not in ("auto", "denoiser", "latents"):
            raise ValueError(f"Latent.through must be 'auto', 'denoiser' or 'latents', got {self.through!r}.")
        check_count("Latent", "halvings", self.halvings)

    @classmethod
    def act(cls, session: GuidanceSession, step: Step, plugins: Sequence[tuple[str, Guidance]]) -> None:
        """All latent gradients together; the posterior is then that of the moved embeddings."""
        assert isinstance(step.noisy, NoisyEmbeddings)
        undecided = step.noisy.undecided
        make = session.state_maker(step)

        def state(probs: Tensor, z: Tensor, log_probs: Tensor) -> GuidanceState:
            return make(probs, NoisyEmbeddings(z, undecided), log_probs)

        moved = latent_step(
            step.noisy.z,
            step.log_probs,
            step.gamma,
            [plugin for _, plugin in plugins],
            session.weigher(step, plugins),
            state,
            lambda z: step.ask(NoisyEmbeddings(z, undecided)),
            step.left,
            step.mask,
            step.share,
        )
        step.move(NoisyEmbeddings(moved.latents, undecided), moved.log_probs)
        step.cost = step.cost + moved.cost
        for k, (name, plugin) in enumerate(plugins):
            session.record(step, name, plugin, moved.energies[k], moved.weights[k], moved.cost)


@dataclass
class LatentResult:
    """Outcome of the gradient step.

    Attributes:
        latents: (B, L, D) after it.
        log_probs: the log posterior there (B, L, V).
        energies: of each plugin before it (B,).
        weights: of each plugin, after shortening (B,).
        cost: mean KL per position between the posteriors (B,), nats.
    """

    latents: Tensor
    log_probs: Tensor
    energies: list[Tensor]
    weights: list[Tensor]
    cost: Tensor


def latent_step(
    latents: Tensor,
    log_p: Tensor,
    gamma: float,
    plugins: Sequence[Guidance],
    weigh: Callable[[int, Tensor], Tensor],
    make_state: Callable[..., GuidanceState],
    denoise: Callable[[Tensor], Tensor],
    budget: Tensor,
    mask: Tensor,
    share: float = 1.0,
) -> LatentResult:
    """Moves the noisy embeddings towards low energy.

    Args:
        latents: z (B, L, D).
        log_p: log posterior at z (B, L, V).
        gamma: noise level.
        plugins: those that are active.
        weigh: maps (number of the plugin, its energy (B,)) to its weight (B,).
        make_state: ``(probs, latents, log_probs) -> GuidanceState``.
        denoise: the network, z -> log posterior, differentiable.
        budget: mean KL per position that the step may cost (B,), nats.
        mask: (B, L) span positions.
        share: of the whole way that the step makes, and of its own budget that each plugin may spend.
    """
    through = [_through(plugin) for plugin in plugins]
    with torch.enable_grad():
        z = latents.detach().clone().requires_grad_()
        log_probs = denoise(z) if "denoiser" in through else log_p
        energies, gradients = [], []
        for plugin, way in zip(plugins, through, strict=True):
            seen = log_probs if way == "denoiser" else log_p
            state = make_state(seen.exp(), z, seen)
            energy = energy_of(plugin, state)
            gradients.append(gradient_of(plugin, state, energy, z, retain_graph=True))
            energies.append(energy.detach())
    weights = [weigh(k, energy) for k, energy in enumerate(energies)]
    # sigma² / alpha, alpha² = sigmoid(-gamma)
    level = torch.tensor(gamma, dtype=torch.float64)
    scale = float(level.sigmoid() / (-level).sigmoid().sqrt())
    move = torch.zeros_like(latents)
    for plugin, weight, gradient in zip(plugins, weights, gradients, strict=True):
        direction = gradient * mask[..., None] * scale**2
        if plugin.normalise:
            length = (direction.square().sum((1, 2)) / (mask.sum(-1) * latents.shape[-1])).sqrt()
            direction = direction / length[:, None, None].clamp_min(1e-12)
        move = move - weight[:, None, None] * direction
    limit = torch.stack([budget if p.budget is None else budget.clamp(max=p.budget * share) for p in plugins]).amin(0)
    halvings = max(plugin.how.halvings for plugin in plugins)  # type: ignore[attr-defined]
    factor = torch.ones_like(limit)
    for i in range(halvings + 1):
        moved = latents + factor[:, None, None] * move
        after = denoise(moved)
        cost = divergence(after, log_p, mask)
        over = ~(cost <= limit)
        if not bool(over.any()):
            break
        if i == halvings - 1 or halvings == 0:
            shrink = torch.zeros_like(cost)  # given up: the sample stays where it is
        else:
            shrink = (0.9 * (limit / cost.clamp_min(1e-12)).sqrt()).nan_to_num(0.05).clamp(0.05, 0.5)
        factor = torch.where(over, factor * shrink, factor)
    return LatentResult(moved, after, energies, [w * factor for w in weights], cost.clamp_min(0.0))


def _through(plugin: Guidance) -> str:
    way = plugin.how.through  # type: ignore[attr-defined]
    if way != "auto":
        return way
    return "latents" if set(plugin.reads) <= {"latents"} else "denoiser"
