"""Random draws of (rules, seed) on models of several kinds: how many finished texts break a rule.

    python -m benchmarks.bench_rules_on_models --draws 1000 [--seconds 240] [--model masked ...] [--seed 0]

A draw is one finished text: rules are drawn anew for every `--rows` of them, which are written in one call from different
noise. A text is read by copies of the plugins that have not seen the call, through what they certify. For scale, the same
rules also read texts that the model wrote without them ("without"): what would be broken if guidance did nothing. Rules that
the call refuses as unsatisfiable (two that contradict each other, no room) are counted apart; texts of refused rules are none.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

from benchmarks.random_rules import draw_rules
from benchmarks.tiny_models import MODELS, TinyModel, held, tiny_model
from diffusionlm.guidance import Guidance, UnsatisfiableConstraint

DEFAULT = ["masked", "modernbert", "gemma", "llada2"]


@dataclass
class Tally:
    """Counts of one model.

    Attributes:
        texts: finished under rules.
        rules: sets of rules that they were written under.
        refused: sets of rules that were refused as unsatisfiable.
        without: texts written without the rules that break them, and texts that were read so.
        kinds: texts by kind of rule.
        broken: (kind, rules, text) of each violation.
        seconds: of processor time.
    """

    texts: int = 0
    rules: int = 0
    refused: int = 0
    without: tuple[int, int] = (0, 0)
    kinds: Counter[str] = field(default_factory=Counter)
    broken: list[tuple[str, str, str]] = field(default_factory=list)
    seconds: float = 0.0


def breaks(model: TinyModel, rules: list[Guidance], text: str) -> bool:
    """Whether a text breaks one of the rules."""
    return not all(ok for rule in rules for ok in held(rule, text, model.vocabulary).values())


def tally(model: TinyModel, draws: int, seed: int, rows: int = 8, seconds: float = float("inf")) -> Tally:
    """Writes texts under random rules until there are ``draws`` of them, or the processor time is spent."""
    rng, began, found = random.Random(seed), time.process_time(), Tally()
    free = model.write(None, [rng.randrange(2**31) for _ in range(rows)], 2, None)
    while found.texts < draws and (found.seconds < seconds):
        kind, rules = draw_rules(rng)
        count = min(rows, draws - found.texts)
        seeds = [rng.randrange(2**31) for _ in range(count)]
        try:
            texts = model.write(rules, seeds, rng.choice([1, 2, 4]), None)
        except UnsatisfiableConstraint:
            found.refused += 1
        else:
            found.rules += 1
            found.texts += len(texts)
            found.kinds[kind] += len(texts)
            found.broken += [(kind, str(rules), text) for text in texts if breaks(model, rules, text)]
            worse, read = found.without
            free_broken = sum(breaks(model, rules, text) for text in free)
            found.without = worse + free_broken, read + len(free)
        found.seconds = time.process_time() - began
    return found


def main() -> None:
    """Prints one row for each model, and every violation; fails if there is one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=1000, help="texts for each model")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="of processor time for each model, at most")
    parser.add_argument("--rows", type=int, default=8, help="texts for each set of rules")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", choices=MODELS, action="append", help=f"default: {', '.join(DEFAULT)}")
    options = parser.parse_args()
    print("| model | texts | sets of rules | refused sets | violations | without the rules | processor s |")
    print("|---|---|---|---|---|---|---|")
    violations, kinds = [], Counter[str]()
    for name in options.model or DEFAULT:
        model = tiny_model(name)
        found = tally(model, options.draws, options.seed, options.rows, options.seconds)
        violations += [(model.title, *broken) for broken in found.broken]
        kinds += found.kinds
        worse, read = found.without
        print(
            f"| {model.title} | {found.texts:,} | {found.rules:,} | {found.refused:,} | {len(found.broken)} | "
            f"{worse:,} of {read:,} | {found.seconds:.0f} |",
            flush=True,
        )
    print("texts by kind: " + ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items())))
    for violation in violations:
        print("VIOLATION", *violation, sep=" | ")
    if violations:
        sys.exit(1)


if __name__ == "__main__":
    main()
