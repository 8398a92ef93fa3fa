"""Probabilities of options: what the model would write where a text leaves a choice.

At each noise level of a denoising run the token posterior gives every option an exact probability, summed over all ways of
writing it in tokens and over everything that the other spans may say. The mean over runs from different noise is the
probability of the option; its standard error comes from the differences between the runs.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from diffusionlm.errors import refuse_unknown
from diffusionlm.generation.requests import CallSettings
from diffusionlm.guidance.automata import UnsatisfiableConstraint
from diffusionlm.guidance.constraints.constraint import Constraint, JointConstraint, bind_rules, by_canvas
from diffusionlm.guidance.engine.composition import Composition
from diffusionlm.guidance.structured.choice import Choice, read_options
from diffusionlm.guidance.structured.net import one_of_texts
from diffusionlm.guidance.structured.spanwise import spanwise
from diffusionlm.spans import Canvas, Span

if TYPE_CHECKING:
    from diffusionlm.guidance.automata import TokenAutomaton
    from diffusionlm.pipeline import DiffusionLMPipeline
    from diffusionlm.spans import CanvasLayout
    from diffusionlm.text import Vocabulary

MAX_COMBINATIONS = 256


@dataclass(frozen=True)
class Choices:
    """Probabilities of the options of a text.

    Attributes:
        options: of each choice, in reading order.
        joint: probability of each combination of options; with one choice, of each option (in a tuple of one).
        joint_errors: their standard errors over the draws of noise.
        draws: how many runs there were.
        each: probabilities of the combinations, in the order of ``joint``, for each run.
    """

    options: tuple[tuple[str, ...], ...]
    joint: dict[tuple[str, ...], float]
    joint_errors: dict[tuple[str, ...], float]
    draws: int
    each: tuple[tuple[float, ...], ...]

    def of(self, choice: int = 0) -> dict[str, float]:
        """Probabilities of one choice's options, whatever the others are."""
        out = dict.fromkeys(self.options[choice], 0.0)
        for combination, probability in self.joint.items():
            out[combination[choice]] += probability
        return out

    def errors_of(self, choice: int = 0) -> dict[str, float]:
        """Standard errors of `of`."""
        combinations = list(self.joint)
        values = torch.tensor(self.each, dtype=torch.float64)
        out = {}
        for option in self.options[choice]:
            own = [n for n, combination in enumerate(combinations) if combination[choice] == option]
            out[option] = _standard_error(values[:, own].sum(1))
        return out

    @property
    def probabilities(self) -> dict[str, float]:
        """Probabilities of the options of the first choice."""
        return self.of(0)

    @property
    def standard_errors(self) -> dict[str, float]:
        """Their standard errors."""
        return self.errors_of(0)

    @property
    def best(self) -> tuple[str, ...]:
        """The most probable combination."""
        return max(self.joint, key=lambda combination: self.joint[combination])

    def __str__(self) -> str:
        ordered = sorted(self.joint, key=lambda combination: -self.joint[combination])
        return "\n".join(f"{self.joint[c]:.3f} ± {self.joint_errors[c]:.3f}  {', '.join(c)}" for c in ordered)


def choose(
    pipe: DiffusionLMPipeline,
    text: str | Canvas,
    options: Sequence[str] | None = None,
    *,
    prompt: str | None = None,
    draws: int = 16,
    steps: int = 16,
    levels: tuple[float, float] = (1.0, 0.0),
    temperature: float = 1.0,
    seed: int = 0,
    guidance: Any = None,
    **settings: Any,
) -> Choices:
    """Probabilities of the options that a text leaves open.

    Args:
        pipe: the model.
        text: with ``[CHOICE:a|b]``, once or several times; other spans may be ``[SPAN]``.
        options: of the only ``[SPAN]`` of the text, where it has no ``[CHOICE]``.
        prompt: a condition.
        draws: runs from different noise.
        steps: denoising steps of a run.
        levels: (start, end) in u, 1 is noise and 0 clean text: the noise levels whose posteriors are averaged.
        temperature: of the posterior; 1 is the model's own.
        seed: of the first run.
        guidance: other plugins; probabilities are those under all their rules.
        settings: of the pipeline's call, such as max_span_length and sampler.

    Raises:
        TypeError: for a setting that there is not.
        ValueError: if the text has no choice, or more than 256 combinations of options.
    """
    known = {"draws", "levels", *(item.name for item in fields(CallSettings))} - {
        "num_samples"
    }  # draws are the samples
    refuse_unknown("choose()", settings, known)
    canvas = _canvas_with_options(text, options)
    choices = tuple((n, span.options) for n, span in enumerate(canvas.spans) if span.options)
    combinations = list(itertools.product(*(own for _, own in choices)))
    if len(combinations) > MAX_COMBINATIONS:
        raise ValueError(
            f"The choices have {len(combinations)} combinations of options, at most {MAX_COMBINATIONS} are told apart; ask "
            "about fewer choices at once."
        )
    if isinstance(draws, bool) or not isinstance(draws, int) or draws < 2:
        raise ValueError(f"draws must be a whole number of at least 2, which a standard error needs; got {draws!r}.")
    pair = isinstance(levels, Sequence) and len(levels) == 2 and all(isinstance(u, int | float) for u in levels)
    start, end = levels if pair else (math.nan, math.nan)
    if not 1.0 >= start >= end >= 0.0:
        raise ValueError(f"levels must be (start, end) with 1 >= start >= end >= 0, got {levels!r}.")
    watch = _Watch()
    watch.rules = [{span: option for (span, _), option in zip(choices, chosen, strict=True)} for chosen in combinations]
    given = guidance if isinstance(guidance, Composition) else Composition([] if guidance is None else guidance)
    if any(plugin.how.name == "particles" for plugin in given.plugins):
        raise ValueError("choose reads the posterior of single runs; leave out plugins with strategy='particles'.")
    for state in pipe.stream(
        canvas,
        prompt=prompt,
        num_samples=draws,
        steps=steps,
        temperature=temperature,
        seed=seed,
        guidance=Composition([*given.plugins, watch], given.budget, given.total),
        **settings,
    ):
        if hasattr(state, "u"):
            watch.levels.append(float(state.u))
    kept = [n for n in range(steps) if start >= watch.levels[n] >= end] or [0]
    batches = range(0, len(watch.seen), steps)
    runs = [torch.stack([watch.seen[batch + n] for n in kept]).mean(0) for batch in batches]
    each = torch.cat(runs)[:draws]  # (draws, combinations); runs that missed a goal and were written again stand behind
    mean = each.mean(0).tolist()
    errors = [_standard_error(column) for column in each.T]
    return Choices(
        tuple(own for _, own in choices),
        dict(zip(combinations, mean, strict=True)),
        dict(zip(combinations, errors, strict=True)),
        draws,
        tuple(map(tuple, each.tolist())),
    )


