"""Rules over a vocabulary of 126,000 tokens: compile time, time and memory of a step.

    python benchmarks/bench_large_vocabulary.py [--tokens 126000] [--batch 4] [--length 64] [--network 100000000]

The vocabulary is made: 256 bytes, words with and without a space before them, capitals, numbers, marks, Chinese. A step is
`BoundAutomaton.posterior` on (batch, length, tokens); beside it stand a copy of the logits and the matrix products of a
network of so many parameters with its output layer, on the same machine in turn, because a busy machine slows all alike.
Memory is the largest resident set during the step above what was there before it, in MB and in sizes of the logits.
"""

from __future__ import annotations

import argparse
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import torch

from diffusionlm.guidance import automata
from diffusionlm.guidance.automata.absence_over_tokens import compile_absence
from diffusionlm.guidance.automata.occurrences import Absence
from diffusionlm.guidance.pii.automaton import guard_absence
from diffusionlm.guidance.pii.kind import Kind
from diffusionlm.guidance.pii.patterns import KINDS
from diffusionlm.text import Vocabulary

WORDS = [
    "the",
    "The",
    "mill",
    "Mill",
    "is",
    "a",
    "cheap",
    "pub",
    "food",
    "near",
    "river",
    "family",
    "kids",
    "coffee",
    "£",
    "'t",
    "’",
]


def make_vocabulary(size: int, rng: random.Random) -> Vocabulary:
    """256 bytes, real words, and invented ones of every shape that tokenizers have."""
    seen = {bytes([byte]): None for byte in range(256)}
    seen |= {surface.encode(): None for word in WORDS for surface in (word, " " + word)}
    while len(seen) < size - 1:
        word = "".join(rng.choice("bcdfghjklmnprstvwz") + rng.choice("aeiou") for _ in range(rng.randint(1, 4)))
        shape = rng.random()
        if shape < 0.5:
            word = " " + word
        elif shape < 0.6:
            word = " " + word.capitalize()
        elif shape < 0.65:
            word += rng.choice([".", ",", " ", "'s"])
        elif shape < 0.7:
            word = str(rng.randint(0, 9999))
        elif shape < 0.75:
            word = "".join(chr(rng.randint(0x4E00, 0x9FFF)) for _ in range(rng.randint(1, 3)))
        seen[word.encode()] = None
    return Vocabulary((b"", *seen), pad_id=0, special_ids=frozenset({0}))


def guard_of(kind: Kind) -> Absence:
    """Texts without what the guard of a kind of personal data looks for."""
    found = guard_absence((kind,))
    assert found is not None, kind.title
    return found


def resident() -> float:
    """Resident memory in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


def measured(call: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Processor seconds of the fastest call, and the largest memory above what was there before."""
    before, largest, done = resident(), [0.0], threading.Event()

    def watch() -> None:
        while not done.is_set():
            largest[0] = max(largest[0], resident())
            done.wait(0.002)

    watcher = threading.Thread(target=watch)
    watcher.start()
    times = []
    for _ in range(rounds):
        begin = time.process_time()
        call()
        times.append(time.process_time() - begin)
    done.set()
    watcher.join()
    return min(times), largest[0] - before


def main() -> None:
    """Prints one line for each rule."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=126_000)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--network", type=int, default=100_000_000)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(1)
    vocabulary = make_vocabulary(options.tokens, random.Random(0))
    allowed = torch.ones(options.length, len(vocabulary), dtype=torch.bool)
    allowed[0] = vocabulary.starts_with_space
    allowed[0, 0] = False
    noise = torch.randn(options.batch, options.length, len(vocabulary), generator=torch.Generator().manual_seed(0))
    log_p = noise.mul_(3).masked_fill_(~allowed, -torch.inf).log_softmax(-1)
    size = log_p.numel() * 4 / 1e6
    positions = options.batch * options.length
    width = 640
    layers = max(1, options.network // (4 * width * width))
    x, inner, out = torch.randn(positions, width), torch.randn(width, 4 * width), torch.randn(width, len(vocabulary))

    def network() -> None:
        for _ in range(layers):
            _ = x @ inner
        _ = x @ out

    bare, _ = measured(network, 1)
    copy, _ = measured(lambda: log_p.clone(), options.rounds)
    automata.regex(r"\w\s")  # tables of Unicode, once in a process
    print(f"{len(vocabulary):,} tokens, {positions} positions, logits {size:.0f} MB; processor seconds")
    print(f"matrix products of a network of {options.network:,} parameters {bare:.2f}, a copy of the logits {copy:.3f}")
    kinds = {kind.title: kind for kind in (KINDS.values() if isinstance(KINDS, dict) else KINDS)}
    rules: dict[str, Callable[[], automata.TokenAutomaton]] = {
        "phrase": lambda: automata.compile_language(automata.contains_any(["The Mill"], whole_words=True), vocabulary),
        "pattern": lambda: automata.compile_language(automata.regex(r"\d{3}-\d{4}", "excludes"), vocabulary),
        "20 to 30 words": lambda: automata.compile_language(automata.length(20, 30), vocabulary),
        "telephone numbers": lambda: compile_absence(guard_of(kinds["telephone numbers"]), vocabulary),
        "e-mail addresses": lambda: compile_absence(guard_of(kinds["e-mail addresses"]), vocabulary),
    }
    print(f"{'rule':20}{'states':>8}{'compile':>9}{'bind':>7}{'step':>7}{'÷ network':>10}{'MB':>6}{'÷ logits':>9}")
    for title, compiled in rules.items():
        begin = time.process_time()
        rule = compiled()
        carried = time.process_time()
        bound = automata.bind([rule], ["", ""], [0] * options.length, allowed)
        joined = time.process_time()
        step, memory = measured(lambda bound=bound: bound.posterior(log_p), options.rounds)  # type: ignore[misc]
        print(
            f"{title:20}{bound.num_states:8}{carried - begin:9.2f}{joined - carried:7.2f}{step:7.2f}{step / bare:10.2f}"
            f"{memory:6.0f}{memory / size:9.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
