"""Perceiver latents beside the whole memory: the time of a denoising step over the length of what the spans look at.

    python -m benchmarks.bench_latents --size small --memory 64 512 4096 8192 --latents 0 16 64 256 --out report.json

Networks of one size with random weights, for time does not depend on what they learned. A memory is encoded once for all steps
of a text, which is timed apart; a step is one pass over the spans beside it. Times are the smallest of several runs, of the
processor (all threads together). Latents are what the encoding is compressed to, 0 keeps all of it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from benchmarks.commandline import training_config
from diffusionlm.denoiser import DenoiserConfig, SpanDenoiser
from diffusionlm.evaluation.record import Stopwatch, write_json


def main(arguments: Sequence[str] | None = None) -> None:
    options = read_arguments(arguments)
    watch = Stopwatch()
    shape = training_config([f"model={options.size}", "data=text", "data.train=none.txt"])["model"]
    figures: dict[str, dict[str, float]] = {}
    print("| latents | memory | step, ms | ÷ step at the shortest memory | encoding, ms |")
    print("|---|---|---|---|---|")
    for latents in options.latents:
        torch.manual_seed(options.seed)
        config = DenoiserConfig(
            **{**shape, "vocab_size": 1536, "num_latents": latents, "max_position_embeddings": 8192}
        )
        config._attn_implementation = "sdpa"
        denoiser = SpanDenoiser(config).eval()
        z = torch.randn(1, options.positions, config.embedding_size)
        first = None
        for length in sorted(options.memory):
            ids = torch.randint(1, 1536, (1, length))
            with torch.no_grad():
                encoding = smallest(lambda ids=ids, model=denoiser: model.encode_context(ids), 1)
                memory = denoiser.encode_context(ids)
                step = smallest(
                    lambda memory=memory, model=denoiser, z=z: model(z, torch.zeros(1), memory), options.runs
                )
            first = step if first is None else first
            figures[f"{latents}/{length}"] = {"step_s": step, "encoding_s": encoding, "ratio": step / first}
            print(
                f"| {latents} | {length} | {step * 1e3:.1f} | {step / first:.2f} | {encoding * 1e3:.0f} |", flush=True
            )
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}
    if options.out is not None:
        write_json(options.out, {"settings": settings, "figures": figures, "seconds": watch.seconds})


def smallest(work: Callable[[], object], runs: int) -> float:
    """Seconds of the processor that a call takes, the smallest of several runs."""
    found = []
    for _ in range(runs):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return min(found)


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="small", help="model=...")
    parser.add_argument("--memory", type=int, nargs="+", default=[64, 512, 4096, 8192], help="positions of memory")
    parser.add_argument("--latents", type=int, nargs="+", default=[0, 16, 64, 256])
    parser.add_argument("--positions", type=int, default=32, help="positions of the spans")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
