"""Numbers of an embedding of bytes that come in patches: the bound in a language whose entropy is known, while it is learned.

    python -m benchmarks.bench_patch_room --numbers 8 16 32 --steps 600 --out report.json

Sentences such as "The Mill is a quiet Thai bar near the park." of 43 words, each drawn evenly, so that a perfect model needs
9.6 nats for one. Small networks (0.3 million parameters) that differ in nothing but ``embedding_size`` learn it from the same
batches; the bound of held-out sentences, nats a byte, is printed after each third of the steps.
"""

from __future__ import annotations

import argparse
import math
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.brief_trainings import course
from diffusionlm.denoiser import DenoiserConfig, SpanDenoiser
from diffusionlm.diffusion import InformationSchedule, MaskingSchedule
from diffusionlm.evaluation.record import Stopwatch, write_json
from diffusionlm.text import TextTokenizer
from diffusionlm.training.batches import BatchSource
from diffusionlm.training.corpus import TokenCorpus
from diffusionlm.training.settings import TrainerSettings
from diffusionlm.training.trainer import Trainer

NAMES = [
    "Alimentum",
    "Aromi",
    "Bibimbap",
    "Blue Spice",
    "Browns",
    "Clowns",
    "Cocum",
    "Cotto",
    "Eagle",
    "Fitzbillies",
    "Giraffe",
    "Golden Palace",
    "Loch Fyne",
    "Mill",
    "Phoenix",
    "Punter",
    "Strada",
    "Vaults",
    "Wrestlers",
    "Zizzi",
]
HOW = ["cheap", "fine", "quiet", "busy", "new"]
FOODS = ["Chinese", "English", "French", "Italian", "Indian", "Japanese", "Thai", "Greek", "Cuban", "Irish"]
KINDS = ["pub", "cafe", "bar"]
PLACES = ["river", "city", "park", "station", "church"]
ENTROPY = math.log(len(NAMES) * len(HOW) * len(FOODS) * len(KINDS) * len(PLACES))
LENGTH, ROWS = 64, 24


def main(arguments: Sequence[str] | None = None) -> None:
    options = read_arguments(arguments)
    watch = Stopwatch()
    texts = sentences(options.texts, options.seed)
    floor = ENTROPY * len(texts) / sum(map(len, texts))
    print(f"entropy: {floor:.3f} nats a byte", flush=True)
    figures = {f"{numbers} numbers": learn(numbers, texts, options) for numbers in options.numbers}
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}
    if options.out is not None:
        write_json(
            options.out, {"settings": settings, "figures": {"entropy": floor, **figures}, "seconds": watch.seconds}
        )


def sentences(count: int, seed: int) -> list[str]:
    """Sentences of the language."""
    draw = random.Random(seed).choice
    return [
        f"The {draw(NAMES)} is a {draw(HOW)} {draw(FOODS)} {draw(KINDS)} near the {draw(PLACES)}." for _ in range(count)
    ]


def learn(numbers: int, texts: list[str], options: argparse.Namespace) -> dict[str, float]:
    """Bounds by the number of steps, and the seconds of the processor that all steps took."""
    tokenizer = TextTokenizer.bytes()
    held = len(texts) // 20
    torch.manual_seed(options.seed)
    config = DenoiserConfig(
        vocab_size=tokenizer.vocab_size,
        pad_token_id=tokenizer.pad_id,
        embedding_size=numbers,
        hidden_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=192,
        condition_size=32,
        max_position_embeddings=LENGTH,
        patch_size=options.patch,
        process=options.process,
        attn_implementation="sdpa",
    )
    gaussian = options.process == "gaussian"
    with tempfile.TemporaryDirectory() as folder:
        own = {"valid_batches": 2, "clean_share": 0.05 if gaussian else 0.0, "valid_every": max(1, options.steps // 3)}
        settings = TrainerSettings(
            folder=folder,
            seed=options.seed,
            optimizer={"learning_rate": 4e-3, "matrix_learning_rate": 8e-3},
            **{**course(options.steps), **own},
        )
        whole = {
            "limits": (LENGTH,),
            "task_weights": {"whole": 1.0},
            "prompt_share": 0.0,
            "tokens_per_batch": ROWS * LENGTH,
        }
        parts = (
            TokenCorpus.from_pairs([("", text) for text in part], tokenizer, LENGTH - 1)
            for part in (texts[held:], texts[:held])
        )
        train, valid = (BatchSource(part, tokenizer.pad_id, **whole) for part in parts)
        found: dict[str, float] = {}

        def log(figures: dict[str, float]) -> None:
            if "valid_bound" in figures:
                found[f"bound after {figures['step']}"] = figures["valid_bound"]
                print(f"{numbers} numbers, {figures['step']} steps: {figures['valid_bound']:.3f}", flush=True)

        schedule = InformationSchedule() if gaussian else MaskingSchedule()
        trainer = Trainer(SpanDenoiser(config), train, valid, schedule, settings, log)
        began = time.process_time()
        trainer.run()
        return {**found, "processor_s": time.process_time() - began}


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--numbers", type=int, nargs="+", default=[8, 16, 32], help="model.embedding_size")
    parser.add_argument("--patch", type=int, default=4, help="bytes of a patch, 1: flat")
    parser.add_argument("--process", choices=["gaussian", "masked"], default="gaussian")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
