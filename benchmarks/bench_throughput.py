"""Throughput of a denoising step and of a training step: attention backend, precision, compiled or not, experts.

    python -m benchmarks.bench_throughput --shape small --batch 16 --length 64 --rounds 5
    python -m benchmarks.bench_throughput --shape medium --batch 256 --length 256 --device cuda --precisions float32 bfloat16 \
        --backends eager sdpa flash_attention_2 --compile

A row is one configuration; each is timed by itself after a warm-up, since compiled graphs and memory of one would stand in
the way of the next (compiling takes minutes on a CPU). Time is wall time of a step, the median over rounds. Operations are
counted by PyTorch on the eager network with `eager` attention (matrix products, a multiply-add as two): the same for every
backend of one shape. The share is that of the rate which one large matrix product reaches on this machine at this precision,
measured beforehand in this very run: the peak as a program can have it, not that of a data sheet. Weights are random.

Precision is autocast, as in training (`trainer.precision=bf16`); sampling in one dtype is `bench_speed --dtype`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.commandline import DTYPES, machine_parser, set_threads
from diffusionlm import DenoiserConfig, SpanDenoiser
from diffusionlm.denoiser.attention import check_backend
from diffusionlm.evaluation.record import Stopwatch, settings_key, write_json, write_text
from diffusionlm.evaluation.sample_sets import table
from diffusionlm.evaluation.timing import peak_memory

CONFIGS = Path(__file__).resolve().parent.parent / "configs" / "model"
EXPERTS = {"num_experts": 8, "num_experts_per_tok": 2}
SIZE = {"cpu": 1024, "cuda": 8192}  # of the matrices that show the peak
HEAD = (
    "what",
    "experts",
    "precision",
    "attention",
    "compiled",
    "ms a step",
    "tokens/s",
    "TFLOP/s",
    "share",
    "peak MiB",
)


def matrix_rate(device: str, precision: str, rounds: int) -> float:
    """Floating-point operations a second of a large square matrix product."""
    size = SIZE.get(torch.device(device).type, 2048)
    a, b = (torch.randn(size, size, device=device, dtype=DTYPES[precision]) for _ in range(2))
    return 2 * size**3 / seconds_of(lambda: a @ b, device, rounds)


def seconds_of(call: Callable[[], Any], device: str, rounds: int) -> float:
    """Median wall time of a call after two that are not counted (the second finds what the first compiled)."""
    times = []
    for number in range(rounds + 2):
        _wait(device)
        began = time.perf_counter()
        call()
        _wait(device)
        if number > 1:
            times.append(time.perf_counter() - began)
    return statistics.median(times)


def _wait(device: str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()


def steps_of(
    config: DenoiserConfig,
    batch: int,
    length: int,
    device: str,
    precision: str,
    backend: str,
    compiled: bool,
    counted: bool = False,
) -> dict[str, Callable[[], Any]]:
    """A denoising step without gradients, and a training step: forward, backward, AdamW."""
    torch.manual_seed(0)
    model = SpanDenoiser(config).to(device)
    model.set_attn_implementation(backend)
    if counted and config.num_experts:
        model.set_experts_implementation("eager")  # grouped products are no operations to the counter
    z = torch.randn(batch, length, config.embedding_size, device=device)
    gamma = torch.tensor(0.0, device=device)
    targets = torch.randint(0, config.vocab_size, (batch, length), device=device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    network = torch.compile(model) if compiled else model

    def logits() -> torch.Tensor:
        with torch.autocast(torch.device(device).type, DTYPES[precision], enabled=precision != "float32"):
            return network(z, gamma, None, z).logits

    def sample() -> None:
        model.eval()
        with torch.no_grad():
            logits()

    def train() -> None:
        model.train()
        optimizer.zero_grad(set_to_none=True)
        torch.nn.functional.cross_entropy(logits().float().flatten(0, 1), targets.flatten()).backward()
        optimizer.step()

    return {"denoising step": sample, "training step": train}


def measure(options: argparse.Namespace) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows, and what this machine cannot run with the reason."""
    loaded: Any = OmegaConf.to_container(OmegaConf.load(CONFIGS / f"{options.shape}.yaml"))
    loaded.pop("defaults", None)
    plain = {"vocab_size": options.vocab_size, "max_position_embeddings": options.length, **loaded}
    rates = {name: matrix_rate(options.device, name, options.rounds) for name in options.precisions}
    rows, left_out = [], []
    for more in ({}, EXPERTS) if options.experts else ({},):
        config = DenoiserConfig(**{**plain, **more})
        # counted once, in the eager network: a compiled graph and fused attention hide their operations from the counter
        operations = {}
        for name, call in steps_of(
            config, options.batch, options.length, options.device, "float32", "eager", False, True
        ).items():
            with FlopCounterMode(display=False) as counter:
                call()
            operations[name] = counter.get_total_flops()
        for backend in options.backends:
            try:
                check_backend(backend, config.position_kind)
            except (ImportError, RuntimeError, ValueError) as error:
                left_out += [f"{backend}: {error}"] if not more else []
                continue
            for precision in options.precisions:
                if backend.startswith("flash") and precision == "float32":
                    left_out += [f"{backend} in float32: it takes half precision only"] if not more else []
                    continue
                for compiled in (False, True) if options.compile else (False,):
                    steps = steps_of(
                        config, options.batch, options.length, options.device, precision, backend, compiled
                    )
                    for name, call in steps.items():
                        if torch.cuda.is_available():
                            torch.cuda.reset_peak_memory_stats()
                        seconds = seconds_of(call, options.device, options.rounds)
                        rate = operations[name] / seconds
                        rows.append(
                            {
                                "what": name,
                                "experts": more.get("num_experts", 0),
                                "precision": precision,
                                "attention": backend,
                                "compiled": compiled,
                                "seconds": seconds,
                                "tokens_per_second": options.batch * options.length / seconds,
                                "operations": operations[name],
                                "operations_per_second": rate,
                                "share_of_matrix_product": rate / rates[precision],
                                "peak_memory_mib": peak_memory().get("gpu", peak_memory()["process"]),
                            }
                        )
                        print(to_markdown(rows[-1:]).splitlines()[-1], flush=True)
    return rows, left_out


