"""A mixture of 8 experts, 2 for each token, beside a dense network of equal active parameters: the loss after equal steps.

    python -m benchmarks.bench_experts --data data/e2e --steps 200 --out report.json

Both see the same batches of E2E in the same order under one schedule of the learning rate. The bound is that of the averaged
weights on held-out texts; the time of a step is that of the processor.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.commandline import training_config
from diffusionlm.evaluation.record import Stopwatch, write_json
from diffusionlm.training.run import build_trainer

KINDS = {"dense": [], "8 experts, top 2": ["model.num_experts=8", "model.num_experts_per_tok=2"]}


def main(arguments: Sequence[str] | None = None) -> None:
    options = read_arguments(arguments)
    watch = Stopwatch()
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, own) in enumerate(KINDS.items()):
            config = training_config([*overrides_of(options), *own, f"folder={folder}/{number}"])
            trainer, _ = build_trainer(config)
            began = time.process_time()
            trainer.run(resume=False)
            spent = time.process_time() - began
            figures[name] = {
                "valid_bound": trainer.validate()["valid_bound"],
                "parameters": sum(p.numel() for p in trainer.denoiser.parameters()),
                "processor_s_a_step": spent / options.steps,
            }
            print(name, figures[name], flush=True)
    print("| network | bound, nats a token | parameters | step, s of one core |")
    print("|---|---|---|---|")
    for name, found in figures.items():
        print(f"| {name} | {found['valid_bound']:.3f} | {found['parameters']:,} | {found['processor_s_a_step']:.3f} |")
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}
    if options.out is not None:
        write_json(options.out, {"settings": settings, "figures": figures, "seconds": watch.seconds})


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
        f"seed={options.seed}",
    ]


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=Path("data/e2e"), help="folder with train.txt and valid.txt of E2E"
    )
    parser.add_argument("--size", default="small", help="model=...")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--tokens", type=int, default=3072, help="positions of a batch")
    parser.add_argument("--valid-batches", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
