"""From a composed configuration to a trained pipeline folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from diffusionlm.denoiser import DenoiserConfig, SpanDenoiser
from diffusionlm.diffusion import schedule_from_dict
from diffusionlm.text import TextTokenizer
from diffusionlm.text.e2e import read_e2e
from diffusionlm.training.batches import BatchSource
from diffusionlm.training.corpus import TokenCorpus
from diffusionlm.training.trainer import Trainer, TrainerSettings

if TYPE_CHECKING:
    from collections.abc import Callable

FORMATS = ("text", "e2e")


def read_pairs(path: str, form: str) -> list[tuple[str, str]]:
    """(prompt, text) pairs of a file; the prompt is empty where the format has none.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: for an unknown format or a file without text.
    """
    if form not in FORMATS:
        raise ValueError(f"Unknown data.format {form!r}; allowed are {FORMATS}.")
    if not Path(path).is_file():
        raise FileNotFoundError(f"No data file at {path!r}; set data.train=PATH to a file with one text a line.")
    if form == "e2e":
        return read_e2e(path)
    lines = [line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines()]
    pairs = [("", line) for line in lines if line]
    if not pairs:
        raise ValueError(f"The data file {path!r} holds no text.")
    return pairs


def train_tokenizer(pairs: list[tuple[str, str]], settings: dict[str, Any]) -> TextTokenizer:
    """The tokenizer that ``settings`` asks for, trained on texts and (each once) prompts."""
    kind = settings.get("kind", "bpe")
    texts = [text for _, text in pairs] + sorted({prompt for prompt, _ in pairs if prompt})
    if kind == "bpe":
        return TextTokenizer.train_bpe(texts, settings.get("vocab_size", 8192))
    if kind == "word":
        return TextTokenizer.train_words(texts, settings.get("min_count", 11), settings.get("vocab_size"))
    if kind == "byte":
        return TextTokenizer.bytes()
    raise ValueError(f"Unknown data.tokenizer.kind {kind!r}; allowed are bpe, word, byte.")


def build_trainer(config: dict[str, Any], on_log: Callable[[dict[str, Any]], None] | None = None) -> tuple[Trainer, TextTokenizer]:
    """Everything a run needs; a run that has begun keeps its tokenizer.

    Args:
        config: the resolved ``configs/train.yaml``.
        on_log: receives figures.
    """
    data, folder = config["data"], Path(config["folder"])
    pairs = read_pairs(data["train"], data["format"])
    if (folder / "tokenizer").is_dir():
        tokenizer = TextTokenizer.from_pretrained(folder / "tokenizer")
    else:
        tokenizer = train_tokenizer(pairs, data["tokenizer"])
        tokenizer.save_pretrained(folder / "tokenizer")

    def source(some: list[tuple[str, str]], **changes: Any) -> BatchSource:
        settings = {
            "tokens_per_batch": data["tokens_per_batch"],
            "limits": tuple(data["limits"]),
            "limit_weights": tuple(data["limit_weights"]),
            "task_weights": dict(data["task_weights"]),
            "prompt_share": data["prompt_share"],
            "seed": config["seed"],
        }
        corpus = TokenCorpus.from_pairs(some, tokenizer, data["max_length"])
        return BatchSource(corpus, tokenizer.pad_id, **(settings | changes))

    train = source(pairs)
    valid = None
    if data.get("valid"):
        whole = {"task_weights": {"whole": 1.0}, "prompt_share": 0.0, "limits": (data["max_length"],), "limit_weights": ()}
        valid = source(read_pairs(data["valid"], data["format"]), **whole)
    trainer_config = dict(config["trainer"])
    attention = trainer_config.pop("attention", "sdpa")
    torch.manual_seed(config["seed"])
    denoiser = SpanDenoiser(
        DenoiserConfig(
            vocab_size=tokenizer.vocab_size,
            pad_token_id=tokenizer.pad_id,
            max_position_embeddings=data["max_length"],
            attn_implementation=attention,
            **config["model"],
        )
    )
    settings = TrainerSettings(
        folder=str(folder), optimizer=dict(config["optimizer"]), seed=config["seed"], **trainer_config
    )
    return Trainer(denoiser, train, valid, schedule_from_dict(config["schedule"]), settings, on_log), tokenizer
