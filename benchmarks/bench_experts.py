"""A mixture of 8 experts, 2 for each token, beside a dense network of equal active parameters: the loss after equal steps.

    python -m benchmarks.bench_experts --data data/e2e --steps 200 --runs RUNS --out report.json

Both see the same batches of E2E in the same order under one schedule of the learning rate. The bound is that of the averaged
weights on held-out texts, the loss the mean of the last tenth of the steps; the time of a step is that of the processor. Of
the routers: the largest share of tokens that an expert of any block gets (0.125 is even among 8), and the entropy of their
choice, in nats (2.08 is even). What was trained is kept in --runs, where an interrupted call goes on.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.commandline import training_config
from diffusionlm.evaluation.record import Stopwatch, write_json
from diffusionlm.training.run import build_trainer

KINDS = {"dense": [], "8 experts, top 2": ["model.num_experts=8", "model.num_experts_per_tok=2"]}
ROUTERS = ("router_max_load", "router_entropy")


def main(arguments: Sequence[str] | None = None) -> None:
    options = read_arguments(arguments)
    watch = Stopwatch()
    figures: dict[str, dict[str, Any]] = {}
    for name, own in KINDS.items():
        figures[name] = trained(name, own, options)
        print(name, figures[name], flush=True)
    print("| network | bound, nats a token | loss | parameters | step, s of one core | largest load | entropy |")
    print("|---|---|---|---|---|---|---|")
    for name, found in figures.items():
        routers = " | ".join(f"{found[key]:.3f}" if key in found else "" for key in ROUTERS)
        print(
            f"| {name} | {found['valid_bound']:.3f} | {found['loss']:.3f} | {found['parameters']:,} "
            f"| {found['processor_s_a_step']:.3f} | {routers} |"
        )
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}
    if options.out is not None:
        write_json(options.out, {"settings": settings, "figures": figures, "seconds": watch.seconds})


def trained(name: str, own: list[str], options: argparse.Namespace) -> dict[str, Any]:
    """Trains a network, unless that was done, and gives its figures."""
    folder = options.runs / name.replace(",", "").replace(" ", "-")
    kept = folder / "figures.json"
    if kept.is_file():
        return json.loads(kept.read_text(encoding="utf-8"))
    logged: list[dict[str, Any]] = []

    def log(figures: dict[str, Any]) -> None:
        logged.append(figures)
        if figures["step"] % 100 == 0:
            print(name, {key: figures[key] for key in ("step", "loss", *ROUTERS) if key in figures}, flush=True)

    config = training_config([*overrides_of(options), *own, f"folder={folder}"])
    trainer, _ = build_trainer(config, log)
    trainer.resume()
    first, began = trainer.step, time.process_time()
    trainer.run(resume=False)
    spent = time.process_time() - began
    last = [figures for figures in logged if "loss" in figures and figures["step"] > 0.9 * options.steps]
    found = {
        "valid_bound": trainer.validate()["valid_bound"],
        "loss": sum(figures["loss"] for figures in last) / len(last),
        "parameters": sum(p.numel() for p in trainer.denoiser.parameters()),
        "processor_s_a_step": spent / max(1, trainer.step - first),
        **{key: last[-1][key] for key in ROUTERS if key in last[-1]},
    }
    write_json(kept, found)
    return found


def overrides_of(options: argparse.Namespace) -> list[str]:
    """Settings of ``diffusionlm train`` that both share."""
    return [
        "data=e2e",
        f"data.root={options.data}",
        f"model={options.size}",
        f"data.tokens_per_batch={options.tokens}",
        f"trainer.max_steps={options.steps}",
        f"trainer.warmup_steps={max(1, options.steps // 20)}",
        f"trainer.likelihood_warmup_steps={max(1, options.steps // 4)}",
        f"trainer.ema_decay={max(0.0, 1 - 20 / options.steps):.4f}",
        f"trainer.save_every={options.steps}",
        f"trainer.valid_every={options.steps + 1}",
        f"trainer.valid_batches={options.valid_batches}",
        "trainer.log_every=1",
        "trainer.save_minutes=2",
        "samples=0",
        "tensorboard=false",
        "cache=null",
        f"seed={options.seed}",
        *options.set,
    ]


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=Path("data/e2e"), help="folder with train.txt and valid.txt of E2E"
    )
    parser.add_argument("--runs", type=Path, required=True, help="folder that keeps the trained networks")
    parser.add_argument("--size", default="small", help="model=...")
    parser.add_argument("--set", nargs="*", default=[], help="further settings of diffusionlm train, for both")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--tokens", type=int, default=3072, help="positions of a batch")
    parser.add_argument("--valid-batches", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
