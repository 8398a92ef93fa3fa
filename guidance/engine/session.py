"""`GuidanceSession`: guidance of one batch, from the first step to the finished text.

Order within a step: latent gradients move z; tilts move the posterior within the trust region; constraints come last, so
that they hold whatever the others did; particles are weighted by what results. All state that lives between steps (what
the trust region has spent, goal controllers, particle weights) is here: plugins have none.

Shape letters: B rows, L span positions, V vocabulary, D embedding size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from diffusionlm.errors import GuidanceError
from diffusionlm.guidance.constraints.lazy import joint_constraint, written_ranges
from diffusionlm.guidance.engine.calls import check_numbers, energy_of
from diffusionlm.guidance.engine.conflicts import Conflicts
from diffusionlm.guidance.engine.trace import BatchTrace, GoalReport, Trace
from diffusionlm.guidance.engine.trust_region import LOWEST, entropy_of, mean_over_spans
from diffusionlm.guidance.goals import GoalController, goal_text, has_goal, reached, shortfall
from diffusionlm.guidance.settings import strength
from diffusionlm.guidance.state import GuidanceState, text_reader
from diffusionlm.guidance.strategies.latent import latent_step
from diffusionlm.guidance.strategies.particles import ParticleFilter
from diffusionlm.guidance.strategies.tilt import tilt

if TYPE_CHECKING:
    from diffusionlm.guidance.engine.composition import Steering
    from diffusionlm.guidance.guidance import Guidance
    from diffusionlm.spans import CanvasLayout

UNDONE = 20.0  # nats; log ratios of a constraint are clipped to it where directions are compared


@dataclass(frozen=True)
class Guided:
    """What guidance made of a step.

    Attributes:
        log_probs: guided log posterior (B, L, V).
        probs: guided posterior (B, L, V).
        latents: noisy embeddings (B, L, D).
        rows: where particles were resampled, the rows (B,) that go on; the tensors above are re-indexed already.
    """

    log_probs: Tensor
    probs: Tensor
    latents: Tensor
    rows: Tensor | None = None


class GuidanceSession:
    """Guidance of one batch. Made by `Steering.begin`; see there for the arguments."""

    def __init__(
        self,
        steering: Steering,
        layouts: Sequence[CanvasLayout],
        allowed: Tensor,
        span_mask: Tensor,
        embeddings: Tensor,
        seeds: Sequence[int],
        num_steps: int,
    ) -> None:
        self.steering, self.layouts, self.num_steps = steering, list(layouts), num_steps
        self.span_mask, self.embeddings = span_mask, embeddings
        rows, device = len(self.layouts), span_mask.device
        self.named = list(zip(steering.names, steering.plugins, strict=True))
        self._by_strategy = {
            kind: [(name, p) for name, p in self.named if p.how.name == kind]
            for kind in ("latent", "tilt", "particles")
        }
        self._exact = [(name, p) for name, p in self.named if p.how.name == "constraint"]
        self._joint = (
            joint_constraint(steering.constraints, self.layouts, allowed, steering.vocabulary) if self._exact else None
        )
        self._controllers = {name: GoalController(p, rows, device) for name, p in self.named if has_goal(p)}
        self._spent = torch.zeros(rows, device=device)
        self._filter: ParticleFilter | None = None
        if self._by_strategy["particles"]:
            threshold = max(p.how.threshold for _, p in self._by_strategy["particles"])  # type: ignore[attr-defined]
            self._filter = ParticleFilter(steering.particles, threshold, seeds, device)
        self._potentials: dict[str, Tensor] = {}
        self._soft: Tensor | None = None
        self._last: dict[str, Any] = {}
        self._batch = BatchTrace(self.layouts, steering.vocabulary, steering.particles)

    @property
    def trace(self) -> Trace:
        """What was done so far."""
        return Trace([self._batch])

    # ---- one step ---------------------------------------------------------------------------------------------------

    def guide(
        self,
        log_probs: Tensor,
        latents: Tensor,
        gamma: Tensor | float,
        u: float,
        step: int,
        denoise: Callable[..., Tensor],
    ) -> Guided:
        """Applies all plugins that are active at u.

        Args:
            log_probs: log posterior (B, L, V), -inf at forbidden tokens.
            latents: noisy embeddings (B, L, D).
            gamma: noise level.
            u: progress, 1 is noise.
            step: index of the step.
            denoise: ``(z, without_prompt=False) -> log posterior``, differentiable where gradients are enabled.

        Raises:
            GuidanceError: if a plugin does not do what the contract asks.
        """
        gamma = float(gamma)
        self._last = {"gamma": gamma, "u": u, "step": step, "latents": latents}
        unguided, q = log_probs, log_probs
        active = {name: s for name, p in self.named if (s := strength(p, u)) > 0}
        unprompted: list[Tensor] = []

        def without_prompt() -> Tensor:
            if not unprompted:
                unprompted.append(denoise(latents, True))
            return unprompted[0]

        self._last["unprompted"] = without_prompt

        def state(probs: Tensor, z: Tensor | None = None, log_probs: Tensor | None = None) -> GuidanceState:
            seen = latents if z is None else z
            return self._state(probs, seen, gamma, u, step, without_prompt, log_probs)

        chosen = {kind: [(n, p) for n, p in own if n in active] for kind, own in self._by_strategy.items()}
        budget = (self.steering.total - self._spent).clamp(min=0.0, max=self.steering.budget)
        cost = torch.zeros_like(self._spent)
        if chosen["latent"]:
            moved = latent_step(
                latents,
                q,
                gamma,
                [p for _, p in chosen["latent"]],
                self._weigher(chosen["latent"], active, q, state),
                state,
                denoise,
                budget,
                self.span_mask,
            )
            latents, q, cost = moved.latents, moved.log_probs, moved.cost
            unprompted.clear()
            self._last["latents"] = latents
            for k, (name, plugin) in enumerate(chosen["latent"]):
                self._record(step, name, plugin, moved.energies[k], moved.weights[k], moved.cost)
        directions: list[tuple[str, Tensor]] = []
        if chosen["tilt"]:
            done = tilt(
                q,
                [p for _, p in chosen["tilt"]],
                self._weigher(chosen["tilt"], active, q, state),
                state,
                (budget - cost).clamp_min(0.0),
                self.span_mask,
            )
            q, cost = done.log_probs, cost + done.cost
            for k, (name, plugin) in enumerate(chosen["tilt"]):
                self._record(step, name, plugin, done.energies[k], done.weights[k], done.costs[k])
                directions.append((name, done.tilts[k]))
            names = [name for name, _ in chosen["tilt"]]
            self._note(Conflicts(dict(zip(_pairs(names), done.conflicts.cosines.values(), strict=True))))
        self._spent = self._spent + cost
        self._soft = q
        exact = [(name, p) for name, p in self._exact if name in active]
        if exact:
            assert self._joint is not None
            marginals, log_z, divergence = self._joint.marginals(q)
            energy, own = -log_z, mean_over_spans(divergence, self.span_mask)
            for name, plugin in exact:
                self._record(step, name, plugin, energy, torch.ones_like(energy), own)
            if directions:
                ratio = (marginals - q).nan_to_num(0.0, UNDONE, -UNDONE).clamp(-UNDONE, UNDONE)
                ratio = torch.where(torch.isfinite(q), ratio, 0.0)
                for name, direction in directions:
                    self._note(Conflicts.between([direction, ratio], q.exp(), [name, "constraints"]))
            q, cost = marginals, cost + own
        rows = self._weigh_particles(q, chosen["particles"], active, state, step)
        if rows is not None:
            q, latents, unguided, cost = q[rows], latents[rows], unguided[rows], cost[rows]
            self._soft, self._spent = self._soft[rows], self._spent[rows]
            self._last["latents"] = latents
            for controller in self._controllers.values():
                controller.select(rows)
            if self._joint is not None:
                self._joint.select(rows)
        ids = q.argmax(-1)
        floored = q.clamp_min(LOWEST)
        probs = floored.exp()
        if active:
            self._finish_step(step, u, gamma, entropy_of(probs, floored), unguided, ids, cost)
        else:
            self._batch.add_step(step, u, gamma, ids, kl_total=None, entropy=None, changes=None, ess=None)
        return Guided(q, probs, latents, rows)

    def _state(
        self,
        probs: Tensor,
        latents: Tensor,
        gamma: float,
        u: float,
        step: int,
        unprompted: Callable[[], Tensor] | None,
        log_probs: Tensor | None = None,
    ) -> GuidanceState:
        return GuidanceState(
            probs,
            latents,
            gamma,
            u,
            step,
            self.num_steps,
            self.layouts,
            self.span_mask,
            self.steering.vocabulary,
            self.embeddings,
            unprompted,
            log_probs,
        )

    def _weigher(
        self,
        plugins: list[tuple[str, Guidance]],
        active: dict[str, float],
        log_p: Tensor,
        make_state: Callable[[Tensor], GuidanceState],
    ) -> Callable[[int, Tensor], Tensor]:
        """Weights by schedule, window and goal."""

        def weigh(k: int, energy: Tensor) -> Tensor:
            name, plugin = plugins[k]
            weight = torch.full_like(energy, active[name])
            if name in self._controllers:
                measure = check_numbers(plugin, make_state(log_p), plugin.measure(energy), "measure")
                weight = weight * self._controllers[name].update(measure).to(weight.dtype)
            return weight

        return weigh

    def _weigh_particles(
        self,
        log_q: Tensor,
        plugins: list[tuple[str, Guidance]],
        active: dict[str, float],
        make_state: Callable[[Tensor], GuidanceState],
        step: int,
    ) -> Tensor | None:
        if self._filter is None or not plugins:
            return None
        state = make_state(log_q.exp())
        for k, (name, plugin) in enumerate(plugins):
            if step % plugin.how.every and step + 1 < self.num_steps and name in self._potentials:  # type: ignore[attr-defined]
                continue
            energy = energy_of(plugin, state)
            weight = self._weigher(plugins, active, log_q, make_state)(k, energy)
            self._potentials[name] = -weight * energy
            self._record(step, name, plugin, energy, weight, torch.zeros_like(energy))
        rows = self._filter.update(torch.stack(list(self._potentials.values())).sum(0))
        if rows is not None:
            self._potentials = {name: value[rows] for name, value in self._potentials.items()}
        return rows

    # ---- the record -------------------------------------------------------------------------------------------------

    def _record(self, step: int, name: str, plugin: Guidance, energy: Tensor, weight: Tensor, kl: Tensor) -> None:
        measure = plugin.measure(energy.detach())
        if not isinstance(measure, Tensor) or measure.shape != energy.shape:
            shape = tuple(measure.shape) if isinstance(measure, Tensor) else type(measure).__name__
            raise GuidanceError(
                f"The guidance plugin {plugin.title!r} ({plugin.origin}), at step {step} of {self.num_steps}, made of "
                f"energies {tuple(energy.shape)} the measure {shape}; measure(energy) must keep the shape."
            )
        self._batch.add_plugin(step, name, energy=energy, measure=measure, weight=weight, kl=kl)

    def _note(self, conflicts: Conflicts) -> None:
        self._batch.cosines += [(pair, cosine.cpu().numpy()) for pair, cosine in conflicts.cosines.items()]

    def _finish_step(
        self, step: int, u: float, gamma: float, entropies: Tensor, unguided: Tensor, ids: Tensor, cost: Tensor
    ) -> None:
        entropy = mean_over_spans(entropies, self.span_mask)
        changes = ((ids != unguided.argmax(-1)) & self.span_mask).sum(-1)
        ess = None if self._filter is None else self._filter.ess
        self._batch.add_step(step, u, gamma, ids, kl_total=cost, entropy=entropy, changes=changes, ess=ess)

    # ---- the end ----------------------------------------------------------------------------------------------------

    def finish(self, log_probs: Tensor) -> tuple[Tensor, list[int], list[dict[str, bool]]]:
        """The finished texts.

        Args:
            log_probs: guided log posterior (B, L, V) of the last step.

        Returns:
            Token ids (B, L); the row chosen for each sample; certificates of every row.

        Raises:
            UnsatisfiableConstraint: if a constraint needs a token that the network gives probability zero.
        """
        if self._joint is not None:
            assert self._soft is not None
            ids = self._joint.best(self._soft)
        else:
            ids = log_probs.argmax(-1)
        energies = self._final_energies(ids, log_probs.dtype)
        chosen = self._choose(energies)
        self._batch.chosen = chosen
        for name, plugin in self.named:
            if name not in energies:
                continue
            values = energies[name][chosen]
            self._batch.finished[name] = values.tolist()
            if has_goal(plugin):
                measures = plugin.measure(values)
                met, short = reached(plugin, measures).tolist(), shortfall(plugin, measures).clamp_min(0).tolist()
                for sample, value in enumerate(measures.tolist()):
                    report = GoalReport(name, sample, goal_text(plugin), value, met[sample], short[sample])
                    self._batch.goals.append(report)
        return ids, chosen, self._certificates(ids)

    def _final_energies(self, ids: Tensor, dtype: torch.dtype) -> dict[str, Tensor]:
        soft = [(name, p) for name, p in self.named if p.how.name != "constraint"]
        if not soft:
            return {}
        last = self._last
        probs = F.one_hot(ids, len(self.steering.vocabulary)).to(dtype)
        state = self._state(probs, last["latents"], last["gamma"], last["u"], self.num_steps, last["unprompted"])
        return {name: energy_of(plugin, state).detach() for name, plugin in soft}

    def _choose(self, energies: dict[str, Tensor]) -> list[int]:
        """The candidate of lowest weighted energy, of each sample; the first where no particle plugin was ever active."""
        count, rows = self.steering.particles, len(self.layouts)
        scorers = [(name, p) for name, p in self._by_strategy["particles"] if name in self._potentials]
        if count == 1 or not scorers:
            return list(range(0, rows, count))
        total = torch.stack([plugin.weight * energies[name] for name, plugin in scorers]).sum(0)
        best = total.view(-1, count).argmin(-1).tolist()
        return [sample * count + k for sample, k in enumerate(best)]

    def _certificates(self, ids: Tensor) -> list[dict[str, bool]]:
        if not self._exact:
            return [{} for _ in self.layouts]
        reader, pad = text_reader(self.steering.vocabulary), self.steering.vocabulary.pad_id
        certificates = []
        for tokens, layout in zip(ids.tolist(), self.layouts, strict=True):
            row = tokens[: layout.length]
            text, texts = layout.assemble(row, reader)
            spans, written = layout.span_ids(row, pad), written_ranges(layout, texts)
            held: dict[str, bool] = {}
            for plugin in self.steering.constraints:
                held |= plugin.certify_written(text, spans, written)
            certificates.append(held)
        return certificates


def _pairs(names: list[str]) -> list[tuple[str, str]]:
    return [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
