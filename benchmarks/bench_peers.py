"""Controlled writing beside the peers: success, perplexity and time at the same goals, on the same data and machine.

    python -m benchmarks.bench_peers --data E2E --peer peer --tasks content length pos --treebanks TREEBANKS

    content       a value is mentioned word for word (targets of Diffusion-LM); judged by `re`
    length        exactly so many words, 10 to 40; judged by `str.split`
    pos           the parts of speech of all words (targets of Diffusion-LM): share of tags that are right; judged by spaCy

Ours: the goal as an exact rule. Peers: the autoregressive model plain, best of n, with FUDGE, with PPLM, with masked tokens;
Diffusion-LM's recipe (200 steps, three Adagrad steps each) and masked diffusion with classifier guidance, both with the
network of our model, beginning with its blocks (--from-scratch: with none). What the peers need is trained here for so many
seconds of processor time and kept in --out: called again with more, the training goes on. The autoregressive peer comes
trained (--peer). Controllers rank and classify by what they were taught, never by the judge; --train-only stops after that.

Times are by the processor's clock (wall time in the record), compiling of rules included; --count texts of each target,
those of --slow-count for PPLM and the recipe. Perplexity beside that of held-out text. Texts and times are kept.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.commandline import add_data, held_out_texts, load_pipeline, make_parser
from benchmarks.peers.autoregressive import Peer
from benchmarks.peers.e2e_sentences import tagged, words_as_given
from benchmarks.peers.goals import CONTENT, LENGTH, POS, ExactLength, Goal, Mention, Sentence, Tags
from benchmarks.peers.short_training import Trained
from benchmarks.peers.ways import RECIPE, Call, Ways
from diffusionlm.corpora.e2e import read_e2e
from diffusionlm.evaluation.diversity import bootstrap_interval
from diffusionlm.evaluation.record import Stopwatch, checkpoint_facts, settings_key, write_json, write_text
from diffusionlm.evaluation.sample_sets import Shelf, table
from diffusionlm.evaluation.tasks.control_semantic import SAYABLE, read_values, said_shares

TASKS = (CONTENT, LENGTH, POS)
UNITS = {CONTENT: "texts with the value", LENGTH: "texts of the length", POS: "tags right"}
NO_WORDS = ("START", "END", "\n")
REAL = 100  # held-out sentences whose perplexity stands beside


def timed(call: Call, trained: dict[str, Trained], targets: list[Any], seed: int, rounds: int) -> dict[str, Any]:
    """Texts and times of one way to write; the quickest of the rounds."""
    times = []
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        texts = [" ".join(text.split()) for text in call(targets, seed)]
        times.append((time.process_time() - cpu, time.perf_counter() - wall))
    cpu, wall = min(times)
    return {
        "targets": targets,
        "texts": texts,
        "cpu_seconds_per_sample": cpu / len(texts),
        "wall_seconds_per_sample": wall / len(texts),
        "trained": {name: asdict(facts) for name, facts in trained.items()},
    }


def measured(row: dict[str, Any], goal: Goal, shelf: Shelf | None) -> dict[str, Any]:
    """Success with its interval, empty texts and perplexity of a way's texts."""
    targets = [tuple(target) if isinstance(target, list) else target for target in row["targets"]]
    pairs = list(zip(targets, row["texts"], strict=True))
    scores = np.array([goal.judged(target, text) for target, text in pairs])
    share = bootstrap_interval(lambda own: float(own.mean()), scores, seed=0)
    found: dict[str, Any] = {"success": asdict(share), "empty": sum(not text for text in row["texts"])}
    if isinstance(goal, ExactLength):
        found["close"] = float(np.mean([goal.close(target, text) for target, text in pairs]))
    written = [text for text in row["texts"] if text]
    if shelf is not None and written:
        nats, tokens = shelf.score(written).sum(0)
        found["perplexity"] = math.exp(nats / tokens)
    return found


