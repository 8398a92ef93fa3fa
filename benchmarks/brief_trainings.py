"""Brief trainings whose networks a benchmark compares: arithmetic of a step, one course for all, a folder that keeps each."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from diffusionlm import DiffusionLMPipeline
from diffusionlm.denoiser import DenoiserConfig, SpanDenoiser
from diffusionlm.diffusion import InformationSchedule, schedule_from_dict
from diffusionlm.evaluation.record import write_json
from diffusionlm.text import TextTokenizer
from diffusionlm.training.batches import BatchSource
from diffusionlm.training.corpus import TokenCorpus
from diffusionlm.training.export import export_pipeline
from diffusionlm.training.noise import draw
from diffusionlm.training.settings import TrainerSettings
from diffusionlm.training.trainer import Trainer

FIGURES = "training.json"
BACKWARD = 2  # passes that the gradient of one is worth
COUNTED = 6  # batches whose arithmetic stands for that of all
SHAPE = {
    "hidden_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 344,
    "condition_size": 32,
}  # about a million parameters


def course(steps: int) -> dict[str, Any]:
    """Settings of the trainer for a training of so many steps."""
    return {
        "max_steps": steps,
        "save_every": steps,
        "save_minutes": 2.0,
        "valid_every": steps + 1,
        "warmup_steps": max(1, steps // 20),
        "likelihood_warmup_steps": max(1, steps // 4),
        "ema_decay": round(max(0.0, 1 - 20 / steps), 4),
    }


def network(
    name: str,
    folder: Path,
    changes: Mapping[str, Any],
    corpus: TokenCorpus,
    batches: Mapping[str, Any],
    tokenizer: TextTokenizer,
    options: argparse.Namespace,
) -> tuple[DiffusionLMPipeline, dict[str, Any]]:
    """The pipeline of a network of `SHAPE`, trained now or before, and the figures of its training.

    Args:
        name: said while it trains.
        folder: keeps it.
        changes: of the shape.
        corpus: trained on.
        batches: settings of `BatchSource`.
        tokenizer: of the corpus.
        options: ``training_steps`` and ``seed``.
    """
    if not (folder / FIGURES).is_file():
        torch.manual_seed(options.seed)
        longest = max(batches["limits"])
        config = DenoiserConfig(
            **{**SHAPE, **changes},
            vocab_size=tokenizer.vocab_size,
            pad_token_id=tokenizer.pad_id,
            max_position_embeddings=longest,
            attn_implementation="sdpa",
        )
        settings = TrainerSettings(folder=str(folder), seed=options.seed, **course(options.training_steps))
        source = BatchSource(corpus, tokenizer.pad_id, seed=options.seed, **batches)
        losses: list[float] = []

        def log(figures: dict[str, Any]) -> None:
            losses.append(figures.get("loss", 0.0))
            if len(losses) % 5 == 1:
                print(name, {key: figures[key] for key in ("step", "loss") if key in figures}, flush=True)

        trainer = Trainer(SpanDenoiser(config), source, None, InformationSchedule(), settings, log)
        passed = arithmetic(trainer)
        trainer.run()
        export_pipeline(trainer, tokenizer, folder / "pipeline")
        figures = {
            "tera_flops": passed * trainer.step / 1e12,
            "tokens": trainer.tokens_seen,
            "seconds": trainer.seconds,
            "parameters": sum(p.numel() for p in trainer.denoiser.parameters()),
        }
        write_json(folder / FIGURES, figures)
    pipe = DiffusionLMPipeline.from_pretrained(folder / "pipeline")
    pipe.set_progress_bar_config(disable=True)
    return pipe, json.loads((folder / FIGURES).read_text(encoding="utf-8"))


def arithmetic(trainer: Trainer) -> float:
    """Floating-point operations of a step: the pass, its gradient, and the first of two passes as often as there is one."""
    total = 0
    settings, schedule = trainer.settings, schedule_from_dict(trainer.schedule.to_dict())
    for number in range(COUNTED):
        batch = trainer.train_source.batch(number)
        shape = (*batch.span_ids.shape, trainer.denoiser.config.embedding_size)
        gamma, noise, _ = draw(shape, settings.seed, number, 0).under(schedule, settings)
        with FlopCounterMode(display=False) as counter:
            trainer.objective.step(
                **batch.tensors(),
                gamma=gamma,
                noise=noise,
                likelihood_weight=torch.ones(()),
                self_condition=False,
            )
        total += counter.get_total_flops()
    return total / COUNTED * (1 + BACKWARD + settings.self_condition_share)
