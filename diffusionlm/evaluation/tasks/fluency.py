"""Task `fluency`: perplexity under a judge, with entropy, distinct n-grams, self-BLEU and copies, beside real text."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from diffusionlm.evaluation.context import Context
from diffusionlm.evaluation.diversity import bootstrap_interval, distinct_n, ngram_entropy, self_bleu, verbatim_share
from diffusionlm.evaluation.diversity import words as words_of
from diffusionlm.evaluation.figures import Curve, Figure, Table, TaskResult, measure, number
from diffusionlm.evaluation.mauve import mauve
from diffusionlm.evaluation.registry import Task, register
from diffusionlm.evaluation.sample_sets import SampleSet


@register("fluency")
@dataclass
class Fluency(Task):
    """Fluency and diversity of whole texts, written from nothing, with and without the evaluation's guidance.

    Args:
        count: samples.
        references: held-out texts beside them.
        temperatures: further temperatures for the frontier of perplexity against entropy; [] draws none.
        frontier_count: samples at each of these.
        mauve: compare the samples with the held-out texts by MAUVE, encoded by the judge of perplexity.
    """

    count: int = 96
    references: int = 192
    temperatures: list[float] = field(default_factory=lambda: [0.7, 1.0])
    frontier_count: int = 48
    mauve: bool = True

    full = {"count": 500, "references": 1000, "temperatures": [0.6, 0.7, 0.75, 0.9, 1.0], "frontier_count": 250}
    order = 10

    def check(self, context: Context) -> None:
        """The judge is there and had no part."""
        context.need_judge()
        context.perplexity_label(context.guidance)

    def work(self, context: Context) -> tuple[float, int]:
        """Samples, and texts for the judge."""
        samples = self.count * (2 if context.guidance else 1) + len(self.temperatures) * self.frontier_count
        if not context.data.path("valid"):
            return samples, samples
        read_again = (self.count * (2 if context.guidance else 1) + self.references) if self.mauve else 0
        return samples, samples + self.references + read_again

    def run(self, context: Context) -> TaskResult:
        """Samples, scores, and the frontier."""
        real, training = self._real(context)
        plain = context.unguided(self.count)
        result = TaskResult(samples=plain.texts[:10])
        result.figures += figures_of_texts(context, plain)
        if real:
            result.figures += ratios_to_real(context, plain.texts, real)
            if self.mauve:
                self._add_mauve(context, result, plain.texts, real)
        else:
            result.notes.append("No held-out texts were given: there is nothing to divide by.")
        if training:
            copies = [verbatim_share([text], training) for text in plain.texts]
            result.figures.append(
                measure("copies of training texts", "mean", copies, unit="%", better="lower", keys=range(len(copies)))
            )
        if context.guidance:
            guided = context.samples("guided", self.count, guidance=context.guidance)
            label = context.perplexity_label(context.guidance)
            result.figures += figures_of_texts(context, guided, "guided: ", label)
            if real and self.mauve:
                self._add_mauve(context, result, guided.texts, real, "guided: ", label)
        result.tables.append(self._table(context, plain.texts, real))
        if self.temperatures:
            result.curves.append(self._frontier(context, plain.texts, real))
        return result

    def _real(self, context: Context) -> tuple[list[str], list[str]]:
        real = [text for _, text in context.data.held_out[: self.references]] if context.data.path("valid") else []
        return real, [text for _, text in context.data.training] if context.data.path("train") else []

    def _add_mauve(
        self, context: Context, result: TaskResult, texts: list[str], real: list[str], prefix: str = "", label: str = ""
    ) -> None:
        written = [text for text in texts if text]
        size = min(len(written), len(real))
        if size < 2:
            return
        features = context.features([*written[:size], *real])
        ours, theirs, others = features[:size], features[size : 2 * size], features[2 * size : 3 * size]
        value = mauve(ours, theirs, seed=context.seed)
        result.figures.append(Figure(f"{prefix}MAUVE", value, better="higher", judge=context.judge, label=label))
        if not prefix:
            if len(others) == size:
                value = mauve(others, theirs, seed=context.seed)
                result.figures.append(Figure("MAUVE of other real text", value, judge=context.judge))
            result.notes.append(
                f"MAUVE of {size} and {size} texts, by what the judge holds after their last token; its published figures take "
                "another encoder and more texts and do not compare."
            )

    def _table(self, context: Context, texts: list[str], real: list[str]) -> Table:
        rows = [["samples", *_diversity(context, texts, len(texts))]]
        if real:
            rows.append(["real text", *_diversity(context, real, len(texts))])
        head = ["texts", "number", "perplexity", "entropy, nats", "distinct-1", "distinct-2", "distinct-4", "self-BLEU"]
        return Table("Fluency and diversity, on equal numbers of texts", head, rows)

    def _frontier(self, context: Context, plain: list[str], real: list[str]) -> Curve:
        own = context.settings["temperature"]
        points = {own: plain[: self.frontier_count]}
        for temperature in self.temperatures:
            if temperature != own:
                points[temperature] = context.samples("temperature", self.frontier_count, temperature=temperature).texts
        series: dict[str, list[tuple[float, float, str]]] = {"samples": []}
        for temperature, texts in sorted(points.items()):
            series["samples"].append((*_place(context, texts), f"T = {temperature:g}"))
        if real:
            series["real text"] = [(*_place(context, real[: self.frontier_count]), "real")]
        return Curve(
            "Quality against entropy, over temperature", "entropy of words, nats", "perplexity under the judge", series
        )


def figures_of_texts(context: Context, made: SampleSet, prefix: str = "", label: str = "") -> list[Figure]:
    """Perplexity, entropy, distinct 4-grams, length, empty texts, time and electricity of a set of samples."""
    keys = [context.seed + i for i in range(len(made.texts))]
    kept = [(key, text) for key, text in zip(keys, made.texts, strict=True) if text]
    figures = []
    if kept:
        names, texts = [key for key, _ in kept], [text for _, text in kept]
        scores = context.score(texts)
        how: dict[str, Any] = {"keys": names, "seed": context.seed}
        figures += [
            measure(
                f"{prefix}perplexity",
                "perplexity",
                list(scores),
                better="lower",
                judge=context.judge,
                label=label,
                **how,
            ),
            measure(f"{prefix}entropy of words", "entropy", texts, unit="nats", better="higher", **how),
            measure(f"{prefix}distinct 4-grams", "distinct_4", texts, unit="%", better="higher", **how),
            measure(f"{prefix}words", "mean", [len(words_of(text)) for text in texts], **how),
        ]
        if len(texts) > 1:
            figures.append(number(f"{prefix}self-BLEU", self_bleu(texts), better="lower"))
    empty = [not text for text in made.texts]
    figures.append(measure(f"{prefix}empty", "mean", empty, unit="%", better="lower", keys=keys))
    return figures + cost_figures(made, prefix)


def cost_figures(made: SampleSet, prefix: str = "") -> list[Figure]:
    """Seconds a sample, and electricity of 1,000 samples where it was measured."""
    figures = [number(f"{prefix}time a sample", made.seconds / len(made.texts), "s", "lower")]
    if made.energy is not None:
        per_thousand = made.energy.per(len(made.texts), 1000)
        figures += [
            number(f"{prefix}electricity of 1,000 samples", per_thousand.wh, "Wh", "lower"),
            number(f"{prefix}of which the processor", per_thousand.cpu_wh, "Wh", "lower"),
            number(f"{prefix}CO2 of 1,000 samples", per_thousand.co2_grams, "g", "lower"),
        ]
    return figures


def ratios_to_real(context: Context, texts: list[str], real: list[str]) -> list[Figure]:
    """Perplexity, entropy and distinct 4-grams ÷ those of real text; the last two on equal numbers of texts."""
    written = [text for text in texts if text]
    if not written:
        return []
    scores, others = context.score(written), context.score(real)

    def quotient(ours: np.ndarray, theirs: np.ndarray) -> float:
        (nats, tokens), (real_nats, real_tokens) = ours.sum(0), theirs.sum(0)
        return math.exp(nats / tokens - real_nats / real_tokens)

    found = bootstrap_interval(quotient, scores, others, seed=context.seed)
    size = min(len(written), len(real))
    ours, theirs = written[:size], real[:size]
    return [
        Figure("perplexity ÷ real text", found.value, found.low, found.high, better="lower", judge=context.judge),
        number("entropy ÷ real text", ngram_entropy(ours) / ngram_entropy(theirs), better="higher"),
        number("distinct 4-grams ÷ real text", distinct_n(ours, 4) / distinct_n(theirs, 4), better="higher"),
    ]


def _diversity(context: Context, texts: list[str], size: int) -> list[str]:
    texts = [text for text in texts if text][:size]
    if len(texts) < 2:
        return [str(len(texts)), *["undefined"] * 6]
    nats, tokens = context.score(texts).sum(0)
    distinct = [f"{distinct_n(texts, n):.3f}" for n in (1, 2, 4)]
    return [
        str(len(texts)),
        f"{math.exp(nats / tokens):.1f}",
        f"{ngram_entropy(texts):.3f}",
        *distinct,
        f"{self_bleu(texts):.3f}",
    ]


def _place(context: Context, texts: list[str]) -> tuple[float, float]:
    texts = [text for text in texts if text]
    nats, tokens = context.score(texts).sum(0)
    return ngram_entropy(texts), math.exp(nats / tokens)
