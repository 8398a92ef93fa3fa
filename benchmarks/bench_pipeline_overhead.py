"""The whole pipeline ÷ the bare network passes it makes: what softmax, clean estimate, sampler and text cost.

    python -m benchmarks.bench_pipeline_overhead --model restaurant --samples 16 --steps 32 --length 64 --runs 7

Runs of both alternate, so that a machine that slows down slows both. The ratio is the median over pairs; on a CPU it is
also given in processor time, which other programs on the machine disturb less.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from benchmarks.commandline import load_pipeline, make_parser
from diffusionlm import DiffusionLMPipeline
from diffusionlm.evaluation.record import Stopwatch, checkpoint_facts, settings_key, write_json

GOAL = 1.15


def bare_passes(pipe: DiffusionLMPipeline, samples: int, length: int, steps: int) -> Callable[[], None]:
    """The passes alone: shapes, dtypes and masks as in the pipeline, each with a clean estimate but the first."""
    network = pipe.denoiser
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(samples, length, network.config.embedding_size, generator=generator).to(network.device)
    estimate = torch.randn(z.shape, generator=generator).to(network.device)
    span_mask = torch.ones(samples, length, dtype=torch.bool, device=network.device)
    positions = torch.arange(length, device=network.device).expand(samples, -1)
    levels = pipe.schedule.gamma(pipe.schedule.steps(steps))[:steps].float().to(network.device)

    @torch.no_grad()
    def run() -> None:
        for i, gamma in enumerate(levels):
            network(z, gamma, None, estimate if i else None, span_mask, positions, span_mask)

    return run


def timed(call: Callable[[], Any], device: torch.device) -> tuple[float, float]:
    """Wall seconds and processor seconds of a call."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    wall, processor = time.perf_counter(), time.process_time()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - wall, time.process_time() - processor


def measure(pipe: DiffusionLMPipeline, samples: int, length: int, steps: int, runs: int) -> dict[str, Any]:
    """Seconds of both and their ratio; the first pair warms up and does not count."""
    device = pipe.denoiser.device
    bare = bare_passes(pipe, samples, length, steps)

    def whole() -> None:
        pipe(num_samples=samples, steps=steps, max_length=length, batch_size=samples, seed=0)

    pairs = [(timed(whole, device), timed(bare, device)) for _ in range(runs + 1)][1:]
    figures: dict[str, Any] = {
        "pipeline_seconds": statistics.median(ours[0] for ours, _ in pairs),
        "network_seconds": statistics.median(theirs[0] for _, theirs in pairs),
        "ratio": statistics.median(ours[0] / theirs[0] for ours, theirs in pairs),
        "ratios": [ours[0] / theirs[0] for ours, theirs in pairs],
        "goal": GOAL,
    }
    if device.type == "cpu":
        figures["processor_time_ratio"] = statistics.median(ours[1] / theirs[1] for ours, theirs in pairs)
    return figures


def main(arguments: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--steps", type=int, default=32)
    parser.add_argument("--length", type=int, default=64, help="tokens (default: 64)")
    parser.add_argument("--runs", type=int, default=7, help="pairs of runs (default: 7)")
    options: argparse.Namespace = parser.parse_args(arguments)
    watch = Stopwatch()
    pipe = load_pipeline(options)
    figures = measure(pipe, options.samples, options.length, options.steps, options.runs)
    print(f"| samples | tokens | steps | pipeline, s | network, s | ratio (goal ≤ {GOAL}) | in processor time |")
    print("|---|---|---|---|---|---|---|")
    processor = f"{figures['processor_time_ratio']:.3f}" if "processor_time_ratio" in figures else ""
    print(
        f"| {options.samples} | {options.length} | {options.steps} | {figures['pipeline_seconds']:.2f} "
        f"| {figures['network_seconds']:.2f} | {figures['ratio']:.3f} | {processor} |"
    )
    checkpoint = checkpoint_facts(options.model)
    names = ("samples", "steps", "length", "runs", "dtype", "device")
    settings = {**checkpoint, **{name: getattr(options, name) for name in names}}
    path = options.out / "pipeline_overhead" / f"{checkpoint['model']}-{settings_key(settings)}.json"
    write_json(path, watch.record("pipeline_overhead", settings, figures, options.device))
    print(f"Record: {path}")


if __name__ == "__main__":
    main()
