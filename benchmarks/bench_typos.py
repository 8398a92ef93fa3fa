"""Typing errors in the prompt: what bytes and BPE keep of it.

    python -m benchmarks.bench_typos --train E2E/train.txt --valid E2E/valid.txt --runs RUNS --patches 0 4 --rate 0.05

The models are those of `bench_bytes` (trained on the way where --runs lacks one). Each held-out prompt with two values or more
that its text states is given as it is, and with --rate of its letters and digits mistyped (a neighbour on the keyboard, left
out, typed twice, or in the place of the next). Two measures: the share of those values, spelt right, that the text written says
word for word, apart for values that training prompts have; and the bound of the real text, in bits a character.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.byte_models import Texts, add_options, bound, kinds_of, load, train
from diffusionlm import DiffusionLMPipeline
from diffusionlm.evaluation.control import mentions
from diffusionlm.evaluation.record import Stopwatch, write_json
from diffusionlm.evaluation.sample_sets import table
from diffusionlm.text.conditions import fields_of

KEYBOARD = ("1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm")


def main(arguments: Sequence[str] | None = None) -> None:
    options = read_arguments(arguments)
    watch = Stopwatch()
    texts, kinds = Texts.of(options), kinds_of(options)
    for kind in kinds:
        train(kind, texts, options)
    known = {value for prompt, _ in texts.train for _, value in fields_of(prompt)}
    cases = cases_of(texts.valid, options.count, options.seed)
    rng = random.Random(options.seed)
    mistyped = [mistype(prompt, options.rate, rng) for prompt, _, _ in cases]
    figures: dict[str, dict[str, Any]] = {}
    for kind in kinds:
        pipe, _ = load(kind, texts)
        for name, prompts in {"as it is": [prompt for prompt, _, _ in cases], "mistyped": mistyped}.items():
            figures[f"{kind.name}, {name}"] = own = measure(pipe, prompts, cases, known, options)
            print(kind.name, name, own, flush=True)
    columns = ["stated", "stated_known", "bits"]
    print(
        table(
            ["model, prompt", *columns],
            [[name, *(f"{own[key]:.3f}" for key in columns)] for name, own in figures.items()],
        )
    )
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}
    if options.out is not None:
        write_json(options.out, {"settings": settings, "figures": figures, "seconds": watch.seconds})


def cases_of(pairs: Sequence[tuple[str, str]], count: int, seed: int) -> list[tuple[str, str, list[str]]]:
    """(Prompt, text, values that the text says), each prompt once; of at least two such values."""
    shuffled = list(pairs)
    random.Random(seed).shuffle(shuffled)
    found: dict[str, tuple[str, str, list[str]]] = {}
    for prompt, text in shuffled:
        said = [value for _, value in fields_of(prompt) if mentions(text, value)]
        if len(said) > 1:
            found.setdefault(prompt, (prompt, text, said))
    if not found:
        raise ValueError(
            "No held-out text has a prompt such as name[The Mill], food[Italian] and says two of its values."
        )
    return list(found.values())[:count]


def mistype(text: str, rate: float, rng: random.Random) -> str:
    """The text with ``rate`` of its letters and digits, rounded, mistyped; brackets, commas and blanks stay."""
    places = [place for place, sign in enumerate(text) if sign.isalnum()]
    wrong = set(rng.sample(places, round(rate * len(places))))
    out, held = [], ""
    for place, sign in enumerate(text):
        if place not in wrong:
            out.append(sign + held)
            held = ""
            continue
        kind = rng.choice(("neighbour", "left out", "twice", "swapped"))
        if kind == "swapped" and place + 1 < len(text) and text[place + 1].isalnum() and place + 1 not in wrong:
            held = sign + held
        elif kind == "left out":
            out.append(held)
            held = ""
        else:
            out.append((sign * 2 if kind == "twice" else _neighbour(sign, rng)) + held)
            held = ""
    return "".join(out)


def _neighbour(sign: str, rng: random.Random) -> str:
    """A key beside that of a sign, or the sign twice where the keyboard lacks it."""
    for keys in KEYBOARD:
        at = keys.find(sign.lower())
        if at >= 0:
            other = rng.choice([keys[i] for i in (at - 1, at + 1) if 0 <= i < len(keys)])
            return other.upper() if sign.isupper() else other
    return sign * 2


def measure(
    pipe: DiffusionLMPipeline,
    prompts: list[str],
    cases: list[tuple[str, str, list[str]]],
    known: set[str],
    options: argparse.Namespace,
) -> dict[str, Any]:
    """Shares of the values that are stated, of all and of known ones, and the bound of the real texts."""
    said: list[tuple[bool, bool]] = []  # stated, known
    samples = []
    for number, (prompt, (_, _, values)) in enumerate(zip(prompts, cases, strict=True)):
        written = pipe(prompt=prompt, num_samples=options.samples, steps=options.steps, seed=number, bigrams=0).texts
        samples.append({"prompt": prompt, "text": written[0]})
        said += [(mentions(text, value), value in known) for text in written for value in values]
    pairs = [(prompt, text) for prompt, (_, text, _) in zip(prompts, cases, strict=True)]
    bits, error, _ = bound(pipe, pairs, options.levels, prompted=True)
    of_known = [stated for stated, seen in said if seen]
    return {
        "stated": sum(stated for stated, _ in said) / len(said),
        "stated_known": sum(of_known) / max(1, len(of_known)),
        "values": len(said),
        "bits": bits,
        "bits_error": error,
        "samples": samples[:6],
    }


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--rate", type=float, default=0.05, help="share of letters and digits that are mistyped")
    parser.add_argument("--count", type=int, default=40, help="prompts")
    parser.add_argument("--samples", type=int, default=2, help="texts of each")
    parser.add_argument("--steps", type=int, default=32, help="of denoising")
    parser.add_argument("--levels", type=int, default=16, help="noise levels of a bound")
    parser.add_argument("--out", type=Path)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
