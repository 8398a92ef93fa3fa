"""Neighbours in the place of parameters: a small model that reads other texts of the same prompt beside a larger one without.

    python -m benchmarks.bench_retrieval --data E2E --steps 400

Both are trained from nothing on the same texts in equally many steps of equally many positions, without prompts; the small one
reads up to two neighbours of each text, in training and in validation, whose texts have other prompts than those of training.
The larger one has about twice the parameters (RETRO, Borgeaud et al. 2022, asks the same question). The bound is that of
held-out whole texts in nats a token.

    python -m benchmarks.bench_retrieval --data E2E --fitted runs/fitted/pipeline

trains nothing: it bounds the texts under weights that were fitted to neighbours, without and with them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.commandline import add_data, machine_parser, set_threads, training_config
from diffusionlm.evaluation.record import Stopwatch, settings_key, write_json
from diffusionlm.training.run import build_trainer

NEIGHBOURS = "data.retrieve={k: 2, share: 1.0}"


def shape(width: int, layers: int) -> list[str]:
    """Settings of a network."""
    return [
        "model=small",
        f"model.hidden_size={width}",
        f"model.num_hidden_layers={layers}",
        f"model.intermediate_size={width * 8 // 3 // 32 * 32}",
    ]


def main(argv: Sequence[str] | None = None) -> None:
    parser = machine_parser(__doc__)
    add_data(parser)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--tokens", type=int, default=3072, help="positions of a batch")
    parser.add_argument(
        "--width", type=int, nargs=2, default=(128, 192), help="of the small network and of the larger one"
    )
    parser.add_argument("--layers", type=int, nargs=2, default=(4, 4))
    parser.add_argument("--valid-batches", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fitted", help="checkpoint of size small whose bound is measured without and with neighbours")
    options = parser.parse_args(argv)
    set_threads(options)
    watch = Stopwatch()
    small, large = (shape(*sizes) for sizes in zip(options.width, options.layers, strict=True))
    if options.fitted:
        fitted = ["model=small", f"init={options.fitted}", "data.tokenizer.kind=init"]
        kinds = {"fitted": fitted, "fitted, with neighbours": [*fitted, NEIGHBOURS]}
    else:
        kinds = {"small": small, "small, with neighbours": [*small, NEIGHBOURS], "larger": large}
    figures: dict[str, dict[str, float]] = {}
    print(f"{'':<24}{'parameters':>12}{'nats a token':>14}{'seconds':>9}")
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, own) in enumerate(kinds.items()):
            overrides = [
                *own,
                "data=e2e",
                f"data.root={options.data}",
                "data.task_weights={whole: 1.0}",
                "data.prompt_share=0.0",
                f"data.tokens_per_batch={options.tokens}",
                "optimizer=adamw",
                "trainer.precision=no",
                f"trainer.max_steps={options.steps}",
                f"trainer.save_every={options.steps}",
                f"trainer.valid_every={options.steps + 1}",
                f"trainer.valid_batches={options.valid_batches}",
                f"trainer.warmup_steps={max(1, options.steps // 20)}",
                "trainer.ema_decay=0.98",
                f"folder={Path(folder) / str(number)}",
                f"seed={options.seed}",
            ]
            trainer, _ = build_trainer(training_config(overrides))
            if not options.fitted:
                trainer.run(resume=False)
            found = figures[name] = {
                "parameters": sum(p.numel() for p in trainer.denoiser.parameters()),
                "bound": trainer.validate()["valid_bound"],
                "seconds": trainer.seconds,
            }
            print(f"{name:<24}{found['parameters']:>12,}{found['bound']:>14.3f}{found['seconds']:>9.0f}", flush=True)
    settings = {name: getattr(options, name) for name in ("steps", "tokens", "width", "layers", "fitted", "seed")}
    record = {"benchmark": "retrieval", **settings, "figures": figures, "seconds": watch.seconds}
    write_json(options.out / f"retrieval_{settings_key(settings)}.json", record)


if __name__ == "__main__":
    main()
