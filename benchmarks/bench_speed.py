"""Speed of unguided writing beside the autoregressive peer with a key-value cache, and the arithmetic of both.

    python -m benchmarks.bench_speed --model restaurant --peer peer --length 64 --batches 1 16 --steps 8 16 32

Both write 64 tokens: ours a canvas of 64 positions, the peer 64 tokens one after the other, without an end token. Calls take
turns, in each round every call once; ratios are medians over rounds, with quartiles, by wall time and by the processor's.
Floating-point operations are counted by PyTorch (matrix products, a multiply-add as two). Without --peer, a peer of our
model's size with random weights stands in: its time is that of a trained one, its texts are noise.

How our cost grows over batch, length, steps, samplers and plugins: `diffusionlm evaluate tasks=[speed]`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.commandline import load_pipeline, make_parser
from benchmarks.peers.autoregressive import GAP, Peer, TrainOptions
from diffusionlm import DiffusionLMPipeline
from diffusionlm.evaluation.record import Stopwatch, checkpoint_facts, settings_key, write_json, write_text
from diffusionlm.evaluation.sample_sets import table
from diffusionlm.evaluation.timing import peak_memory, ratio_of, take_turns


def peer_call(peer: Peer, batch: int, length: int, seed: int) -> Callable[[], Any]:
    """`length` tokens for each of `batch` texts, with the cache."""
    known = torch.tensor([[peer.sep, *[GAP] * length]] * batch)
    generator = torch.Generator().manual_seed(seed)
    return lambda: peer.write(known.clone(), 1.0, False, generator)


def our_call(pipe: DiffusionLMPipeline, batch: int, length: int, steps: int, seed: int) -> Callable[[], Any]:
    return lambda: pipe(num_samples=batch, max_length=length, steps=steps, seed=seed)


def operations(call: Callable[[], Any]) -> int:
    """Floating-point operations of a call."""
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def measure(
    pipe: DiffusionLMPipeline, peer: Peer, batch: int, length: int, steps: Sequence[int], rounds: int, seed: int
) -> list[dict[str, Any]]:
    """A row for the peer and one for each number of steps."""
    calls = {"peer": peer_call(peer, batch, length, seed)}
    calls |= {f"{count} steps": our_call(pipe, batch, length, count, seed) for count in steps}
    timings = take_turns(calls, rounds)
    rows = []
    for name, timing in timings.items():
        row: dict[str, Any] = {"batch": batch, "what": name, **timing.to_dict(), "flops": operations(calls[name])}
        row["tokens_per_second"] = batch * length / timing.median_wall
        if name != "peer":
            row["quicker_wall"] = vars(ratio_of(timings["peer"], timing, "wall"))
            row["quicker_cpu"] = vars(ratio_of(timings["peer"], timing, "cpu"))
        rows.append(row)
    return rows


def to_markdown(rows: Sequence[dict[str, Any]]) -> str:
    head = ("batch", "what", "s a sample", "tokens/s", "peer ÷ ours, wall", "peer ÷ ours, processor", "GFLOP a sample")
    lines = []
    for row in rows:
        ratios = [row.get("quicker_wall"), row.get("quicker_cpu")]
        shown = ["" if r is None else f"{r['value']:.2f} ({r['low']:.2f} to {r['high']:.2f})" for r in ratios]
        size = row["batch"]
        lines.append(
            [
                size,
                row["what"],
                f"{row['wall'] / size:.4f}",
                f"{row['tokens_per_second']:.0f}",
                *shown,
                f"{row['flops'] / size / 1e9:.3f}",
            ]
        )
    return table(head, lines)


def main(arguments: Sequence[str] | None = None) -> None:
    options = read_arguments(arguments)
    watch = Stopwatch()
    pipe = load_pipeline(options)
    parameters = sum(p.numel() for p in pipe.denoiser.parameters())
    if options.peer is None:
        peer = Peer.create(pipe.tokenizer, TrainOptions(params=parameters))
        peer.model.eval().to(options.device)
    else:
        peer = Peer.load(options.peer, options.device)
    rows = []
    for batch in options.batches:
        rows += measure(pipe, peer, batch, options.length, options.steps, options.rounds, options.seed)
        print(to_markdown(rows[-len(options.steps) - 1 :]), flush=True)
    facts = checkpoint_facts(options.model)
    names = ("batches", "length", "steps", "rounds", "seed", "dtype", "threads")
    settings = {**facts, **{name: getattr(options, name) for name in names}}
    settings |= {"parameters": parameters, "peer_parameters": peer.model.num_parameters()}
    settings["peer"] = "random weights" if options.peer is None else options.peer.name
    path = options.out / "speed" / f"{facts['model']}-{facts['sha256'][:8]}-{settings_key(settings)}.json"
    figures = {"rows": rows, "peak_memory_mib": peak_memory()}
    write_json(path, watch.record("speed", settings, figures, options.device))
    write_text(path.with_suffix(".md"), to_markdown(rows) + "\n")
    sizes = f"{parameters / 1e6:.2f} M, the peer {settings['peer_parameters'] / 1e6:.2f} M ({settings['peer']})"
    print(f"\nParameters: ours {sizes}.\nRecord: {path}")


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument("--peer", type=Path, help="folder written by benchmarks.autoregressive train")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16], help="(default: 1 16)")
    parser.add_argument("--steps", type=int, nargs="+", default=[8, 16, 32], help="(default: 8 16 32)")
    parser.add_argument("--length", type=int, default=64, help="tokens (default: 64)")
    parser.add_argument("--rounds", type=int, default=5, help="(default: 5)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
