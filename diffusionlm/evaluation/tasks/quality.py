"""Task `quality`: shares of texts with a fault that a reader sees, and of what was copied, beside real text."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from diffusionlm.evaluation.card import SHOWN
from diffusionlm.evaluation.context import Context
from diffusionlm.evaluation.diversity import bootstrap_interval
from diffusionlm.evaluation.figures import Figure, Table, TaskResult
from diffusionlm.evaluation.quality import COPIES, KINDS, Limits, TextQuality, text_quality
from diffusionlm.evaluation.registry import Task, Unavailable, register
from diffusionlm.evaluation.tasks.fluency import cost_figures, ratios_to_real


@register("quality")
@dataclass
class Quality(Task):
    """Faults of whole texts, written from nothing, beside held-out real text, with and without the evaluation's guidance.

    Args:
        count: samples.
        references: held-out texts; those of the 95th percentile set the limits of *tail* and *stumble*.
        peer: folder of an in-domain autoregressive model (`benchmarks.autoregressive train`) as second judge; "" for none.
        training_texts: texts of the training set that are measured by what the others of it hold.
        arguments: further arguments of the pipeline for all samples, as {sampler: euler}.
    """

    count: int = 100
    references: int = 200
    peer: str = ""
    training_texts: int = 2000
    arguments: dict[str, Any] = field(default_factory=dict)

    full = {"count": 500, "references": 1000}
    order = 15

    def check(self, context: Context) -> None:
        """Training text, held-out text and judges are there, and the judge had no part."""
        for name, what in (("train", "training"), ("valid", "held-out")):
            if context.data.path(name) is None:
                raise Unavailable(f"there are no {what} texts")
        if self.references < 20:
            raise ValueError(
                f"task.quality.references must be at least 20 for a 95th percentile, got {self.references}."
            )
        if self.peer and not Path(self.peer).is_dir():
            raise ValueError(f"task.quality.peer={self.peer} is no folder of an autoregressive model.")
        if len(context.data.held_out) < 20:
            raise Unavailable(
                f"a 95th percentile needs 20 held-out texts or more, there are {len(context.data.held_out)}"
            )
        context.need_judge()
        context.perplexity_label(context.guidance)

    def work(self, context: Context) -> tuple[float, int]:
        """Samples, and texts for the judge."""
        samples = self.count * (2 if context.guidance else 1)
        return samples, samples + self.references

    def run(self, context: Context) -> TaskResult:
        """Writes, judges, counts."""
        real = [text for _, text in context.data.held_out[: self.references]]
        limits, peer_limits = Limits.of(context.score_with_worst(real)), None
        if self.peer:
            peer_limits = Limits.of(context.score_by(self.peer, real))

        def measured(texts: list[str]) -> TextQuality:
            peer_scores = context.score_by(self.peer, texts) if self.peer else None
            scores = context.score_with_worst(texts)
            return text_quality(
                texts, context.seen, scores=scores, limits=limits, peer_scores=peer_scores, peer_limits=peer_limits
            )

        plain = context.unguided(self.count, **self.arguments)
        sets = {"samples": measured(plain.texts), "real text": measured(real)}
        result = TaskResult(samples=plain.texts[:SHOWN])
        keys = [context.seed + i for i in range(self.count)]
        result.figures += sets["samples"].figures(keys=keys, judge=context.judge)
        result.figures.insert(1, above_real("fault above real text", sets["samples"], sets["real text"], context))
        result.figures += ratios_to_real(context, plain.texts, real)
        result.figures += sets["real text"].figures("real text: ", keys=real, judge=context.judge)
        if context.guidance:
            label = context.perplexity_label(context.guidance)
            guided = context.samples("guided", self.count, guidance=context.guidance, **self.arguments)
            sets["guided"] = measured(guided.texts)
            result.figures += sets["guided"].figures("guided: ", keys=keys, judge=context.judge, label=label)
            result.figures.append(
                above_real("guided: fault above unguided", sets["guided"], sets["samples"], context, paired=True)
            )
            result.samples += guided.texts[:SHOWN]
        result.figures += cost_figures(plain)
        training = [text for _, text in context.data.training]
        chosen = random.Random(context.seed).sample(training, min(self.training_texts, len(training)))
        sets["training text among itself"] = text_quality(chosen, context.seen, among_seen=True)
        result.tables.append(shares_table(sets))
        result.tables += [faults_table(name, found) for name, found in sets.items() if name in ("samples", "guided")]
        result.notes += notes(context, limits, len(real))
        return result


def above_real(name: str, ours: TextQuality, theirs: TextQuality, context: Context, *, paired: bool = False) -> Figure:
    """Difference of the shares of texts with a fault, with its interval."""
    found = bootstrap_interval(
        lambda a, b: float(a.mean() - b.mean()),
        ours.faulty.astype(float),
        theirs.faulty.astype(float),
        paired=paired,
        seed=context.seed,
    )
    return Figure(name, found.value, found.low, found.high, unit="%", better="lower", judge=context.judge)


def shares_table(sets: dict[str, TextQuality]) -> Table:
    """A row for each measure, a column for each set of texts."""
    shares = {name: found.shares() for name, found in sets.items()}
    rows = [
        [kind, *(f"{own[kind]:.2%}" if kind in own else "" for own in shares.values())]
        for kind in (*KINDS, *COPIES)
        if any(kind in own for own in shares.values())
    ]
    rows.insert(0, ["texts", *(str(len(found.texts)) for found in sets.values())])
    return Table("Shares of texts (of pairs, of 8-grams) with a fault or a copy", ["measure", *sets], rows)


def faults_table(name: str, found: TextQuality) -> Table:
    """The commonest faults, kind by kind."""
    rows = [
        [kind, ", ".join(f"{item} ({count})" if count > 1 else item for item, count in items)]
        for kind, items in found.commonest().items()
        if items
    ]
    return Table(f"Commonest faults: {name}", ["kind", "found (how often)"], rows)


def notes(context: Context, limits: Limits, references: int) -> list[str]:
    """Protocol of the measurement."""
    words = f"{context.seen.words:,} different words and marks of {context.seen.texts:,} training texts"
    lexicon = f", and the words of {', '.join(map(str, context.data.lexicon))}" if context.data.lexicon else ""
    perplexity = f"{np.exp(limits.mean):.0f}"
    return [
        f"Strange: two neighbours of a text that stand together in no training text. Words are runs of letters and digits, or "
        f"one other sign, case folded. Nonword: letters alone, not among {words}{lexicon}.",
        f"Tail: perplexity above {perplexity}; stumble: a token above {limits.worst:.1f} nats; both the 95th percentile of "
        f"{references} real texts under {context.judge}, so real text has 5 % by definition. Fault: any kind but tail.",
        "Held-out texts may be of another distribution than the training texts (E2E's describe other restaurants): 'training "
        "text among itself' is what training texts have by what the other training texts hold.",
    ]
