"""Composing plugins: what a user gives becomes one `Steering`, which the pipeline calls."""

from __future__ import annotations

import copy
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from diffusionlm.errors import GuidanceError
from diffusionlm.guidance.automata.spelling import spelling
from diffusionlm.guidance.classifiers.store import resources as of_the_model
from diffusionlm.guidance.constraints.blocks import refuse_what_stays_behind
from diffusionlm.guidance.constraints.constraint import Constraint, bind_rules
from diffusionlm.guidance.constraints.many_phrases import are_many, check_many
from diffusionlm.guidance.engine.conflicts import distinct
from diffusionlm.guidance.engine.session import GuidanceSession
from diffusionlm.guidance.engine.trace import Trace
from diffusionlm.guidance.goals import has_goal
from diffusionlm.guidance.guidance import Guidance
from diffusionlm.guidance.registry.configuration import plugins_from
from diffusionlm.guidance.registry.plugins import validate
from diffusionlm.guidance.settings import DESCRIBED, check_settings, describe, encode, plain_numbers

if TYPE_CHECKING:
    from diffusionlm.spans import CanvasLayout
    from diffusionlm.text import Vocabulary

BUDGET = 1.6  # of a plugin that names none, over all steps; chosen by benchmarks.bench_trust_region
OWN = "own"
TOTAL = 8.0


class Composition:
    """Plugins with settings that concern all of them together; is given in place of a plugin or a list.

    In a list beside others it is read as its plugins, if it sets no limit; a limit would hold for some of the list and not for
    all that is written, so it is refused there.

    Args:
        plugins: a plugin or a list, in any form that `compose` takes.
        budget: trust region: largest mean KL of the guided from the unguided posterior per position, in nats, over the whole
            way from noise to text; each of N steps may spend an Nth. Where positions are bytes each has a quarter of it, as a
            token of text has four. Constraints are not held by it, because they must hold; None or inf: no limit. "own": each
            plugin has its own budget, 1.6 nats if it names none, and all together the largest of these.
        total: cap on what all steps spend, which binds where the budget is larger; None or inf: no limit.

    Raises:
        ValueError: if a limit is negative, or a Composition with limits of its own stands in ``plugins``.

    Example:
        >>> Composition([Phrases(include=["The Mill"])], budget=1.0).budget
        1.0
    """

    def __init__(self, plugins: Any, budget: float | str | None = OWN, total: float | None = TOTAL) -> None:
        budget, total = plain_numbers(budget), plain_numbers(total)
        for name, value in {"budget": budget, "total": total}.items():
            if (
                value is not None
                and not (isinstance(value, int | float) and value >= 0)
                and (name, value) != ("budget", OWN)
            ):
                raise ValueError(f"{name} must be a number of nats of at least 0, or None for no limit; got {value!r}.")
        self.plugins = plugins_from(_opened(plugins))
        self.budget = budget if isinstance(budget, str) else math.inf if budget is None else float(budget)
        self.total = math.inf if total is None else float(total)


def compose(
    guidance: Any,
    vocabulary: Vocabulary,
    offers: Collection[str] | None = None,
    resources: Sequence[str | Path] = (),
) -> Steering:
    """Makes plugins ready for a tokenizer.

    Args:
        guidance: a name, a `Guidance`, a class of one, a function of the state, a mapping, a `Composition`, a list of these, or
            what ``result.settings["guidance"]`` says.
        vocabulary: surfaces of the tokens.
        offers: what the model has to be read and moved, of `diffusionlm.denoiser.contract.OFFERS`; everything if None.
        resources: folders of classifiers and tables that belong to the model.

    Raises:
        ValueError: if a name or setting is unknown, a plugin needs what the model does not offer, a strategy does not fit its
            plugin, or a pattern is too large.
        TypeError: if something is no plugin, or off the contract.

    Example:
        >>> from diffusionlm.guidance.testing.toy import toy_vocabulary
        >>> compose({"phrases": {"include": ["pub"]}}, toy_vocabulary()).names
        ['phrases']
    """
    with of_the_model(resources):
        return Steering(as_composition(guidance), vocabulary, offers)


def as_composition(guidance: Any) -> Composition:
    """Guidance in any form that `compose` takes, as plugins and their limits; None is no plugin."""
    while isinstance(guidance, list | tuple) and len(guidance) == 1:
        (guidance,) = guidance
    if is_record(guidance):
        guidance = Composition(**guidance)
    return guidance if isinstance(guidance, Composition) else Composition(guidance)


