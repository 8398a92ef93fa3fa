"""What the commands `bench_*` share: options, the model they name, and where records go."""

from __future__ import annotations

import argparse
import random
from pathlib import Path
from typing import Any

import torch

from diffusionlm import DiffusionLMPipeline
from diffusionlm.corpora.e2e import read_e2e

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def machine_parser(doc: str | None) -> argparse.ArgumentParser:
    """Options of a command that loads no model, with the module's docstring as help."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("outputs/benchmarks"), help="folder for records")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, help="threads of PyTorch (default: as it is set up)")
    return parser


def make_parser(doc: str | None) -> argparse.ArgumentParser:
    """Options of a command that loads a model."""
    parser = machine_parser(doc)
    parser.add_argument("--model", default="restaurant", help="bundled name, folder, or owner/name on the hub")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="of the network (default: float32)")
    return parser


def set_threads(options: argparse.Namespace) -> None:
    """Threads of PyTorch, if they were asked for."""
    if options.threads is not None:
        torch.set_num_threads(options.threads)


def add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=Path, default=Path("data/e2e"), help="folder with train.txt and valid.txt of E2E"
    )


def load_pipeline(options: argparse.Namespace) -> DiffusionLMPipeline:
    """The pipeline in the dtype and on the device asked for, silent."""
    set_threads(options)
    pipe = DiffusionLMPipeline.from_pretrained(options.model, torch_dtype=DTYPES[options.dtype], device=options.device)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def held_out_texts(options: argparse.Namespace) -> list[str]:
    """All held-out sentences, in an order that `--seed` alone decides."""
    texts = [text for _, text in read_e2e(options.data / "valid.txt")]
    random.Random(options.seed).shuffle(texts)
    return texts


def texts_that_fit(pipe: DiffusionLMPipeline, texts: list[str], limit: int, count: int) -> tuple[list[str], int]:
    """The first `count` texts of at most `limit` tokens, and how many longer ones stood between them."""
    kept: list[str] = []
    for number, (text, ids) in enumerate(zip(texts, pipe.tokenizer.encode_batch(texts), strict=True)):
        if len(kept) == count:
            return kept, number - count
        if len(ids) <= limit:
            kept.append(text)
    return kept, len(texts) - len(kept)


def training_config(overrides: list[str]) -> dict[str, Any]:
    """The configuration of ``diffusionlm train`` with these settings."""
    from hydra import compose, initialize_config_module
    from omegaconf import OmegaConf

    with initialize_config_module("diffusionlm.configs", version_base=None):
        config: Any = OmegaConf.to_container(compose("train", overrides=overrides), resolve=True)
    return config