def to_markdown(rows: Sequence[dict[str, Any]]) -> str:
    lines = []
    for row in rows:
        lines.append(
            [
                row["what"],
                row["experts"] or "none",
                row["precision"],
                row["attention"],
                "yes" if row["compiled"] else "no",
                f"{1000 * row['seconds']:.2f}",
                f"{row['tokens_per_second']:.0f}",
                f"{row['operations_per_second'] / 1e12:.3f}",
                f"{row['share_of_matrix_product']:.0%}",
                f"{row['peak_memory_mib']:.0f}",
            ]
        )
    return table(HEAD, lines)


def main(arguments: Sequence[str] | None = None) -> None:
    options = read_arguments(arguments)
    watch = Stopwatch()
    set_threads(options)
    rows, left_out = measure(options)
    text = "\n".join([to_markdown(rows), *(f"\nLeft out: {reason}" for reason in left_out)])
    print(f"\n{text}")
    settings = {key: str(value) if isinstance(value, Path) else value for key, value in vars(options).items()}
    path = options.out / "throughput" / f"{options.shape}-{settings_key(settings)}.json"
    write_json(path, watch.record("throughput", settings, {"rows": rows, "left_out": left_out}, options.device))
    write_text(path.with_suffix(".md"), text + "\n")
    print(f"Record: {path}")


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = machine_parser(__doc__)
    parser.add_argument("--shape", default="small", help="a name in configs/model (default: small)")
    parser.add_argument("--vocab-size", type=int, default=1536, help="tokens (default: 1536)")
    parser.add_argument("--batch", type=int, default=16, help="texts at once (default: 16)")
    parser.add_argument("--length", type=int, default=64, help="positions (default: 64)")
    parser.add_argument("--backends", nargs="+", default=["eager", "sdpa"], help="of attention (default: eager sdpa)")
    parser.add_argument("--precisions", nargs="+", choices=DTYPES, default=["float32"], help="(default: float32)")
    parser.add_argument("--compile", action="store_true", help="measure torch.compile beside the eager network")
    parser.add_argument("--experts", action="store_true", help="measure 8 experts, 2 active, too")
    parser.add_argument("--rounds", type=int, default=5, help="(default: 5)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