class Steering:
    """Plugins bound to a vocabulary. The given plugins themselves are left as they are; copies are bound.

    Attributes:
        plugins: those with a weight, bound.
        names: what each is called in the trace, all different.
        particles: candidates for each sample.
    """

    def __init__(self, composition: Composition, vocabulary: Vocabulary, offers: Collection[str] | None = None) -> None:
        self._given, self.total = composition.plugins, composition.total
        self._limits = {"budget": composition.budget, "total": composition.total}
        self.plugins: list[Guidance] = []
        everything = [plugin for own in composition.plugins for plugin in _with_companions(own)]
        rules = [plugin for plugin in everything if isinstance(plugin, Constraint)]
        vocabulary = self.vocabulary = spelling(vocabulary, "".join(rule.required_characters() for rule in rules))
        for given in everything:
            validate(type(given), given.title)
            plugin = copy.copy(given)
            check_settings(plugin)
            if plugin.weight == 0:
                continue
            _check_offers(plugin, offers)
            spaces = vocabulary.starts_with_space.clone()
            try:
                plugin.bind(vocabulary)
            except (ValueError, ImportError, OSError):  # the plugin's own sentence about its settings
                raise
            except Exception as error:
                raise GuidanceError(
                    f"The guidance plugin {plugin.title!r} ({plugin.origin}) raised {type(error).__name__} in bind: "
                    f"{error}"
                ) from error
            if not torch.equal(vocabulary.starts_with_space, spaces):
                vocabulary.starts_with_space.copy_(spaces)  # it is the pipeline's own
                raise GuidanceError(
                    f"The guidance plugin {plugin.title!r} ({plugin.origin}) changed vocabulary.starts_with_space in bind; "
                    "the vocabulary belongs to the pipeline: work on a clone."
                )
            self.plugins.append(plugin)
        self.constraints = [p for p in self.plugins if p.how.name == "constraint" and isinstance(p, Constraint)]
        self.budget = self._share(composition.budget)
        self.scale = (
            vocabulary.token_share
        )  # budgets are nats a token: where positions are bytes, each may spend its share
        self.budget, self.total = self.budget * self.scale, self.total * self.scale
        for plugin in self.plugins:
            plugin.budget = None if plugin.budget is None else plugin.budget * self.scale
        self.names: list[str] = distinct([plugin.title for plugin in self.plugins])
        counts = [p.how.count for p in self.plugins if p.how.name == "particles"]  # type: ignore[attr-defined]
        self.particles: int = max(counts, default=1)

    def _share(self, budget: float | str) -> float:
        """What all plugins together may spend; where each has its own, those that name none get theirs."""
        if not isinstance(budget, str):
            return budget
        own = [
            BUDGET if plugin.budget is None else plugin.budget
            for plugin in self.plugins
            if plugin not in self.constraints
        ]
        shared = max(own, default=BUDGET)
        for plugin in self.plugins:
            if plugin.budget is None and shared > BUDGET:
                plugin.budget = BUDGET
        return shared

    def check(self, layouts: Sequence[CanvasLayout], allowed: Sequence[Tensor]) -> None:
        """Whether the constraints can be met on every canvas; called before any work starts.

        Args:
            layouts: the distinct canvases.
            allowed: (L, V) bool for each.

        Raises:
            UnsatisfiableConstraint: naming the constraint.
            AutomatonTooLarge: if the constraints together are too large.
        """
        firm = [plugin for plugin in self.constraints if not plugin.lazy]
        if any(getattr(layout, "whole", None) is not None for layout in layouts):
            refuse_what_stays_behind(firm, are_many(firm))
        if are_many(firm):
            for layout, mask in zip(layouts, allowed, strict=True):
                check_many(firm, layout, mask, self.vocabulary)
        elif firm:
            for layout, mask in zip(layouts, allowed, strict=True):
                bound = bind_rules(firm, layout, self.vocabulary, mask)
                if any(plugin.weighed_words() is not None for plugin in firm):  # binding alone does not tell
                    bound.viterbi(torch.zeros(1, *mask.shape).masked_fill(~mask, -torch.inf))

    def begin(
        self,
        layouts: Sequence[CanvasLayout],
        allowed: Sequence[Tensor],
        span_mask: Tensor,
        embeddings: Tensor | None,
        seeds: Sequence[int],
        num_steps: int,
        process: str = "gaussian",
    ) -> GuidanceSession:
        """A session for a batch of rows, particles of a sample side by side.

        Args:
            layouts: the canvas of each row.
            allowed: (L, V) bool of each row.
            span_mask: (B, L) bool.
            embeddings: of all tokens (V, D), or None where the model offers none.
            seeds: of each row.
            num_steps: denoising steps.
            process: of the model; where tokens are decided on the way every rule is held whole from the first step on.
        """
        return GuidanceSession(self, layouts, allowed, span_mask, embeddings, seeds, num_steps, process)

    @property
    def attempts(self) -> dict[str, int]:
        """How many attempts each plugin with a goal asks for, by name."""
        return {name: p.attempts for name, p in zip(self.names, self.plugins, strict=True) if has_goal(p)}

    def with_candidates(self, count: int) -> Steering:
        """The same with several candidates of each sample, of which the surest is kept.

        Raises:
            ValueError: where a plugin brings candidates of its own.
        """
        if self.particles > 1:
            raise ValueError(
                f"best_of={count} beside the strategy 'particles', which has {self.particles} candidates of its own: raise "
                "Particles(count=...) instead, or drop one of the two."
            )
        other = copy.copy(self)
        other.particles = count
        return other

    def insistent(self) -> Steering:
        """The same with twice the budget for plugins that ask for more than one attempt: for what missed its goal once."""
        other = copy.copy(self)
        other.plugins, other.budget, other.total = [], 2 * self.budget, 2 * self.total
        for plugin in self.plugins:
            if plugin not in self.constraints:
                own = self.budget if plugin.budget is None else plugin.budget
                plugin = copy.copy(plugin)
                plugin.budget = 2 * own if plugin.attempts > 1 else own
            other.plugins.append(plugin)
        return other

    def join(self, parts: Sequence[tuple[Trace, Sequence[int], Sequence[int]]]) -> Trace:
        """One trace of several batches; see `Trace.join`."""
        return Trace.join(parts)

    def to_dict(self) -> dict[str, Any]:
        """What was asked for, ready for JSON; given as guidance it steers alike.

        Settings that have no plain form are described in words, and refused where they are given back.
        """
        plugins = []
        for plugin in self._given:
            try:
                plugins.append(plugin.to_dict())
            except TypeError:
                settings = {key: _plain(value) for key, value in plugin.settings().items()}
                plugins.append({**plugin.head(), **settings})
        limits = {key: None if value == math.inf else value for key, value in self._limits.items()}
        return {"plugins": plugins, **limits}


