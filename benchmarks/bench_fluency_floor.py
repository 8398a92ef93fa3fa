"""A floor of fluency beside a goal: how fluent texts are by the model's own measure, and what a floor makes of them.

    python -m benchmarks.bench_fluency_floor --count 60 --steps 8 --floors 0.3 0.5 0.8

COUNT whole texts each, from the same noise: unguided; under a goal that broken text reaches (tokens that the model seldom
writes, to a share of `SHARE`), within the usual trust region; with a word required that the model does not know. For each the
quantiles of ``sample.fluency``, and for each floor how many texts lie below it, then how many do once it was asked for, how
often a text was written, and how many texts miss the goal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.commandline import load_pipeline, make_parser
from diffusionlm.evaluation.record import Stopwatch, checkpoint_facts, settings_key, write_json
from diffusionlm.guidance import Guidance, Phrases

if TYPE_CHECKING:
    from diffusionlm.guidance.state import GuidanceState

RARE = slice(700, 900)
SHARE = 0.2
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


class Rare(Guidance):
    """Wants tokens of the tail of the vocabulary: the measure is the share of positions without them."""

    def energy(self, state: GuidanceState) -> torch.Tensor:
        """(B,)."""
        return (1 - state.probs[..., RARE].sum(-1)).mul(state.span_mask).sum(-1) / state.span_mask.sum(-1)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--count", type=int, default=60, help="texts (default: 60)")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--length", type=int, default=24, help="most tokens of a text (default: 24)")
    parser.add_argument("--floors", type=float, nargs="+", default=[0.3, 0.5, 0.8])
    parser.add_argument("--word", default="banana", help="the word that is required (default: banana)")
    options = parser.parse_args(arguments)
    watch, pipe = Stopwatch(), load_pipeline(options)
    ways: dict[str, Any] = {
        "unguided": None,
        "goal": Rare(weight=50, below=1 - SHARE),
        "word": Phrases(include=[options.word]),
    }
    figures: dict[str, Any] = {}
    print("| guidance | fluency: 5, 25, 50, 75, 95 % | floor: below it without → with it; texts written; goal missed |")
    print("|---|---|---|")
    for name, guidance in ways.items():
        call = {"num_samples": options.count, "steps": options.steps, "seed": options.seed, "guidance": guidance}
        free = pipe(max_length=options.length, fluency=0, **call).samples[0]
        own = [sample.fluency for sample in free]
        found: dict[str, Any] = {"quantiles": [float(np.quantile(own, q)) for q in QUANTILES], "floors": {}}
        for floor in options.floors:
            result = pipe(max_length=options.length, fluency=floor, **call)
            found["floors"][f"{floor:g}"] = {
                "before": sum(value < floor for value in own),
                "after": sum(report.plugin == "fluency" for report in result.unmet),
                "written": sum(sample.attempts for sample in result.samples[0]),
                "missed": sum(report.plugin != "fluency" for report in result.unmet),
            }
        figures[name] = found
        cells = [
            f"{floor}: {own['before']} → {own['after']}; {own['written']}; {own['missed']}"
            for floor, own in found["floors"].items()
        ]
        print(f"| {name} | {', '.join(f'{q:.2f}' for q in found['quantiles'])} | {' · '.join(cells)} |", flush=True)
    settings = {**checkpoint_facts(options.model), "count": options.count, "steps": options.steps}
    path = options.out / "fluency-floor" / f"{settings['model']}-{settings_key(settings)}.json"
    write_json(path, watch.record("fluency-floor", settings, figures))
    print(f"Record: {path}")


if __name__ == "__main__":
    main()