class _Watch(Choice):
    """A `Choice` that notes the probability of each combination at every step."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.rules: list[dict[int, str]] = []
        self.seen: list[Tensor] = []  # shared with the copy that the call binds
        self.levels: list[float] = []
        self._bounds: dict[tuple[int, Any], Any] = {}

    def observe(self, log_probs: Tensor, joint: JointConstraint) -> None:
        """Notes probabilities (B, combinations)."""
        out = torch.empty(len(log_probs), len(self.rules), dtype=torch.float64)
        others = [plugin for plugin in joint.plugins if plugin is not self]
        for rows, layout in by_canvas(joint.layouts):
            own = log_probs[rows, : layout.length]
            allowed = joint.allowed[rows[0]][: layout.length]
            for number, rule in enumerate(self.rules):
                key = (number, layout.canvas)
                if key not in self._bounds:
                    plugins = [*others, _Fixed(rule)]
                    try:
                        self._bounds[key] = bind_rules(plugins, layout, joint.vocabulary, allowed, log_probs.device)
                    except UnsatisfiableConstraint:  # the other rules leave no room for these options
                        self._bounds[key] = None
                bound = self._bounds[key]
                out[rows, number] = -torch.inf if bound is None else bound.log_partition(own).double().cpu()
        self.seen.append(out.softmax(-1))


class _Fixed(Constraint):
    """Spans that each are one text."""

    def __init__(self, rule: Mapping[int, str]) -> None:
        super().__init__()
        self.rule = rule

    def automata_on(self, layout: CanvasLayout, vocabulary: Vocabulary) -> Sequence[TokenAutomaton]:
        """One for all spans."""
        languages = {span: one_of_texts([option], f"is {option!r}") for span, option in self.rule.items()}
        name, named = " and ".join(one.name for one in languages.values()), "".join(self.rule.values())
        return [spanwise(languages, layout, vocabulary, name, named)]


def _canvas_with_options(text: str | Canvas, options: Sequence[str] | None) -> Canvas:
    if not isinstance(text, str | Canvas):
        raise TypeError(f"text must be a string or a Canvas, got {type(text).__name__}.")
    if isinstance(text, str) and "[" not in text:
        raise ValueError(f"The text {text[:60]!r} leaves no choice; write [CHOICE:a|b] where the choice is.")
    canvas = Canvas.parse(text) if isinstance(text, str) else text
    written = [span for span in canvas.spans if span.options]
    if options is None:
        if not written:
            raise ValueError(
                "The text leaves no choice; write [CHOICE:a|b] in it, or give options for its only [SPAN]."
            )
        return canvas
    if written or len(canvas.spans) != 1:
        raise ValueError(
            f"options are for a text with one [SPAN] and no [CHOICE]; this one has {len(canvas.spans) - len(written)} [SPAN] "
            f"and {len(written)} [CHOICE]. Write [CHOICE:a|b] where the choice is, and leave out options."
        )
    options = read_options(options)
    if len(options) < 2:
        raise ValueError(f"options must be a list of at least two texts, got {options!r}.")
    return Canvas(tuple(Span(options=tuple(options)) if isinstance(p, Span) else p for p in canvas.pieces))


def _standard_error(values: Tensor) -> float:
    return float(values.std()) / math.sqrt(len(values))
