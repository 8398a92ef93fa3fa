"""Bytes in patches beside flat bytes and BPE, trained for the same arithmetic: bound, faults, and the time of a text.

    python -m benchmarks.bench_bytes --train E2E/train.txt --valid E2E/valid.txt --runs RUNS --patches 0 1 4 --out report.json

The models (--patches 0 is BPE, 1 flat bytes) have one trunk and see texts of one set in batches of as many; each is trained for
--tera Tflop and kept in --runs, where a later call finds it; --processes masked adds its pair. The bound, in bits a
character, is that of whole held-out texts under the averaged weights, from nothing and, where texts have prompts, from them.
Texts are written by the network alone (no bigram model) and judged by the training texts; real ones stand beside. Times are of
the processor, for one text in a batch of --samples, medians of calls that take turns.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.byte_models import Texts, add_options, bound, kinds_of, load, train
from diffusionlm import DiffusionLMPipeline
from diffusionlm.denoiser import SpanDenoiser
from diffusionlm.evaluation.diversity import distinct_n, ngram_entropy
from diffusionlm.evaluation.quality import text_quality
from diffusionlm.evaluation.record import Stopwatch, write_json
from diffusionlm.evaluation.sample_sets import table
from diffusionlm.evaluation.seen_text import SeenText

MEASURES = ("fault", "strange", "repeat", "nonword")


def main(arguments: Sequence[str] | None = None) -> None:
    options = read_arguments(arguments)
    watch = Stopwatch()
    texts, kinds = Texts.of(options), kinds_of(options)
    for kind in kinds:
        train(kind, texts, options)
    seen = SeenText([text for _, text in texts.train])
    pairs = list(texts.valid)
    random.Random(options.seed).shuffle(pairs)
    real = [text for _, text in pairs[: options.count]]
    shares = text_quality(real, seen).shares() if real else {}
    figures: dict[str, dict[str, Any]] = {"real text": {name: shares[name] for name in MEASURES if name in shares}}
    pipes: dict[str, DiffusionLMPipeline] = {}
    for kind in kinds:
        pipe, facts = load(kind, texts)
        pipes[kind.name] = pipe
        own = figures[kind.name] = {**facts, **bounds(pipe, pairs[: options.texts], options)}
        own["mega_flops_a_pass"] = flops(pipe.denoiser, pipe.model.max_length) / 1e6
        if options.count:
            own |= written(pipe, options, seen, real)
        print(kind.name, own, flush=True)
    times: dict[str, list[float]] = {name: [] for name in pipes}
    for turn in range(options.turns):
        for name, pipe in pipes.items():
            began = time.process_time()
            pipe(
                f"[SPAN:{pipe.model.max_length}]",
                num_samples=options.samples,
                steps=options.steps,
                seed=turn,
                bigrams=0,
            )
            times[name].append((time.process_time() - began) / options.samples)
    for name, found in times.items():
        if found:
            figures[name]["seconds_a_text"] = statistics.median(found)
    columns = [
        "parameters",
        "steps",
        "bits",
        "bits_with_prompt",
        *MEASURES,
        "entropy",
        "mega_flops_a_pass",
        "seconds_a_text",
    ]
    print(
        table(["model", *columns], [[name, *(_cell(own.get(key)) for key in columns)] for name, own in figures.items()])
    )
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}
    if options.out is not None:
        write_json(options.out, {"settings": settings, "figures": figures, "seconds": watch.seconds})


def bounds(pipe: DiffusionLMPipeline, pairs: list[tuple[str, str]], options: argparse.Namespace) -> dict[str, float]:
    """Bits a character of held-out texts, from nothing and from their prompts, with standard errors."""
    found: dict[str, float] = {}
    for name, prompted in {"bits": False, "bits_with_prompt": True}.items():
        if not prompted or any(prompt for prompt, _ in pairs):
            found[name], found[f"{name}_error"], found["bounded"] = bound(pipe, pairs, options.levels, prompted)
    return found


def written(pipe: DiffusionLMPipeline, options: argparse.Namespace, seen: SeenText, real: list[str]) -> dict[str, Any]:
    """Faults of texts that the network writes from nothing, and their entropy ÷ that of real text."""
    texts = []
    for begin in range(0, options.count, options.samples):
        count = min(options.samples, options.count - begin)
        texts += pipe(num_samples=count, steps=options.steps, seed=options.seed + begin, bigrams=0).texts
    shares = text_quality(texts, seen).shares()
    filled = [text for text in texts if len(text.split()) > 4]
    found: dict[str, Any] = {name: shares[name] for name in MEASURES}
    found["entropy"] = ngram_entropy(filled) / ngram_entropy(real) if filled else 0.0
    found["distinct_4grams"] = distinct_n(filled, 4) / distinct_n(real, 4) if filled else 0.0
    return {**found, "samples": texts[:8]}


def flops(denoiser: SpanDenoiser, length: int) -> float:
    """Floating-point operations of a pass over one text."""
    z = torch.randn(1, length, denoiser.config.embedding_size, device=denoiser.device)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        denoiser(z, torch.zeros(1, device=denoiser.device))
    return counter.get_total_flops()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--texts", type=int, default=64, help="held-out texts that are bounded")
    parser.add_argument("--levels", type=int, default=16, help="noise levels for each of them")
    parser.add_argument("--count", type=int, default=100, help="texts that are written and judged; 0: none")
    parser.add_argument("--samples", type=int, default=16, help="texts of a call")
    parser.add_argument("--steps", type=int, default=32, help="of denoising")
    parser.add_argument("--turns", type=int, default=3, help="calls that are timed; 0: none")
    parser.add_argument("--out", type=Path)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
