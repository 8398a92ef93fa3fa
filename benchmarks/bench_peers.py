"""Controlled writing beside the peers: seconds a sample at the same goal, a value that is mentioned.

    python -m benchmarks.bench_peers --model restaurant --data E2E --peer peer --value Italian --train-seconds 120

Ours: the phrase as an exact rule. Peers: the autoregressive model plain, best of n, with FUDGE, with PPLM, with masked
tokens; Diffusion-LM's recipe (200 steps, three Adagrad steps each) and masked diffusion with classifier guidance, both with the
network of our model. Every classifier and both diffusion peers are trained here, for --train-seconds of processor time
each, which is enough to time them and far too little to judge their texts: the success of the peers that were trained so is
shown for completeness, and the table says how long each was trained. The autoregressive peer comes trained (--peer).

Times are by the processor's clock (and by wall time in the record), --count texts in one batch. Success: the value stands
in the text as whole words, read by Python's `re`. Texts and times are kept; an interrupted run goes on.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.commandline import add_data, load_pipeline, make_parser
from benchmarks.peers import fudge, pplm, token_masking
from benchmarks.peers.autoregressive import Peer
from benchmarks.peers.diffusion_lm import DiffusionLM
from benchmarks.peers.masked_diffusion import MaskedDiffusion
from benchmarks.peers.short_training import Goal, Trained
from diffusionlm import DiffusionLMPipeline
from diffusionlm.evaluation.record import Stopwatch, checkpoint_facts, settings_key, write_json, write_text
from diffusionlm.evaluation.sample_sets import Shelf, table
from diffusionlm.guidance import Phrases, automata
from diffusionlm.text.e2e import read_e2e

OURS = "ours, exact phrase"
Maker = Callable[[], tuple[Callable[[], list[str]], dict[str, Trained]]]


def makers(options: argparse.Namespace, pipe: DiffusionLMPipeline, peer: Peer, texts: list[str]) -> dict[str, Maker]:
    """For each way to write: a function that trains what it needs and gives the call that is timed."""
    goal, count, seconds, seed = Goal(options.value), options.count, options.train_seconds, options.seed

    def ours(steps: int) -> Maker:
        rule = Phrases(include=[options.value])

        def make() -> tuple[Callable[[], list[str]], dict[str, Trained]]:
            pipe(num_samples=1, steps=1, seed=seed, guidance=rule)  # compiles the rule, as others train: once
            return lambda: pipe(num_samples=count, steps=steps, seed=seed, guidance=rule).texts, {}

        return make

    def best_of(n: int) -> Callable[[], list[str]]:
        def call() -> list[str]:
            written = fudge.sample(peer, None, count * n, seed=seed)
            groups = [written[i * n : (i + 1) * n] for i in range(count)]
            return [next((text for text in group if goal.holds(text)), group[0]) for group in groups]

        return call

    def with_fudge() -> tuple[Callable[[], list[str]], dict[str, Trained]]:
        classifier, trained = fudge.train_classifier(peer, texts, goal, seconds, seed)
        call = lambda: fudge.sample(peer, classifier, count, strength=options.strength, seed=seed)  # noqa: E731
        return call, {"classifier": trained}

    def with_pplm() -> tuple[Callable[[], list[str]], dict[str, Trained]]:
        head, trained = pplm.train_discriminator(peer, texts, goal, seconds, seed)
        return lambda: pplm.sample(peer, head, count, seed=seed), {"classifier": trained}

    def diffusion(kind: Any, **settings: Any) -> Maker:
        def make() -> tuple[Callable[[], list[str]], dict[str, Trained]]:
            model = kind.create(pipe.denoiser.config, pipe.tokenizer, seed)
            trained = {"network": model.train(texts, seconds, seed=seed)}
            classifier, trained["classifier"] = model.train_classifier(texts, goal, seconds, seed)
            return lambda: model.sample(count, classifier, seed=seed, **settings), trained

        return make

    language = automata.contains_any([options.value], whole_words=True)
    return {
        OURS: ours(options.steps),
        "ours, exact phrase, half the steps": ours(max(1, options.steps // 2)),
        "autoregressive, plain": lambda: (lambda: fudge.sample(peer, None, count, seed=seed), {}),
        "autoregressive, best of 8": lambda: (best_of(8), {}),
        "autoregressive, FUDGE": with_fudge,
        "autoregressive, PPLM": with_pplm,
        "autoregressive, masked tokens": lambda: (lambda: token_masking.sample(peer, language, count, seed=seed), {}),
        "masked diffusion, classifier": diffusion(MaskedDiffusion, steps=options.steps),
        "Diffusion-LM's recipe": diffusion(DiffusionLM, steps=options.recipe_steps),
    }


def timed(make: Maker, goal: Goal, rounds: int) -> dict[str, Any]:
    """Texts, success and times of one way to write."""
    call, trained = make()
    times = []
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        texts = [" ".join(text.split()) for text in call()]
        times.append((time.process_time() - cpu, time.perf_counter() - wall))
    cpu, wall = min(times)
    return {
        "texts": texts,
        "success": sum(map(goal.holds, texts)) / len(texts),
        "cpu_seconds_per_sample": cpu / len(texts),
        "wall_seconds_per_sample": wall / len(texts),
        "trained": {name: asdict(facts) for name, facts in trained.items()},
    }


def to_markdown(rows: dict[str, dict[str, Any]], perplexities: dict[str, float]) -> str:
    head = ("way to write", "success", "perplexity", "processor s a sample", "÷ ours", "trained here, s (last loss)")
    base = rows[OURS]["cpu_seconds_per_sample"]
    lines = []
    for name, row in rows.items():
        trained = "; ".join(f"{what} {t['seconds']:.0f} ({t['last_loss']:.3g})" for what, t in row["trained"].items())
        seconds = row["cpu_seconds_per_sample"]
        shown = f"{perplexities[name]:.0f}" if name in perplexities else ""
        lines.append([name, f"{row['success']:.0%}", shown, f"{seconds:.3f}", f"{seconds / base:.2f}", trained or "-"])
    return table(head, lines)


def main(arguments: Sequence[str] | None = None) -> None:
    options = read_arguments(arguments)
    watch = Stopwatch()
    pipe = load_pipeline(options)
    peer = Peer.load(options.peer, options.device)
    texts = [text for _, text in read_e2e(options.data / "train.txt")]
    goal = Goal(options.value)
    facts = checkpoint_facts(options.model)
    names = (
        "value",
        "count",
        "steps",
        "recipe_steps",
        "strength",
        "train_seconds",
        "rounds",
        "seed",
        "dtype",
        "threads",
    )
    settings = {**facts, **{name: getattr(options, name) for name in names}, "peer": options.peer.name}
    folder = options.out / "peers" / f"{facts['model']}-{facts['sha256'][:8]}-{settings_key(settings)}"
    rows: dict[str, dict[str, Any]] = {}
    for number, (name, make) in enumerate(makers(options, pipe, peer, texts).items()):
        if options.only and number not in options.only and name != OURS:
            continue
        file = folder / f"{number:02d}-{settings_key({'name': name})}.json"
        if not file.is_file():
            write_json(file, timed(make, goal, options.rounds))
        rows[name] = json.loads(file.read_text(encoding="utf-8"))
        print(f"{name}: {rows[name]['cpu_seconds_per_sample']:.3f} s a sample, {rows[name]['success']:.0%}", flush=True)
    perplexities = {}
    if options.judge:
        shelf = Shelf(folder, {}, options.judge)
        for name, row in rows.items():
            written = [text for text in row["texts"] if text]
            if written:
                nats, tokens = shelf.score(written).sum(0)
                perplexities[name] = float(2.718281828459045 ** (nats / tokens))
    text = to_markdown(rows, perplexities)
    print("", text, sep="\n")
    write_json(folder / "table.json", watch.record("peers", settings, {"rows": rows, "perplexity": perplexities}))
    write_text(folder / "table.md", text + "\n")
    print(f"Samples and records: {folder}")


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    add_data(parser)
    parser.add_argument("--peer", type=Path, required=True, help="folder written by benchmarks.autoregressive train")
    parser.add_argument("--value", default="Italian", help="what the texts shall mention (default: Italian)")
    parser.add_argument("--count", type=int, default=8, help="texts, in one batch (default: 8)")
    parser.add_argument("--steps", type=int, default=32, help="of ours and of masked diffusion (default: 32)")
    parser.add_argument("--recipe-steps", type=int, default=200, help="of Diffusion-LM's recipe (default: 200)")
    parser.add_argument("--strength", type=float, default=1.0, help="of FUDGE; 1 is Bayes' rule")
    parser.add_argument(
        "--train-seconds", type=float, default=60.0, help="of processor time, for each part (default: 60)"
    )
    parser.add_argument("--rounds", type=int, default=2, help="the quickest counts (default: 2)")
    parser.add_argument("--only", type=int, nargs="+", help="numbers of the ways to write, from 0 (default: all)")
    parser.add_argument("--judge", help="smollm2, or a folder or hub name: perplexity of the texts")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
