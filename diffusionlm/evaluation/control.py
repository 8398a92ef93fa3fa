"""Shared parts of the tasks of control: targets, guided and unguided samples of the same seeds, success and its price."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from diffusionlm.evaluation.context import Context
from diffusionlm.evaluation.figures import Curve, Figure, Table, TaskResult, measure, number
from diffusionlm.evaluation.registry import Task
from diffusionlm.evaluation.sample_sets import SampleSet, compare


@dataclass(frozen=True)
class ControlTarget:
    """Something that is asked of a text.

    Attributes:
        name: for people; tells targets apart.
        guidance: plugins that ask for it, as plain data.
        holds: how well a text does it, 0 to 1, judged without the guide.
        arguments: of the pipeline besides, such as a prompt; for the unguided samples beside it too.
    """

    name: str
    guidance: Mapping[str, Any]
    holds: Callable[[str], float]
    arguments: Mapping[str, Any] = field(default_factory=dict)


class ControlTask(Task):
    """Base of tasks of control: a subclass gives `targets`, and ``per_target`` as a setting."""

    per_target: int
    judged_by = ""  # how reports name the judge of success; "" where it is a plain comparison of strings
    judge_names: tuple[Any, ...] = ()  # what else that judge is known by
    strengths: Sequence[float] = ()  # weights of the plugins for the frontier; a setting where a subclass makes it one

    def targets(self, context: Context) -> list[ControlTarget]:
        """Requests, target by target."""
        raise TypeError(f"The task {self.name!r} does not define targets(self, context).")

    def found(self, context: Context) -> list[ControlTarget]:
        """`targets`, found once."""
        if "_found" not in self.__dict__:
            self.__dict__["_found"] = self.targets(context)
        return self.__dict__["_found"]

    def check(self, context: Context) -> None:
        """The judge is there, and no guide judges."""
        context.need_judge()
        for target in self.found(context)[:1]:
            context.perplexity_label(target.guidance)
            if self.judged_by:
                context.label(self.judged_by, [self.judged_by, *self.judge_names], target.guidance)

    def work(self, context: Context) -> tuple[float, int]:
        """Guided and unguided samples; guidance costs about as much again."""
        count = self.per_target * len(self.found(context))
        more = len(self.strengths) * len(self.found(context))
        return 3.0 * count + 2.0 * more, 2 * count + more

    def run(self, context: Context) -> TaskResult:
        """Writes, judges, compares."""
        targets = self.found(context)
        made = self.write(context, self.per_target)
        if any(target.arguments for target in targets):
            plain = self.write(context, self.per_target, guided=False)
        else:
            plain = context.unguided(len(made.texts))
        label = context.label(self.judged_by, [self.judged_by, *self.judge_names], targets[0].guidance)
        result = control_result(context, targets, made, plain, self.per_target, self.judged_by, label)
        if self.strengths:
            result.curves.append(self.frontier(context, plain))
        result.notes += self.notes(context)
        return result

    def write(
        self, context: Context, each: int, guided: bool = True, changes: Mapping[str, Any] | None = None
    ) -> SampleSet:
        """``each`` samples of every target; `changes` are made to the settings of all plugins."""
        made = SampleSet([])
        for i, target in enumerate(context.progress(self.found(context), self.name)):
            guidance = {name: {**dict(given or {}), **(changes or {})} for name, given in target.guidance.items()}
            made += context.samples(
                self.name, each, first=i * each, guidance=guidance if guided else None, **target.arguments
            )
        return made

    def frontier(self, context: Context, plain: SampleSet) -> Curve:
        """Success against perplexity over the weight of the plugins, one sample of each target; ``plain`` is unguided."""
        series: dict[str, list[tuple[float, float, str]]] = {"guided": []}
        for strength in self.strengths:
            made = self.write(context, 1, changes={"weight": strength})
            series["guided"].append((*self._place(context, made.texts), f"w = {strength:g}"))
        series["unguided"] = [(*self._place(context, plain.texts[:: self.per_target]), "")]
        return Curve("Control against fluency, over strength", "perplexity under the judge", "success", series)

    def _place(self, context: Context, texts: Sequence[str]) -> tuple[float, float]:
        held = [target.holds(text) for target, text in zip(self.found(context), texts, strict=True)]
        nats, tokens = context.score([text for text in texts if text]).sum(0)
        return (math.exp(nats / tokens) if tokens else math.nan), sum(held) / len(held)

    def notes(self, context: Context) -> list[str]:
        """Notes for a reader on the protocol."""
        return []


def control_result(
    context: Context,
    targets: Sequence[ControlTarget],
    made: SampleSet,
    plain: SampleSet,
    each: int,
    judged_by: str = "",
    label: str = "",
) -> TaskResult:
    """Success of guided samples, and what it cost beside unguided samples of the same seeds.

    Args:
        context: of the evaluation.
        targets: what was asked.
        made: ``each`` samples of every target, in order.
        plain: as many unguided ones.
        each: samples of a target.
        judged_by: judge of success, "" for a comparison of strings.
        label: that goes with success.
    """
    asked = [target for target in targets for _ in range(each)]
    keys = [f"{target.name} {context.seed + i}" for i, target in enumerate(asked)]
    held = [float(target.holds(text)) for target, text in zip(asked, made.texts, strict=True)]
    chance = [float(target.holds(text)) for target, text in zip(asked, plain.texts, strict=True)]
    how: dict[str, Any] = {"keys": keys, "seed": context.seed}
    figures = [
        measure("success", "mean", held, unit="%", better="higher", judge=judged_by, label=label, **how),
        measure("success unguided", "mean", chance, unit="%", judge=judged_by, **how),
    ]
    written = [(key, text) for key, text in zip(keys, made.texts, strict=True) if text]
    if written and any(a and b for a, b in zip(made.texts, plain.texts, strict=True)):
        scores = context.score([text for _, text in written])
        names = [key for key, _ in written]
        figures.append(
            measure("perplexity", "perplexity", list(scores), keys=names, better="lower", judge=context.judge)
        )
        pairs = compare(context.shelf, made.texts, plain.texts, [value == 1 for value in held], context.seed)
        for name, found, better in (
            ("perplexity ÷ unguided", pairs.perplexity_ratio, "lower"),
            ("entropy ÷ unguided", pairs.entropy_ratio, "higher"),
            ("distinct 4-grams ÷ unguided", pairs.distinct_4_ratio, "higher"),
        ):
            judge = context.judge if name.startswith("perplexity") else ""
            figures.append(Figure(name, found.value, found.low, found.high, better=better, judge=judge))
    if math.isfinite(made.certified):
        figures.append(number("certified", made.certified, "%", "higher"))
    figures += price(made, plain)
    failures = [[target.name, text] for target, text, ok in zip(asked, made.texts, held, strict=True) if ok < 1]
    tables = [Table(f"Failures ({len(failures)} of {len(held)}; the first 10)", ["target", "text"], failures[:10])]
    return TaskResult(figures, tables if failures else [], [], made.texts[:: max(1, len(made.texts) // 10)][:10])


def price(made: SampleSet, plain: SampleSet) -> list[Figure]:
    """Time and electricity of guided samples, and of unguided ones."""
    figures = [
        number("time a sample", made.seconds / len(made.texts), "s", "lower"),
        number("time a sample unguided", plain.seconds / len(plain.texts), "s"),
    ]
    if made.energy and plain.energy:
        guided, free = made.energy.per(len(made.texts), 1000), plain.energy.per(len(plain.texts), 1000)
        figures += [
            number("electricity of 1,000 samples", guided.wh, "Wh", "lower"),
            number("electricity of 1,000 samples unguided", free.wh, "Wh"),
            number("of which the processor", guided.cpu_wh, "Wh", "lower"),
            number("of which the processor, unguided", free.cpu_wh, "Wh"),
            number("CO2 of 1,000 samples", guided.co2_grams, "g", "lower"),
        ]
    return figures


def mentions(text: str, phrase: str) -> bool:
    """True if a text contains a phrase as whole words, capitals as they are."""
    return re.search(rf"(?<!\w){re.escape(phrase)}(?!\w)", text) is not None
