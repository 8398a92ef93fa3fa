"""Adapters: how much of full fine-tuning's gain LoRA, DoRA and LoRA on 4 bits have, and how few parameters learn.

    python -m benchmarks.bench_adapters --init restaurant --train new.txt --valid new_valid.txt --steps 600 --out report.json

All start from the same checkpoint and see the same batches of the new domain (one text a line). The figure is the
likelihood bound of held-out texts in nats a token under the averaged weights, before and after; an adapter's gain is told as a
share of full fine-tuning's. Full fine-tuning has the optimiser of the checkpoint, adapters AdamW at --rate.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.commandline import training_config
from diffusionlm.evaluation.record import Stopwatch, write_json
from diffusionlm.training.adapters import trained_share
from diffusionlm.training.run import build_trainer

KINDS = {
    "full": (),
    "lora": ("adapter=lora",),
    "dora": ("adapter=dora",),
    "qlora": ("adapter=lora", "adapter.base=4bit"),
}


def main(arguments: Sequence[str] | None = None) -> None:
    options = read_arguments(arguments)
    watch = Stopwatch()
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind in options.kinds:
            figures[kind] = measure(kind, options, Path(folder))
    full = figures.get("full")
    for found in figures.values():
        if full is not None and full["gain"] > 0:
            found["share_of_full_gain"] = found["gain"] / full["gain"]
    print(
        "| what learns | parameters, % | bound before | after | share of full gain | block weights, bytes | seconds |"
    )
    print("|---|---|---|---|---|---|---|")
    for kind, found in figures.items():
        share = f"{found['share_of_full_gain']:.3f}" if "share_of_full_gain" in found else "-"
        print(
            f"| {kind} | {100 * found['trained_share']:.2f} | {found['before']:.4f} | {found['after']:.4f} | {share} "
            f"| {found['block_bytes']:,.0f} | {found['seconds']:.0f} |"
        )
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}
    if options.out is not None:
        write_json(options.out, {"settings": settings, "figures": figures, "seconds": watch.seconds})


def measure(kind: str, options: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Trains one of `KINDS`; the bound before and after, and what it took."""
    overrides = [
        *KINDS[kind],
        f"model={options.size}",
        f"init={options.init}",
        f"data.train={options.train}",
        f"data.valid={options.valid}",
        "data.tokenizer={kind: init}",
        f"data.tokens_per_batch={options.tokens}",
        f"trainer.max_steps={options.steps}",
        f"trainer.save_every={options.steps}",
        f"trainer.valid_every={options.steps + 1}",
        f"trainer.valid_batches={options.valid_batches}",
        f"trainer.warmup_steps={max(1, options.steps // 20)}",
        "trainer.likelihood_warmup_steps=0",
        f"folder={folder / kind}",
        f"seed={options.seed}",
    ]
    if kind != "full":
        overrides.append(f"optimizer.learning_rate={options.rate}")
        overrides += [f"adapter.rank={options.rank}", f"adapter.alpha={2 * options.rank}"]
    config: dict[str, Any] = training_config(overrides)
    trainer, _ = build_trainer(config)
    before = trainer.validate()["valid_bound"]
    trainer.run(resume=False)
    after = trainer.validate()["valid_bound"]
    held = sum(p.numel() * p.element_size() for n, p in trainer.denoiser.blocks.named_parameters() if "lora_" not in n)
    return {
        "before": before,
        "after": after,
        "gain": before - after,
        "trained_share": trained_share(trainer.denoiser),
        "block_bytes": held,
        "seconds": trainer.seconds,
    }


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--init", default="restaurant", help="the checkpoint to start from")
    parser.add_argument("--size", default="small", help="its model=...")
    parser.add_argument("--train", required=True, help="texts of the new domain, one a line")
    parser.add_argument("--valid", required=True, help="held-out ones")
    kinds = list(KINDS) if find_spec("bitsandbytes") else [kind for kind in KINDS if kind != "qlora"]
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=kinds)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--tokens", type=int, default=3072, help="a batch")
    parser.add_argument("--valid-batches", type=int, default=4)
    parser.add_argument("--rank", type=int, default=4)
    parser.add_argument("--rate", type=float, default=5e-3, help="learning rate of adapters")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