def to_markdown(goal: Goal, rows: dict[str, dict[str, Any]], real: float | None, left_out: dict[str, str]) -> str:
    """The table of a goal."""
    base = next(iter(rows.values()))["cpu_seconds_per_sample"]
    head = ["way to write", UNITS[goal.name], *(["within 2"] if goal.name == LENGTH else []), "perplexity", "÷ real text",
            "texts", "processor s a sample", "÷ ours", "trained here, s (last loss)"]  # fmt: skip
    lines = []
    for name, row in rows.items():
        interval = row["success"]
        trained = "; ".join(f"{what} {t['seconds']:.0f} ({t['last_loss']:.3g})" for what, t in row["trained"].items())
        perplexity = row.get("perplexity")
        lines.append([
            name, f"{interval['value']:.1%} ({interval['low']:.0%} to {interval['high']:.0%})",
            *([f"{row['close']:.0%}"] if goal.name == LENGTH else []),
            "-" if perplexity is None else f"{perplexity:.0f}",
            "-" if perplexity is None or real is None else f"{perplexity / real:.2f}",
            len(row["texts"]), f"{row['cpu_seconds_per_sample']:.3f}",
            f"{row['cpu_seconds_per_sample'] / base:.2f}", trained or "-",
        ])  # fmt: skip
    lines += [[name, f"none: {why}", *["-"] * (len(head) - 2)] for name, why in left_out.items()]
    return table(head, lines)


def verdicts(rows: dict[str, dict[str, Any]]) -> list[str]:
    """For each of our rows: is it above every peer that reads at least as well?"""
    mine = {name: row for name, row in rows.items() if name.startswith("ours")}
    peers = {name: row for name, row in rows.items() if name not in mine}
    lines = []
    for name, row in mine.items():
        beaten = [
            other
            for other, peer in peers.items()
            if peer["success"]["value"] >= row["success"]["value"]
            and peer.get("perplexity", math.inf) <= row.get("perplexity", math.inf)
        ]
        lines.append(
            f"{name}: "
            + (f"no better than {', '.join(beaten)}" if beaten else "no peer does as well at its perplexity")
        )
        recipe = peers.get(RECIPE)
        if recipe:
            times = recipe["cpu_seconds_per_sample"] / row["cpu_seconds_per_sample"]
            better = row["success"]["value"] >= recipe["success"]["value"]
            lines.append(
                f"{name}: {times:.0f} samples in the time of one of the recipe, success {'≥' if better else '<'}"
            )
    return lines


def goal_of(name: str, options: argparse.Namespace, limit: int) -> tuple[Goal, list[Sentence]]:
    """A goal with its targets, and the sentences that classifiers of it learn from."""
    pairs = read_e2e(options.data / "train.txt")
    given = options.data / "control_targets"
    if name == CONTENT:
        values = options.value or _values(given / "attribute.jsonl", pairs)
        return Mention(_spread(values, options.targets)), words_as_given(options.data / "train.txt")
    if name == LENGTH:
        return ExactLength(_spread(range(10, 41), options.targets)), words_as_given(options.data / "train.txt")
    sentences, tag = tagged(options.data / "train.txt", options.treebanks, options.out / "peers" / "trained")
    rows = [json.loads(line) for line in (given / "pos.jsonl").read_text(encoding="utf-8").splitlines() if line]
    sequences = [[t for t, w in zip(r["pos"], r["words_"], strict=True) if w not in NO_WORDS] for r in rows]
    return Tags([own for own in sequences if 0 < len(own) <= limit - 4][: options.targets], tag), sentences


def _values(file: Path, pairs: list[tuple[str, str]]) -> list[str]:
    found = read_values(file)
    said = zip(found, said_shares(found, pairs), strict=True)
    return list(dict.fromkeys(value for (_, value), share in said if share >= SAYABLE))


def _spread(items: Sequence[Any], count: int) -> list[Any]:
    """At most `count`, evenly spread."""
    count = min(count, len(items))
    return [items[round(i * (len(items) - 1) / max(1, count - 1))] for i in range(count)]


