"""Handwritten digits to sentences about the picture: how many held-out texts name the right digit.

    python -m benchmarks.bench_digits --steps 1200

The 1,797 digits of scikit-learn (8 x 8 pixels; Alpaydin and Kaynak 1998) stand in the order of their writers. The last 360 are
held out; the others are shown as they are, and turned, stretched and moved a little in --variants ways, each with one of four
sentences. A small model is trained on them from nothing by 'diffusionlm train', and then writes about the held-out pictures. A
text is right if it names the digit and no other. ``--split valid`` holds out the 360 before them instead, and leaves the last
ones alone: settings are chosen there. Needs scikit-learn.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.commandline import machine_parser, set_threads, training_config
from diffusionlm import DiffusionLMPipeline
from diffusionlm.context import Each, Image
from diffusionlm.evaluation.record import Stopwatch, settings_key, write_json
from diffusionlm.training.export import export_pipeline
from diffusionlm.training.run import build_trainer

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SENTENCES = (
    "the picture shows the digit {} .",
    "somebody wrote {} here .",
    "this is the digit {} , written by hand .",
    "here you see a handwritten {} .",
)
HELD_OUT = 360
SIZES = (
    "model=tiny",
    "model.embedding_size=32",
    "model.hidden_size=64",
    "model.num_hidden_layers=2",
    "model.num_attention_heads=2",
    "model.intermediate_size=128",
    "model.condition_size=32",
)
ENCODER = "model.image_encoder={height: 8, width: 8, channels: 1, patch: 4, layers: 2, size: 96, heads: 4}"


def varied(pixels: np.ndarray, rng: random.Random) -> np.ndarray:
    """A picture (H, W) turned by up to 12 degrees, stretched by up to a tenth and moved by up to a pixel."""
    from scipy.ndimage import affine_transform

    turn = np.deg2rad(rng.uniform(-12, 12))
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix *= [[rng.uniform(0.9, 1.1)], [rng.uniform(0.9, 1.1)]]
    middle = (np.array(pixels.shape) - 1) / 2
    offset = middle - matrix @ np.add(middle, [rng.uniform(-1, 1), rng.uniform(-1, 1)])
    return np.clip(affine_transform(pixels.astype(float), matrix, offset, order=1), 0, 255).round().astype(np.uint8)


def named(text: str, names: Sequence[str]) -> list[str]:
    """Those of some words that a text has."""
    return [name for name in names if re.search(rf"\b{re.escape(name)}\b", text)]


def share_right(texts: Sequence[str], expected: Sequence[str], names: Sequence[str]) -> float:
    """Share of the texts that name what is expected, and nothing else of its kind."""
    return sum(named(text, names) == [word] for text, word in zip(texts, expected, strict=True)) / len(texts)


def write_texts(path: Path, pictures: np.ndarray, digits: np.ndarray, variants: int, seed: int) -> None:
    """A file of training texts with pictures (N, 8, 8) of 0..255 as pixels, each as it is and in other ways."""
    rng = random.Random(seed)
    with path.open("w", encoding="utf-8") as file:
        for pixels, digit in zip(pictures, digits.tolist(), strict=True):
            for shown in [pixels, *(varied(pixels, rng) for _ in range(variants))]:
                text = rng.choice(SENTENCES).format(NAMES[digit])
                file.write(json.dumps({"text": text, "image": shown.tolist()}) + "\n")


def train(overrides: Sequence[str], folder: Path) -> float:
    """Trains a model into ``folder/pipeline`` as 'diffusionlm train' does; seconds of training."""
    trainer, tokenizer = build_trainer(training_config([*overrides, f"folder={folder}", "cache=null"]))
    trainer.run()
    export_pipeline(trainer, tokenizer, folder / "pipeline", "ancestral", {"name": folder.name})
    return trainer.seconds


def short_run(length: int, tokens: int, steps: int, seed: int) -> list[str]:
    """Settings of ``diffusionlm train`` for texts of so many positions, in batches of so many tokens."""
    return [
        f"data.max_length={length}",
        f"data.limits=[{length}]",
        f"data.tokens_per_batch={tokens}",
        "data.task_weights={whole: 0.8, infill: 0.2}",
        f"trainer.max_steps={steps}",
        f"trainer.save_every={steps}",
        "trainer.ema_decay=0.99",
        "trainer.likelihood_warmup_steps=100",
        f"seed={seed}",
    ]


def written(pipe: Any, sources: Sequence[Any], steps: int, seed: int, temperature: float) -> list[str]:
    """One text about each image or sound."""
    call = {"steps": steps, "seed": list(range(seed, seed + len(sources))), "temperature": temperature}
    return [group[0] for group in pipe([None] * len(sources), context=[Each(sources)], num_samples=1, **call).texts]


def main(argv: Sequence[str] | None = None) -> None:
    parser = machine_parser(__doc__)
    parser.add_argument("--steps", type=int, default=1200, help="of training")
    parser.add_argument("--write-steps", type=int, default=8)
    parser.add_argument("--temperature", type=float, default=0.7)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--variants", type=int, default=12, help="of each picture, beside itself")
    parser.add_argument("--split", choices=("test", "valid"), default="test")
    parser.add_argument("--init", help="checkpoint to start from; its sizes are taken, as --model says")
    parser.add_argument(
        "--model", nargs="+", default=list(SIZES), help="settings of 'diffusionlm train' for the network"
    )
    options = parser.parse_args(argv)
    set_threads(options)
    from sklearn.datasets import load_digits

    watch, found = Stopwatch(), load_digits()
    pictures, digits = (found.images / 16 * 255).round().astype(np.uint8), found.target
    if options.split == "valid":
        pictures, digits = pictures[:-HELD_OUT], digits[:-HELD_OUT]
    folder = options.out / f"digits_{options.seed}"
    folder.mkdir(parents=True, exist_ok=True)
    write_texts(folder / "train.jsonl", pictures[:-HELD_OUT], digits[:-HELD_OUT], options.variants, options.seed)
    start = [] if options.init is None else [f"init={options.init}"]
    kind = "word, min_count: 1" if options.init is None else "init"
    seconds = train(
        [
            *options.model,
            ENCODER,
            *start,
            f"data.train={folder / 'train.jsonl'}",
            "data.image_field=image",
            f"data.tokenizer={{kind: {kind}}}",
            *short_run(10, 640, options.steps, options.seed),
        ],
        folder,
    )
    pipe = DiffusionLMPipeline.from_pretrained(folder / "pipeline")
    pipe.set_progress_bar_config(disable=True)
    expected = [NAMES[digit] for digit in digits[-HELD_OUT:].tolist()]
    texts = written(
        pipe, [Image(p) for p in pictures[-HELD_OUT:]], options.write_steps, options.seed, options.temperature
    )
    right = share_right(texts, expected, NAMES)
    wrong = [(word, text) for word, text in zip(expected, texts, strict=True) if named(text, NAMES) != [word]]
    print(f"{right:.1%} of {len(texts)} held-out pictures are named right; {seconds:.0f} s of training")
    for word, text in wrong[:8]:
        print(f"  {word}: {text}")
    settings = {"steps": options.steps, "write_steps": options.write_steps, "temperature": options.temperature}
    settings |= {"seed": options.seed, "init": options.init, "variants": options.variants, "split": options.split}
    figures = {"right": right, "training_seconds": seconds, "seconds": watch.seconds}
    write_json(options.out / f"digits_{settings_key(settings)}.json", {"benchmark": "digits", **settings, **figures})


if __name__ == "__main__":
    main()
