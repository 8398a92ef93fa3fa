"""Bytes in patches beside flat bytes: the time of a text, the bound after equal steps, and the arithmetic of a pass.

    python -m benchmarks.bench_bytes --train texts.txt --valid valid.txt --patches 1 4 --steps 1000 --out report.json

Models of one width and depth see the same batches of bytes (one text a line). The bound is in bits a byte under the averaged
weights; times are medians of calls that take turns, so that the load of the machine falls on all alike.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.commandline import training_config
from diffusionlm.denoiser import SpanDenoiser
from diffusionlm.evaluation.record import Stopwatch, write_json
from diffusionlm.training.export import make_pipeline
from diffusionlm.training.run import build_trainer


def main(arguments: Sequence[str] | None = None) -> None:
    options = read_arguments(arguments)
    watch = Stopwatch()
    figures: dict[str, dict[str, float]] = {}
    pipes = {}
    with tempfile.TemporaryDirectory() as folder:
        for size in options.patches:
            config = training_config(overrides_of(size, options, Path(folder)))
            trainer, tokenizer = build_trainer(config)
            trainer.run(resume=False)
            bits = trainer.validate()["valid_bound"] / math.log(2)
            pipes[size] = make_pipeline(trainer, tokenizer)
            pipes[size].set_progress_bar_config(disable=True)
            trainer.denoiser.eval()
            figures[str(size)] = {
                "bits_a_byte": bits,
                "parameters": sum(p.numel() for p in trainer.denoiser.parameters()),
                "training_seconds": trainer.seconds,
                "mega_flops_a_byte": flops(trainer.denoiser, options.length) / options.length / 1e6,
            }
    times: dict[int, list[float]] = {size: [] for size in options.patches}
    for turn in range(options.turns):
        for size, pipe in pipes.items():
            began = time.perf_counter()
            pipe(f"[SPAN:{options.length}]", num_samples=options.samples, steps=options.denoising_steps, seed=turn)
            times[size].append((time.perf_counter() - began) / options.samples)
    for size in options.patches:
        figures[str(size)]["seconds_a_text"] = statistics.median(times[size])
    print("| patch | bits a byte | seconds a text | Mflop a byte and pass | parameters | training, s |")
    print("|---|---|---|---|---|---|")
    for name, found in figures.items():
        print(
            f"| {name} | {found['bits_a_byte']:.3f} | {found['seconds_a_text']:.4f} | {found['mega_flops_a_byte']:.3f} "
            f"| {found['parameters']:,} | {found['training_seconds']:.0f} |"
        )
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}
    if options.out is not None:
        write_json(options.out, {"settings": settings, "figures": figures, "seconds": watch.seconds})


def overrides_of(size: int, options: argparse.Namespace, folder: Path) -> list[str]:
    """Settings of ``diffusionlm train`` for one patch size."""
    return [
        f"model={options.size}",
        f"model.patch_size={size}",
        f"model.process={options.process}",
        f"schedule={'masking' if options.process == 'masked' else 'information'}",
        f"sampler={'unmasking' if options.process == 'masked' else 'ancestral'}",
        f"data.train={options.train}",
        f"data.valid={options.valid}",
        "data.tokenizer={kind: byte}",
        f"data.max_length={options.length}",
        f"data.limits=[{options.length}]",
        "data.limit_weights=[]",
        f"data.tokens_per_batch={options.tokens}",
        f"trainer.max_steps={options.steps}",
        f"trainer.save_every={options.steps}",
        f"trainer.valid_every={options.steps + 1}",
        f"trainer.valid_batches={options.valid_batches}",
        f"folder={folder / str(size)}",
        f"seed={options.seed}",
    ]


def flops(denoiser: SpanDenoiser, length: int) -> float:
    """Floating-point operations of a pass over one text."""
    z = torch.randn(1, length, denoiser.config.embedding_size, device=denoiser.device)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        denoiser(z, torch.zeros(1, device=denoiser.device))
    return counter.get_total_flops()


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", required=True, help="texts, one a line")
    parser.add_argument("--valid", required=True, help="held-out ones")
    parser.add_argument("--patches", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--size", default="small", help="model=...")
    parser.add_argument("--process", choices=["gaussian", "masked"], default="gaussian")
    parser.add_argument("--length", type=int, default=256, help="longest text, and the text that is timed, in bytes")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--tokens", type=int, default=8192, help="bytes a batch")
    parser.add_argument("--valid-batches", type=int, default=2)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--denoising-steps", type=int, default=32)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
