"""Time of exact constraints: from a rule to an automaton on a canvas, and inference in it.

    python benchmarks/automata.py [--batch 16] [--length 64] [--vocabulary 1500]

Milliseconds, best of several runs on one thread. The vocabulary is made of random words and pieces of words, so that
phrases can be spelled in many ways, as in byte-level BPE (worse than a vocabulary of words).
"""

import argparse
import random
import string
import time
from collections.abc import Callable, Sequence

import torch

from diffusionlm.guidance import automata
from diffusionlm.text.vocabulary import Vocabulary

WORDS = ["the", "The", "mill", "Mill", "is", "a", "cheap", "family", "pub", "near", "by", "river", "side", "food"]
WORDS += ["Italian", "French", "1", "2", "3", "555", "-", ".", ","]


def make_vocabulary(size: int, rng: random.Random, with_letters: bool) -> Vocabulary:
    pieces = [word for text in WORDS for word in (text, " " + text)]
    if with_letters:
        pieces += [*string.ascii_letters, " "]
    seen = dict.fromkeys(pieces)
    while len(seen) < size - 1:
        piece = "".join(rng.choices(string.ascii_lowercase, k=rng.randint(2, 6)))
        seen[" " + piece if rng.random() < 0.6 else piece] = None
    return Vocabulary((b"", *(piece.encode() for piece in seen)), pad_id=0, special_ids=frozenset({0}))


def best(call: Callable[[], object], seconds: float = 1.0) -> float:
    """Milliseconds of the fastest call within a time."""
    times: list[float] = []
    started = time.perf_counter()
    while len(times) < 3 or time.perf_counter() - started < seconds:
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return 1e3 * min(times)


def report(
    title: str, rules: Callable[[], Sequence[automata.Language]], vocabulary: Vocabulary, log_p: torch.Tensor
) -> None:
    begin = time.perf_counter()
    languages = rules()
    built = time.perf_counter()
    compiled = [automata.compile_language(language, vocabulary) for language in languages]
    carried = time.perf_counter()
    bound = automata.bind(compiled, ["", ""], [0] * log_p.shape[1])
    joined = time.perf_counter()
    steps = [1e3 * (b - a) for a, b in ((begin, built), (built, carried), (carried, joined))]
    calls = (
        lambda: bound.log_partition(log_p),
        lambda: bound.posterior_marginals(log_p),
        lambda: bound.viterbi(log_p),
        lambda: bound.sample(log_p),
    )
    figures = "".join(f"{value:10.1f}" for value in [*steps, *map(best, calls)])
    print(f"{title:44}{bound.num_states:8}{figures}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--vocabulary", type=int, default=1500)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rng = random.Random(0)
    words = make_vocabulary(arguments.vocabulary, rng, with_letters=False)
    pieces = make_vocabulary(arguments.vocabulary, rng, with_letters=True)
    log_p = (3 * torch.randn(arguments.batch, arguments.length, arguments.vocabulary)).log_softmax(-1)
    automata.regex(r"\w\s")  # tables of Unicode, once in a process
    phrase = "The Mill is a cheap family pub near the riverside"
    print(f"batch {arguments.batch}, length {arguments.length}, vocabulary {arguments.vocabulary}; milliseconds")
    header = ("language", "tokens", "canvas", "log Z", "marginals", "Viterbi", "sample")
    print(f"{'constraint':44}{'states':>8}" + "".join(f"{name:>10}" for name in header))
    for title, vocabulary in (("words", words), ("words and letters", pieces)):
        print(f"-- vocabulary of {title}")
        report("contains a phrase of 10 words", lambda: [automata.contains_any([phrase])], vocabulary, log_p)
        report(r"contains nowhere \d{3}-\d{4}", lambda: [automata.regex(r"\d{3}-\d{4}", "excludes")], vocabulary, log_p)
        report("exactly 40 words", lambda: [automata.length(40, 40)], vocabulary, log_p)
        report(
            "two phrases and 12 words",
            lambda: [automata.length(12, 12), *(automata.contains_any([p]) for p in ("The Mill", "cheap food"))],
            vocabulary,
            log_p,
        )
        report(
            "40 words and a phrase of 10",
            lambda: [automata.length(40, 40), automata.contains_any([phrase])],
            vocabulary,
            log_p,
        )
    phrases = ["".join(rng.choices(string.ascii_lowercase, k=rng.randint(4, 10))) for _ in range(10_000)]
    for title, vocabulary in (("words", words), ("words and letters", pieces)):
        print(f"-- phrases excluded, vocabulary of {title} (batch 1 from 1,000 phrases on)")
        for count in (10, 100, 1_000, 10_000):
            chosen = phrases[:count]
            report(
                f"{count:,} phrases",
                lambda chosen=chosen: [automata.contains_none(chosen)],  # type: ignore[misc]
                vocabulary,
                log_p if count < 1_000 else log_p[:1],
            )


if __name__ == "__main__":
    main()