def _opened(given: Any) -> Any:
    """Plugins with those of each `Composition` in its place.

    Raises:
        ValueError: if a Composition sets limits, which are of all plugins together.
    """
    if isinstance(given, list | tuple):
        return [_opened(item) for item in given]
    if is_record(given):
        given = Composition(**given)
    if not isinstance(given, Composition):
        return given
    if (given.budget, given.total) != (OWN, TOTAL):
        inner = ", ".join(plugin.title for plugin in given.plugins)
        raise ValueError(
            f"A Composition ({inner}) with a budget or total of its own stands inside other guidance, but its limits are of "
            "all plugins together; put all of them into one: Composition([first, second, ...], budget=..., total=...)."
        )
    return given.plugins


def _check_offers(plugin: Guidance, offers: Collection[str] | None) -> None:
    """Raises ValueError if a plugin reads, or its strategy moves, what a model does not offer."""
    if offers is None:
        return
    for what in (*plugin.how.needs, *plugin.reads):
        if what not in offers:
            needs = f"its strategy {plugin.how.name!r} moves" if what in plugin.how.needs else "it reads"
            remedy = "strategy='tilt'" if what in plugin.how.needs else "another plugin"
            model = (
                "a Gaussian model such as 'restaurant'"
                if what == "latents"
                else "a model in a pipeline of this library"
            )
            raise ValueError(
                f"The plugin {plugin.title!r} cannot be used with this model: {needs} {_WORDS[what]}, and the model offers "
                f"{', '.join(_WORDS[item] for item in sorted(offers))}. Use {remedy}, or {model}."
            )


_WORDS = {
    "probs": "the token posterior",
    "text": "the decoded text",
    "clean": "the clean estimate",
    "latents": "noisy embeddings",
    "unconditional": "the posterior without the prompt",
}


def is_record(given: Any) -> bool:
    """Whether it is what `Steering.to_dict` wrote: plugins and the limits of all together."""
    return isinstance(given, Mapping) and "plugins" in given and set(given) <= {"plugins", "budget", "total"}


def _with_companions(plugin: Guidance) -> list[Guidance]:
    return [plugin, *plugin.companions()] if plugin.weight else [plugin]


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    try:
        return encode(value, "")
    except TypeError:
        return {DESCRIBED: describe(value)}
