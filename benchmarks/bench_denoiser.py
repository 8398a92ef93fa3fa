"""What a denoising step costs: spans beside the whole canvas, shared memory, experts, attention backends.

    python -m benchmarks.bench_denoiser                     # the shape of configs/model/small.yaml, one thread
    python -m benchmarks.bench_denoiser --model medium --rounds 20 --out report.json

Times are CPU time of one thread in milliseconds, the median over interleaved rounds: neighbours on the machine hardly
change them. Weights are random; no step's cost depends on their values, but the experts' load does: random routers
are close to balanced, as trained ones should be.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import torch
from omegaconf import OmegaConf

from diffusionlm import DenoiserConfig, SpanDenoiser

if TYPE_CHECKING:
    from collections.abc import Callable

CONFIGS = Path(__file__).resolve().parent.parent / "configs" / "model"
GAMMA = torch.tensor(0.0)


def milliseconds(cases: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """CPU time of each case: one warm-up, then every case in turn, ``rounds`` times; the median of each."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    for function in cases.values():
        function()
    for _ in range(rounds):
        for name, function in cases.items():
            start = time.process_time()
            function()
            times[name].append(1000 * (time.process_time() - start))
    return {name: median(values) for name, values in times.items()}


def experts(settings: dict[str, Any], rounds: int) -> tuple[dict[str, float], list[tuple[str, float, float]]]:
    """8 experts, 2 active, beside the dense layer with as many active parameters; 16 samples of 64 positions."""
    z = torch.randn(16, 64, settings["embedding_size"])
    dense = SpanDenoiser(DenoiserConfig(**settings))
    mixture = SpanDenoiser(DenoiserConfig(**settings, num_experts=8, num_experts_per_tok=2))

    def step(model: SpanDenoiser, implementation: str) -> None:
        model.set_experts_implementation(implementation)
        with torch.no_grad():
            model(z, GAMMA, None, z)

    def train(model: SpanDenoiser, implementation: str) -> None:
        model.set_experts_implementation(implementation)
        model.zero_grad()
        model(z, GAMMA, None, z).logits.logsumexp(-1).mean().backward()

    cases = {}
    for kind, run in (("step", step), ("training step", train)):
        cases[f"{kind}, dense"] = lambda run=run: run(dense, "eager")
        for name in ("grouped_mm", "eager"):
            cases[f"{kind}, 8 experts ({name})"] = lambda run=run, name=name: run(mixture, name)
    times = milliseconds(cases, rounds)
    ratio = times["step, 8 experts (grouped_mm)"] / times["step, dense"]
    training = times["training step, 8 experts (grouped_mm)"] / times["training step, dense"]
    return times, [
        ("8 experts, 2 active ÷ dense, denoising step", ratio, 1.3),
        ("8 experts, 2 active ÷ dense, training step", training, 1.3),
    ]


def spans(settings: dict[str, Any], rounds: int) -> tuple[dict[str, float], list[tuple[str, float, float]]]:
    """16 positions of a text of 512, beside all 512."""
    model = SpanDenoiser(DenoiserConfig(**settings)).eval()
    z = torch.randn(1, 512, settings["embedding_size"])
    with torch.no_grad():
        memory = model.encode_context(torch.randint(0, settings["vocab_size"], (1, 496)))
        cases = {
            "whole canvas of 512": lambda: model(z, GAMMA, None, z),
            "span of 16 in a text of 512": lambda: model(z[:, :16], GAMMA, memory, z[:, :16]),
        }
        times = milliseconds(cases, rounds)
    whole, span = times.values()
    return times, [("16-token span in 512 tokens ÷ whole canvas, per step", span / whole, 0.15)]


def shared_memory(settings: dict[str, Any], rounds: int) -> tuple[dict[str, float], list[tuple[str, float, float]]]:
    """16 samples of one context of 512 tokens: encoded once, or at each step."""
    model = SpanDenoiser(DenoiserConfig(**settings)).eval()
    latent = SpanDenoiser(DenoiserConfig(**settings, num_latents=32)).eval()
    z = torch.randn(16, 16, settings["embedding_size"])
    ids = torch.randint(0, settings["vocab_size"], (1, 512))
    with torch.no_grad():
        memory, latents = model.encode_context(ids).repeat(16), latent.encode_context(ids).repeat(16)
        every = ids.expand(16, -1)
        cases = {
            "shared memory": lambda: model(z, GAMMA, memory, z),
            "shared memory, 32 latents": lambda: latent(z, GAMMA, latents, z),
            "encoding each sample's context": lambda: model(z, GAMMA, model.encode_context(every), z),
            "encoding one context, repeated": lambda: model(z, GAMMA, model.encode_context(ids).repeat(16), z),
        }
        times = milliseconds(cases, rounds)
    ratio = times["shared memory"] / times["encoding each sample's context"]
    return times, [("16 samples of one 512-token context: shared memory ÷ encoding it at each step", ratio, 0.1)]


def backends(settings: dict[str, Any], rounds: int) -> tuple[dict[str, float], list[tuple[str, float, float]]]:
    """Attention backends that run here: 4 samples, 64 positions, 192 of memory, some of it padding."""
    model = SpanDenoiser(DenoiserConfig(**settings)).eval()
    z, mask = (
        torch.randn(4, 64, settings["embedding_size"]),
        torch.arange(192) < torch.tensor([[192], [150], [90], [10]]),
    )

    def step(name: str) -> None:
        model.set_attn_implementation(name)
        model(z, GAMMA, memory, z)

    with torch.no_grad():
        memory = model.encode_context(torch.randint(0, settings["vocab_size"], (4, 192)), mask=mask)
        names = ("sdpa", "eager", "flex_attention")
        return milliseconds({name: lambda name=name: step(name) for name in names}, rounds), []


PARTS = {"experts": experts, "span": spans, "memory": shared_memory, "attention": backends}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="small", help="a name in configs/model")
    parser.add_argument("--vocab-size", type=int, default=1536, help="tokens")
    parser.add_argument("--rounds", type=int, default=9, help="how often each case is timed")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="which tables")
    parser.add_argument("--out", type=Path, help="JSON file for the report")
    options = parser.parse_args(arguments)

    torch.set_num_threads(1)
    torch.manual_seed(0)
    loaded = OmegaConf.to_container(OmegaConf.load(CONFIGS / f"{options.model}.yaml"))
    settings = {"vocab_size": options.vocab_size, "max_position_embeddings": 512, **loaded}
    report: dict[str, Any] = {"model": settings, "torch": torch.__version__, "times_ms": {}, "ratios": {}}
    summary = ["| ratio | figure | goal |", "|---|---|---|"]
    for part in options.parts:
        times, ratios = PARTS[part](settings, options.rounds)
        report["times_ms"][part] = times
        print(f"| {part} | ms |\n|---|---|")
        print("\n".join(f"| {name} | {value:.1f} |" for name, value in times.items()) + "\n", flush=True)
        for name, value, goal in ratios:
            report["ratios"][name] = value
            summary.append(f"| {name} | {value:.3f} | ≤ {goal} |")
    print("\n".join(summary))
    if options.out:
        options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
