"""Samples that repel each other: how many texts of one prompt differ, and what that costs in fluency.

    python -m benchmarks.bench_diverse --model restaurant --weights 0 30 60 120

For each prompt, COUNT texts from the same noise: without the plugin (weight 0), and with `Diverse` at each weight. Distinct
texts and distinct n-grams are counted among the texts of one prompt and averaged over prompts; fluency is the model's own
measure (`pipe(fluency=0)`, 1 for its own texts), as geometric mean; with --judge also the perplexity under a causal model.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from benchmarks.commandline import load_pipeline, make_parser
from diffusionlm.evaluation.diversity import distinct_n
from diffusionlm.evaluation.record import Stopwatch, checkpoint_facts, settings_key, write_json
from diffusionlm.guidance import Diverse

PROMPTS = (
    "name[The Mill], type[pub], food[Italian], area[riverside]",
    "name[Blue Spice], type[coffee shop], price[cheap]",
    "name[The Eagle], type[restaurant], food[Chinese], customer rating[high]",
    "name[Clowns], type[pub], near[Clare Hall]",
)


def figures_of(groups: Sequence[Sequence[str]], fluency: Sequence[float]) -> dict[str, float]:
    """Means over prompts: distinct texts, distinct 2- and 4-grams; fluency as geometric mean over all texts."""
    return {
        "distinct_texts": statistics.mean(len({text.casefold() for text in texts}) for texts in groups),
        "distinct_2": statistics.mean(distinct_n(texts, 2) for texts in groups),
        "distinct_4": statistics.mean(distinct_n(texts, 4) for texts in groups),
        "fluency": math.exp(statistics.mean(math.log(max(value, 1e-9)) for value in fluency)),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--count", type=int, default=16, help="texts of a prompt (default: 16)")
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--prompts", type=int, default=len(PROMPTS), help="how many of the prompts (default: all)")
    parser.add_argument("--weights", type=float, nargs="+", default=[0.0, 60.0], help="of Diverse; 0 is without it")
    parser.add_argument("--judge", help="folder or hub name of a causal language model (default: none)")
    options = parser.parse_args(arguments)
    watch, pipe = Stopwatch(), load_pipeline(options)
    prompts = list(PROMPTS[: options.prompts])
    judge = None
    if options.judge:
        from diffusionlm.evaluation.judge import load_judge

        judge = load_judge(options.judge)
    figures = {}
    print("| weight | distinct texts | distinct 2-grams | distinct 4-grams | fluency | perplexity | seconds |")
    print("|---|---|---|---|---|---|---|")
    for weight in options.weights:
        groups, fluency, seconds = [], [], 0.0
        for prompt in prompts:  # a call for each: rows repel the others on their canvas
            guidance = Diverse(weight=weight) if weight else None
            result = pipe(
                prompt=prompt,
                num_samples=options.count,
                steps=options.steps,
                seed=options.seed,
                guidance=guidance,
                fluency=0,
            )
            groups.append(result.texts)
            fluency += [sample.fluency for sample in result.samples[0]]
            seconds += result.timings["total"]
        found = figures_of(groups, fluency) | {"seconds": seconds}
        if judge is not None:
            found["perplexity"] = judge.score([text for texts in groups for text in texts if text.strip()]).perplexity
        figures[f"{weight:g}"] = found
        cells = [f"{found['distinct_texts']:.1f} of {options.count}"]
        cells += [f"{found[name]:.3f}" for name in ("distinct_2", "distinct_4", "fluency")]
        cells += [f"{found['perplexity']:.1f}" if "perplexity" in found else "", f"{seconds:.1f}"]
        print(f"| {weight:g} | {' | '.join(cells)} |", flush=True)
    settings = {**checkpoint_facts(options.model), "count": options.count, "steps": options.steps, "prompts": prompts}
    path = options.out / "diverse" / f"{settings['model']}-{settings_key(settings)}.json"
    write_json(path, watch.record("diverse", settings, figures))
    print(f"Record: {path}")


if __name__ == "__main__":
    main()
