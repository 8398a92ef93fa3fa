"""What guidance costs: time with a plugin ÷ time without, one row a plugin.

    python -m benchmarks.bench_guidance_time --model restaurant --data E2E --batches 1 16 64

In each round the call without guidance and every call with it take turns, so that a busy machine slows all alike; a
ratio is taken within its round, and the table gives the median over rounds with the quartiles. The first call with a
plugin compiles its rules and fills caches: it is reported by itself. The processor's time is given beside wall time
(on a CPU with `--threads 1` they differ only by what other programs took). Rows: constraints, a small classifier by
every strategy (the guide of `benchmarks.price_classifiers`), and every other registered plugin by its own example.
Plugins that read the prompt are compared with the same prompt unguided.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from rich.progress import track

from benchmarks.commandline import add_data, load_pipeline, make_parser
from benchmarks.price_classifiers import guide_and_judge
from benchmarks.sample_sets import table, verdict
from diffusionlm import DiffusionLMPipeline
from diffusionlm.evaluation.record import Stopwatch, checkpoint_facts, write_json, write_text
from diffusionlm.guidance import Classifier, Guidance, Length, Particles, Phrases, Regex, available, get

PROMPT = "name[The Mill], food[Italian]"
ONE_RULE = ("one phrase", "a phrase of 10 words", "exactly 20 words", "a pattern that must not occur")
SMALL_CLASSIFIER = "classifier, posterior tilt"


@dataclass(frozen=True)
class Row:
    """A line of the table: what guidance is given, and the prompt of both calls."""

    title: str
    guidance: Any
    prompt: str | None = None


def rows_of(options: argparse.Namespace) -> list[Row]:
    """Chosen constraints, the classifier by every strategy, and the examples of the other plugins."""
    phrase = "The Mill is a cheap family pub near the riverside"
    rows = [
        Row(ONE_RULE[0], Phrases(include=["The Mill"])),
        Row(ONE_RULE[1], Phrases(include=[phrase])),
        Row(ONE_RULE[2], Length(words=20)),
        Row(ONE_RULE[3], Regex(forbid=r"\d{3}-\d{4}")),
        Row("two phrases and a length", [Phrases(include=["The Mill", "Italian"]), Length(words=20)]),
    ]
    covered = {"phrases", "length", "regex", "classifier"}
    if options.data.is_dir():
        model, tokenizer, *_ = guide_and_judge(options.data, options.out / "guides", options.seed)
        model.to(options.device)
        for title, strategy in (
            (SMALL_CLASSIFIER, "tilt"),
            ("classifier, latent gradient", "latent"),
            ("classifier, 4 particles", Particles(count=4)),
        ):
            rows.append(Row(title, Classifier(model, "low", tokenizer, strategy=strategy, weight=8.0)))
    else:
        print(f"There is no folder {options.data}: the rows of the trained classifier are left out.")
    for name in available():
        kind: type[Guidance] = get(name)
        if name not in covered:
            rows.append(Row(f"{name} (its example)", kind.example(), PROMPT if "unconditional" in kind.reads else None))
    return [row for row in rows if not options.only or any(word in row.title for word in options.only)]


def timed(
    pipe: DiffusionLMPipeline, batch: int, steps: int, row: Row | None, prompt: str | None
) -> tuple[float, float, float]:
    """Wall seconds, processor seconds and seconds within guidance of one call."""
    synchronise(pipe)
    wall, processor = time.perf_counter(), time.process_time()
    result = pipe(
        num_samples=batch,
        steps=steps,
        seed=0,
        guidance=None if row is None else row.guidance,
        prompt=prompt,
        batch_size=batch,
    )
    synchronise(pipe)
    return time.perf_counter() - wall, time.process_time() - processor, result.timings["guidance"]


def synchronise(pipe: DiffusionLMPipeline) -> None:
    """Waits for the accelerator, where there is one."""
    if pipe.denoiser.device.type == "cuda":
        torch.cuda.synchronize()


def measure(
    pipe: DiffusionLMPipeline, rows: Sequence[Row], batch: int, steps: int, rounds: int
) -> list[dict[str, Any]]:
    """Figures of every row at one batch size."""
    prompts = list(dict.fromkeys(row.prompt for row in rows))
    for prompt in prompts:
        timed(pipe, batch, min(2, steps), None, prompt)
    first = [timed(pipe, batch, steps, row, row.prompt) for row in rows]
    times: dict[Any, list[tuple[float, float, float]]] = {}
    for turn in track(range(rounds), f"batch {batch}", transient=True):
        calls: list[tuple[Any, Row | None, str | None]] = [(("plain", prompt), None, prompt) for prompt in prompts]
        calls += [(row.title, row, row.prompt) for row in rows]
        for key, row, prompt in calls if turn % 2 == 0 else calls[::-1]:
            times.setdefault(key, []).append(timed(pipe, batch, steps, row, prompt))
    found = []
    for row, begin in zip(rows, first, strict=True):
        own, plain = np.array(times[row.title]), np.array(times[("plain", row.prompt)])
        ratios = own[:, :2] / plain[:, :2]
        low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75], axis=0)
        found.append(
            {
                "row": row.title,
                "batch": batch,
                "steps": steps,
                "rounds": rounds,
                "wall_ratio": middle[0],
                "wall_ratio_quartiles": [low[0], high[0]],
                "processor_ratio": middle[1],
                "processor_ratio_quartiles": [low[1], high[1]],
                "seconds": float(np.median(own[:, 0])),
                "seconds_unguided": float(np.median(plain[:, 0])),
                "seconds_in_guidance": float(np.median(own[:, 2])),
                "first_call_seconds_more": begin[0] - float(np.median(own[:, 0])),
            }
        )
    return found


def to_markdown(found: Sequence[dict[str, Any]]) -> str:
    """One line a row and batch size."""
    head = (
        "guidance",
        "batch",
        "time ÷ without (quartiles)",
        "processor time ÷",
        "seconds",
        "without",
        "first call, seconds more",
    )
    lines = []
    for item in found:
        low, high = item["wall_ratio_quartiles"]
        lines.append(
            [
                item["row"],
                item["batch"],
                f"{item['wall_ratio']:.2f} ({low:.2f} to {high:.2f})",
                f"{item['processor_ratio']:.2f}",
                f"{item['seconds']:.2f}",
                f"{item['seconds_unguided']:.2f}",
                f"{item['first_call_seconds_more']:.2f}",
            ]
        )
    return table(head, lines)


def main(arguments: Sequence[str] | None = None) -> None:
    options = read_arguments(arguments)
    watch = Stopwatch()
    pipe = load_pipeline(options)
    facts = checkpoint_facts(options.model)
    rows = rows_of(options)
    folder = options.out / "guidance-time" / f"{facts['model']}-{facts['sha256'][:8]}"
    settings = {**facts, "steps": options.steps, "rounds": options.rounds, "dtype": options.dtype}
    found: list[dict[str, Any]] = []
    for batch in options.batches:
        found += measure(pipe, rows, batch, options.steps, options.rounds)
        write_json(folder / "times.json", watch.record("guidance-time", settings, found, options.device))
    lines = []
    for item in found:
        goal = 1.25 if item["row"] in ONE_RULE else 1.5 if item["row"] == SMALL_CLASSIFIER else None
        if goal is not None:
            lines.append(verdict(f"{item['row']}, batch {item['batch']}", item["wall_ratio"], "≤", goal, ".2f"))
    text = to_markdown(found)
    print(text, "", *lines, sep="\n")
    write_text(folder / "times.md", text + "\n\n" + "\n".join(lines) + "\n")
    print(f"Records: {folder}")


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    add_data(parser)
    parser.add_argument("--batches", type=int, nargs="+", default=[16], help="texts at once (default: 16)")
    parser.add_argument("--steps", type=int, default=16, help="denoising steps of a call (default: 16)")
    parser.add_argument("--rounds", type=int, default=5, help="calls of each kind, in turns (default: 5)")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="rows whose title contains one of these")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
