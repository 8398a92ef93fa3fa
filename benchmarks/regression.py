"""The regression guard: five minutes of ratios and of texts from fixed seeds, beside what is stored; a report of what moved.

    python -m benchmarks.regression                 # compares; exit code 1 if something became worse
    python -m benchmarks.regression --update        # stores what it measured as the new mark

Times are never compared: machines differ and are shared. What is compared are ratios of two calls that took turns in this very
run, by the processor's clock: guided ÷ unguided, ours ÷ an autoregressive model with cache, the pipeline ÷ its network
passes. A ratio has moved if it is off by more than a quarter and its quartiles do not meet the stored ones. Figures of
texts (exact rules, infilling, likelihood bound) come from fixed seeds and may move by their stated tolerance.
The mark is benchmarks/regression.json; it belongs to the bundled weights whose checksum it holds.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.bench_pipeline_overhead import bare_passes
from benchmarks.bench_speed import our_call, peer_call
from benchmarks.commandline import load_pipeline, make_parser
from benchmarks.peers.autoregressive import Peer, TrainOptions
from diffusionlm import DiffusionLMPipeline
from diffusionlm.evaluation.control import mentions
from diffusionlm.evaluation.infilling import fill_gaps, hide_words
from diffusionlm.evaluation.likelihood import text_bounds
from diffusionlm.evaluation.record import Stopwatch, checkpoint_facts, write_json
from diffusionlm.evaluation.sample_sets import table
from diffusionlm.evaluation.timing import TimeRatio, ratio_of, take_turns
from diffusionlm.guidance import Length, Phrases, Regex

MARK = Path(__file__).parent / "regression.json"
FORMAT = 1
MOVED = 1.25
BATCH, LENGTH, STEPS = 4, 32, 8
TEXTS = (
    "The Mill is a cheap pub near the river.",
    "The Vaults serves Italian food in the city centre.",
    "Blue Spice is a coffee shop with a customer rating of 5 out of 5.",
    "Near Café Rouge there is a family friendly restaurant called The Eagle.",
    "Prices at Zizzi are high and children are welcome.",
    "The Waterman is a Japanese place in riverside with an average rating.",
    "Cotto offers English food for less than £20.",
    "If you like French food, try The Golden Palace near the city centre.",
)


@dataclass(frozen=True)
class Measured:
    """A figure of a run.

    Attributes:
        value: of the figure.
        low: lower quartile of a ratio of times; the value less its tolerance for others.
        high: upper quartile; the value and its tolerance.
        better: "lower" or "higher".
        timed: whether it is a ratio of times.
    """

    value: float
    low: float
    high: float
    better: str
    timed: bool


def times(pipe: DiffusionLMPipeline, rounds: int, seed: int) -> dict[str, Measured]:
    """Ratios of calls that take turns."""
    peer = Peer.create(pipe.tokenizer, TrainOptions(params=sum(p.numel() for p in pipe.denoiser.parameters())))
    peer.model.eval()
    settings: dict[str, Any] = {"num_samples": BATCH, "max_length": LENGTH, "steps": STEPS, "seed": seed}
    rules = {
        "phrase": Phrases(include=["The Mill"]),
        "length": Length(words=10),
        "regex": Regex(forbid="[0-9]"),
    }
    calls: dict[str, Callable[[], Any]] = {"plain": lambda: pipe(**settings)}
    calls |= {name: lambda rule=rule: pipe(guidance=rule, **settings) for name, rule in rules.items()}
    calls["all"] = lambda: pipe(guidance=list(rules.values()), **settings)
    calls["bare"] = bare_passes(pipe, BATCH, LENGTH, STEPS)
    calls["one"] = our_call(pipe, 1, LENGTH, STEPS, seed)
    calls["peer"] = peer_call(peer, 1, LENGTH, seed)
    calls["twice the steps"] = our_call(pipe, BATCH, LENGTH, 2 * STEPS, seed)
    calls["twice the length"] = our_call(pipe, BATCH, 2 * LENGTH, STEPS, seed)
    timings = take_turns(calls, rounds)
    pairs = {
        "a phrase ÷ unguided": ("phrase", "plain"),
        "a length ÷ unguided": ("length", "plain"),
        "a regex ÷ unguided": ("regex", "plain"),
        "three rules ÷ unguided": ("all", "plain"),
        "pipeline ÷ its network passes": ("plain", "bare"),
        f"{BATCH} texts ÷ one": ("plain", "one"),
        "twice the steps ÷ once": ("twice the steps", "plain"),
        "twice the length ÷ once": ("twice the length", "plain"),
        f"{STEPS} steps ÷ autoregressive with cache, batch 1": ("one", "peer"),
    }
    return {name: _timed(ratio_of(timings[a], timings[b])) for name, (a, b) in pairs.items()}


def _timed(ratio: TimeRatio) -> Measured:
    return Measured(ratio.value, ratio.low, ratio.high, "lower", True)


def texts(pipe: DiffusionLMPipeline, seed: int) -> dict[str, Measured]:
    """Figures of texts from fixed seeds."""

    def share(held: list[bool], better: str = "higher", tolerance: float = 0.0) -> Measured:
        return _within(sum(held) / len(held), tolerance, better)

    phrases = pipe(num_samples=8, steps=16, seed=seed, guidance=Phrases(include=["The Mill"])).texts
    lengths = pipe(num_samples=8, steps=16, seed=seed, guidance=Length(words=12)).texts
    tasks = [hide_words(text, 0.25, seed) for text in TEXTS]
    fills = fill_gaps(pipe, tasks, steps=16, seed=seed)
    right = [
        a == b.strip()
        for task, given in zip(tasks, fills, strict=True)
        for a, b in zip(task.answers, given, strict=True)
    ]
    bound, error = text_bounds(pipe, TEXTS, num_levels=16, seed=seed).per_token
    return {
        "a phrase is there": share([mentions(text, "The Mill") for text in phrases]),
        "a length is exact": share([len(text.split()) == 12 for text in lengths]),
        "gaps filled as they were": share(right, tolerance=0.15),
        "likelihood bound, nats a token": _within(bound, max(0.1, 0.5 * error), "lower"),
    }


def _within(value: float, tolerance: float, better: str) -> Measured:
    return Measured(value, value - tolerance, value + tolerance, better, False)


def verdict(now: Measured, before: Measured) -> str:
    """ "worse", "better" or "" for a figure beside the stored one."""
    apart = now.low > before.high or now.high < before.low
    if now.timed:
        apart = apart and max(now.value / before.value, before.value / now.value) > MOVED
    else:
        apart = not before.low - 1e-9 <= now.value <= before.high + 1e-9
    if not apart:
        return ""
    return "better" if (now.value < before.value) == (now.better == "lower") else "worse"


def report(now: dict[str, Measured], before: dict[str, Measured]) -> tuple[str, list[str]]:
    """A table of all figures, and the names of those that became worse."""
    rows, worse = [], []
    for name, own in now.items():
        old = before.get(name)
        said = "new" if old is None else verdict(own, old)
        if said == "worse":
            worse.append(name)
        stored = "" if old is None else f"{old.value:.3g}"
        ends = f" ({own.low:.3g} to {own.high:.3g})" if own.timed else ""
        rows.append([name, stored, f"{own.value:.3g}{ends}", own.better, said])
    rows += [[name, f"{old.value:.3g}", "", old.better, "gone"] for name, old in before.items() if name not in now]
    return table(("figure", "stored", "now (quartiles)", "better", "moved"), rows), worse


def read_mark(path: Path, checksum: str) -> dict[str, Measured]:
    """The stored figures; none if there are none yet.

    Raises:
        ValueError: they are of another format or of other weights.
    """
    if not path.is_file():
        return {}
    data = json.loads(path.read_text(encoding="utf-8"))
    stored = data.get("settings", {})
    if stored.get("format") != FORMAT or stored.get("sha256") != checksum:
        raise ValueError(
            f"{path} was stored for format {stored.get('format')} and weights {str(stored.get('sha256'))[:12]}, this run has "
            f"format {FORMAT} and weights {checksum[:12]}: call again with --update."
        )
    return {name: Measured(**figure) for name, figure in data["figures"].items()}


def main(arguments: Sequence[str] | None = None) -> int:
    options = read_arguments(arguments)
    watch = Stopwatch()
    pipe = load_pipeline(options)
    facts = checkpoint_facts(options.model)
    before = {} if options.update else read_mark(options.mark, facts["sha256"])
    now = texts(pipe, options.seed) | times(pipe, options.rounds, options.seed)
    text, worse = report(now, before)
    print(text)
    settings = {**facts, "format": FORMAT, "rounds": options.rounds, "seed": options.seed, "threads": options.threads}
    figures = {name: asdict(own) for name, own in now.items()}
    record = watch.record("regression", settings, figures, options.device)
    if options.update or not before:
        write_json(options.mark, record)
        print(f"\nStored as the mark: {options.mark}")
        return 0
    write_json(options.out / "regression.json", record)
    print(f"\n{len(worse)} figures became worse{': ' + '; '.join(worse) if worse else ''}. {watch.seconds:.0f} s.")
    return 1 if worse else 0


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument("--mark", type=Path, default=MARK, help="file with the stored figures")
    parser.add_argument("--update", action="store_true", help="store what is measured now")
    parser.add_argument("--rounds", type=int, default=7, help="of calls in turns (default: 7)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
