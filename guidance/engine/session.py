"""`GuidanceSession`: guidance of one batch, from the first step to the report on the finished texts.

At each step the strategies act in their order: latent gradients move the noisy embeddings; tilts move the posterior within the
trust region; constraints come last, so that they hold whatever the others did; particles are weighted by what results. All
state that lives between steps (what the trust region has spent, goal controllers, particle weights) is here: plugins have none.

Shape letters: B rows, L span positions, V vocabulary, D embedding size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from diffusionlm.diffusion import NoisyText
from diffusionlm.errors import GuidanceError
from diffusionlm.guidance.constraints.lazy import written_ranges
from diffusionlm.guidance.constraints.many_phrases import joint_rules
from diffusionlm.guidance.engine.calls import check_numbers, energy_of
from diffusionlm.guidance.engine.step import Ask, Guided, Step
from diffusionlm.guidance.engine.trace import BatchTrace, GoalReport, Trace
from diffusionlm.guidance.engine.trust_region import LOWEST, entropy_of, mean_over_spans
from diffusionlm.guidance.goals import GoalController, goal_text, has_goal, reached, shortfall
from diffusionlm.guidance.settings import strength
from diffusionlm.guidance.state import GuidanceState
from diffusionlm.guidance.strategies.particles import ParticleFilter, Particles

if TYPE_CHECKING:
    from diffusionlm.guidance.constraints.constraint import Constraint
    from diffusionlm.guidance.engine.composition import Steering
    from diffusionlm.guidance.engine.conflicts import Conflicts
    from diffusionlm.guidance.guidance import Guidance
    from diffusionlm.spans import CanvasLayout
    from diffusionlm.text import Vocabulary

_RULES = 80  # strategies from this order on act on what the soft ones made


class GuidanceSession:
    """Guidance of one batch. Made by `Steering.begin`; see there for the arguments.

    Attributes:
        joint: the rules that always hold, or None.
        particles: weights of the candidates, or None.
        num_steps: denoising steps.
    """

    def __init__(
        self,
        steering: Steering,
        layouts: Sequence[CanvasLayout],
        allowed: Sequence[Tensor],
        span_mask: Tensor,
        embeddings: Tensor | None,
        seeds: Sequence[int],
        num_steps: int,
        process: str = "gaussian",
    ) -> None:
        self.steering, self.layouts, self.num_steps = steering, list(layouts), num_steps
        self.span_mask, self.embeddings = span_mask, embeddings
        rows, device = len(self.layouts), span_mask.device
        self.named = list(zip(steering.names, steering.plugins, strict=True))
        kinds = sorted({type(p.how) for _, p in self.named}, key=lambda kind: (kind.order, kind.name))
        self._by_strategy = {kind: [(name, p) for name, p in self.named if type(p.how) is kind] for kind in kinds}
        self.joint = (
            joint_rules(steering.constraints, self.layouts, allowed, steering.vocabulary, seeds, process != "gaussian")
            if steering.constraints
            else None
        )
        self._controllers = {name: GoalController(p, rows, device) for name, p in self.named if has_goal(p)}
        self._spent = torch.zeros(rows, device=device)
        self.particles: ParticleFilter | None = None
        scored = [p.how for _, p in self._by_strategy.get(Particles, ()) if isinstance(p.how, Particles)]
        if scored:
            threshold = max(how.threshold for how in scored)
            self.particles = ParticleFilter(steering.particles, threshold, seeds, device)
        self._last: Step | None = None
        self._batch = BatchTrace(self.layouts, steering.vocabulary, steering.particles)

    @property
    def trace(self) -> Trace:
        """The record so far."""
        return Trace([self._batch])

    # ---- one step ---------------------------------------------------------------------------------------------------

    def guide(
        self, log_probs: Tensor, noisy: NoisyText, gamma: Tensor | float, u: float, step: int, ask: Ask
    ) -> Guided:
        """Applies all plugins that are active at u.

        Args:
            log_probs: log posterior (B, L, V), -inf at forbidden tokens.
            noisy: the noisy text.
            gamma: noise level.
            u: progress, 1 is noise.
            step: index of the step.
            ask: ``(noisy, unconditional=False) -> log posterior``, differentiable where gradients are enabled.

        Raises:
            GuidanceError: if a plugin does not do what the contract asks.
        """
        now = Step(
            step,
            u,
            float(gamma),
            log_probs,
            noisy,
            unguided=log_probs,
            active={name: s for name, p in self.named if (s := strength(p, u)) > 0},
            mask=self.span_mask & noisy.undecided,
            budget=(self.steering.total - self._spent).clamp(min=0.0, max=self.steering.budget / self.num_steps),
            share=1 / self.num_steps,
            ask=ask,
            cost=torch.zeros_like(self._spent),
        )
        self._last = now
        soft, changed = log_probs, False
        for kind, plugins in self._by_strategy.items():
            if kind.order >= _RULES and not changed:
                soft, changed = now.log_probs, True
            active = [(name, plugin) for name, plugin in plugins if name in now.active]
            if active:
                kind.act(self, now, active)
        soft = soft if changed else now.log_probs
        self._spent = self._spent + now.cost
        cost = now.cost if now.exact_cost is None else now.cost + now.exact_cost
        rows, unguided = now.rows, now.unguided
        if rows is not None:
            now.move(now.noisy.select(rows), now.log_probs[rows])
            soft, unguided, cost, self._spent = soft[rows], unguided[rows], cost[rows], self._spent[rows]
            now.mask = now.mask[rows]
            for controller in self._controllers.values():
                controller.select(rows)
            if self.joint is not None:
                self.joint.select(rows)
        floored = now.log_probs.clamp_min(LOWEST)
        probs = floored.exp()
        ids = now.log_probs.argmax(-1)
        if now.active:
            entropy = mean_over_spans(entropy_of(probs, floored), now.mask)
            changes = ((ids != unguided.argmax(-1)) & self.span_mask).sum(-1)
            ess = None if self.particles is None else self.particles.ess
            self._batch.add_step(step, u, now.gamma, ids, kl_total=cost, entropy=entropy, changes=changes, ess=ess)
        else:
            self._batch.add_step(step, u, now.gamma, ids, kl_total=None, entropy=None, changes=None, ess=None)
        return Guided(now.log_probs, probs, self.embeddings, now.noisy, rows, soft, self.joint)

    def select(self, rows: Tensor) -> None:
        """Follows the rows (new B,) of the same samples that go on, where another session resampled them."""
        self._spent = self._spent[rows]

    # ---- what strategies ask for ------------------------------------------------------------------------------------

    def state_maker(self, step: Step) -> Callable[..., GuidanceState]:
        """``(probs, noisy=None, log_probs=None) -> GuidanceState`` at a step; the step's own noisy text by default."""

        def make(probs: Tensor, noisy: NoisyText | None = None, log_probs: Tensor | None = None) -> GuidanceState:
            return GuidanceState(
                probs,
                step.noisy if noisy is None else noisy,
                step.gamma,
                step.u,
                step.index,
                self.num_steps,
                self.layouts,
                self.span_mask,
                self.steering.vocabulary,
                self.embeddings,
                step.unconditional,
                log_probs,
            )

        return make

    def weigher(self, step: Step, plugins: Sequence[tuple[str, Guidance]]) -> Callable[[int, Tensor], Tensor]:
        """``(number of the plugin, its energy (B,)) -> weight (B,)`` by schedule, window and goal at a step."""
        log_p, make = step.log_probs, self.state_maker(step)

        def weigh(k: int, energy: Tensor) -> Tensor:
            name, plugin = plugins[k]
            weight = torch.full_like(energy, step.active[name])
            if name in self._controllers:
                measure = check_numbers(plugin, make(log_p), plugin.measure(energy), "measure")
                weight = weight * self._controllers[name].update(measure).to(weight.dtype)
            return weight

        return weigh

    def record(self, step: Step, name: str, plugin: Guidance, energy: Tensor, weight: Tensor, kl: Tensor) -> None:
        """Writes down what a plugin did at a step: energy, weight and cost (B,)."""
        measure = plugin.measure(energy.detach())
        if not isinstance(measure, Tensor) or measure.shape != energy.shape:
            shape = tuple(measure.shape) if isinstance(measure, Tensor) else type(measure).__name__
            raise GuidanceError(
                f"The guidance plugin {plugin.title!r} ({plugin.origin}), at step {step.index} of {self.num_steps}, made of "
                f"energies {tuple(energy.shape)} the measure {shape}; measure(energy) must keep the shape."
            )
        self._batch.add_plugin(step.index, name, energy=energy, measure=measure, weight=weight, kl=kl)

    def note(self, conflicts: Conflicts) -> None:
        """Writes down how the directions of plugins stand to each other."""
        self._batch.cosines += [(pair, cosine.cpu().numpy()) for pair, cosine in conflicts.cosines.items()]

    # ---- the end ----------------------------------------------------------------------------------------------------

    def report(
        self, ids: Tensor, dtype: torch.dtype = torch.float32, certainty: Tensor | None = None
    ) -> tuple[list[int], list[dict[str, bool]]]:
        """Verification of finished texts: goals and energies go to the trace.

        Args:
            ids: token ids (B, L).
            dtype: of the energies.
            certainty: of the model (B,), where the surest candidate is kept, of those that meet most goals and that no lazy
                rule had to change.

        Returns:
            The row chosen for each sample; which rules hold for every row, read from its characters.
        """
        energies = self._final_energies(ids, dtype)
        chosen = self._choose(energies, certainty)
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
        return chosen, self._certificates(ids)

    def _final_energies(self, ids: Tensor, dtype: torch.dtype) -> dict[str, Tensor]:
        soft = [(name, p) for name, p in self.named if p not in self.steering.constraints]
        if not soft or self._last is None:
            return {}
        probs = F.one_hot(ids, len(self.steering.vocabulary)).to(dtype)
        last = self._last
        last.index = self.num_steps
        state = self.state_maker(last)(probs)
        return {name: energy_of(plugin, state).detach() for name, plugin in soft}

    def _choose(self, energies: dict[str, Tensor], certainty: Tensor | None) -> list[int]:
        """The candidate of lowest weighted energy, of each sample; the first where no particle plugin was ever active."""
        count, rows = self.steering.particles, len(self.layouts)
        if certainty is not None:
            missed = torch.zeros(rows, device=certainty.device)
            for name, plugin in self.named:
                if has_goal(plugin):
                    missed += (~reached(plugin, plugin.measure(energies[name]))).to(missed)
            changed = None if self.joint is None else self.joint.stepped_in()
            if changed is not None:  # weighs less than any goal, and more than certainty
                missed += torch.tensor(changed, device=missed.device).to(missed) / 2
            order = torch.stack([-missed, certainty.to(missed)]).view(2, -1, count)
            best = (order[0] * 1e6 + order[1]).argmax(-1).tolist()
            return [sample * count + k for sample, k in enumerate(best)]
        potentials = {} if self.particles is None else self.particles.potentials
        scorers = [(name, p) for name, p in self._by_strategy.get(Particles, ()) if name in potentials]
        if count == 1 or not scorers:
            return list(range(0, rows, count))
        total = torch.stack([plugin.weight * energies[name] for name, plugin in scorers]).sum(0)
        best = total.view(-1, count).argmin(-1).tolist()
        return [sample * count + k for sample, k in enumerate(best)]

    def _certificates(self, ids: Tensor) -> list[dict[str, bool]]:
        if not self.steering.constraints:
            return [{} for _ in self.layouts]
        return [
            # a block is no text yet: rules are read on the whole one
            {}
            if getattr(layout, "whole", None) is not None
            else verified(self.steering.constraints, layout, tokens[: layout.length], self.steering.vocabulary)
            for tokens, layout in zip(ids.tolist(), self.layouts, strict=True)
        ]


def verified(
    constraints: Sequence[Constraint], layout: CanvasLayout, tokens: Sequence[int], vocabulary: Vocabulary
) -> dict[str, bool]:
    """Which rules hold for a finished text of ``tokens`` (L,), read from its characters."""
    text, texts = layout.assemble(tokens, vocabulary)
    spans, written = layout.span_ids(tokens, vocabulary.pad_id), written_ranges(layout, texts)
    held: dict[str, bool] = {}
    for plugin in constraints:
        held |= plugin.certify_on(layout, text, spans, written)
    return held