def main(arguments: Sequence[str] | None = None) -> None:
    options = read_arguments(arguments)
    watch = Stopwatch()
    pipe, peer = load_pipeline(options), Peer.load(options.peer, options.device)
    facts = checkpoint_facts(options.model)
    names = ("value", "targets", "steps", "recipe_steps", "strength", "train_seconds", "classifier_seconds", "rounds",
             "seed", "dtype", "threads", "count", "slow_count", "from_scratch")  # fmt: skip
    settings = {**facts, **{name: getattr(options, name) for name in names}, "peer": options.peer.name}
    folder = options.out / "peers" / f"{facts['model']}-{facts['sha256'][:8]}"
    shelf = Shelf(folder, {}, options.judge) if options.judge else None
    real = None
    if shelf is not None:
        nats, tokens = shelf.score(held_out_texts(options)[:REAL]).sum(0)
        real = math.exp(nats / tokens)
    report = []
    for task in options.tasks:
        goal, sentences = goal_of(task, options, pipe.max_length)
        ways, rows, left_out = Ways(options, pipe, peer, goal, sentences), {}, {}
        for number, (name, (slow, make)) in enumerate(ways.all().items()):
            if options.only and number not in options.only and number:
                continue
            each = options.slow_count or options.count if slow else options.count
            file = folder / f"{task}-{number:02d}-{settings_key({**settings, 'name': name, 'each': each})}.json"
            if options.train_only or not file.is_file():
                made = make()
                if made is None:
                    left_out[name] = "no controller of this kind for the goal"
                    continue
                if options.train_only:
                    print(
                        f"{task}, {name}: {', '.join(f'{k} {t}' for k, t in made[1].items()) or 'nothing'}", flush=True
                    )
                    continue
                targets = [target for target in goal.targets for _ in range(each)]
                write_json(file, timed(*made, targets, options.seed, 1 if slow else options.rounds))
            rows[name] = json.loads(file.read_text(encoding="utf-8"))
            rows[name] |= measured(rows[name], goal, shelf)
            row = rows[name]
            print(
                f"{task}, {name}: {row['cpu_seconds_per_sample']:.3f} s a sample, {row['success']['value']:.1%}",
                flush=True,
            )
        if not rows:
            continue
        text = "\n".join([f"**{task}**, {len(goal.targets)} targets" + (f"; real text: perplexity {real:.0f}" if real else ""),
                          "", to_markdown(goal, rows, real, left_out), "", *verdicts(rows)])  # fmt: skip
        print("", text, "", sep="\n")
        report.append(text)
        write_json(folder / f"{task}.json", watch.record("peers", settings, {"rows": rows, "real_perplexity": real}))
    if report:
        write_text(folder / "table.md", "\n\n".join(report) + "\n")
        print(f"Samples and records: {folder}")


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    add_data(parser)
    parser.add_argument("--peer", type=Path, required=True, help="folder written by benchmarks.autoregressive train")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=[CONTENT], help="(default: content)")
    parser.add_argument("--treebanks", type=Path, default=Path("data/treebanks"), help="with ewt-train.conllu, for pos")
    parser.add_argument(
        "--value", nargs="+", help="what the texts shall mention (default: values of the data's targets)"
    )
    parser.add_argument("--targets", type=int, default=8, help="targets of each task (default: 8)")
    parser.add_argument("--count", type=int, default=4, help="texts of each target (default: 4)")
    parser.add_argument("--slow-count", type=int, help="the same for PPLM and the recipe (default: --count)")
    parser.add_argument("--steps", type=int, nargs="+", default=[16, 8, 32], help="of ours; ratios are to the first")
    parser.add_argument("--recipe-steps", type=int, default=200, help="of Diffusion-LM's recipe (default: 200)")
    parser.add_argument("--strength", type=float, default=1.0, help="of FUDGE; 1 is Bayes' rule")
    parser.add_argument("--train-seconds", type=float, default=60.0, help="of each diffusion peer (default: 60)")
    parser.add_argument("--classifier-seconds", type=float, default=30.0, help="of each classifier (default: 30)")
    parser.add_argument("--train-bfloat16", action="store_true", help="train in bfloat16, on processors that have it")
    parser.add_argument("--from-scratch", action="store_true", help="diffusion peers do not begin with our blocks")
    parser.add_argument("--train-only", action="store_true", help="train what the tasks need, write nothing")
    parser.add_argument("--rounds", type=int, default=2, help="the quickest counts (default: 2)")
    parser.add_argument("--only", type=int, nargs="+", help="numbers of the ways to write, from 0 (default: all)")
    parser.add_argument("--judge", help="smollm2, or a folder or hub name: perplexity of the texts")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
