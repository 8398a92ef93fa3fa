"""Small files of every kind that this library writes and reads, each with the function that loads it, for `bench_truncated`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.tiny_models import tiny_pipeline
from diffusionlm import DiffusionLMPipeline
from diffusionlm.context import Store
from diffusionlm.context.concept import LearnedConcept
from diffusionlm.text import TextTokenizer

TEXTS = ["The Mill is a cheap pub.", "Café Rouge serves sushi.", "Zizzi has pizza.", "The Vaults is quiet."]


@dataclass(frozen=True)
class Kept:
    """Files of one kind.

    Attributes:
        name: of the kind.
        folder: that holds them.
        load: loads them; gives all that was read, as a text that is the same only where that is the same.
        slow: names of files before which much else is loaded: cut at a few places only.
    """

    name: str
    folder: Path
    load: Callable[[], str]
    slow: tuple[str, ...] = ()

    def files(self) -> list[Path]:
        """All but those that are for people."""
        return sorted(path for path in self.folder.rglob("*") if path.is_file() and path.suffix != ".md")


class Letters:
    """An encoder by counts of letters."""

    name, checksum = "letters", "1"

    def encode(self, texts: Any) -> np.ndarray:
        """(N, 26) of length 1."""
        rows = np.array([[text.lower().count(chr(97 + i)) for i in range(26)] for text in texts], dtype=np.float32)
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)


def digest(state: Any) -> str:
    """SHA-256 of tensors by name."""
    found = hashlib.sha256()
    for name, value in sorted(state.items()):
        found.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        found.update(np.ascontiguousarray(value.detach().float().numpy()).tobytes())
    return found.hexdigest()


def small_files(home: Path, of: Sequence[str] = ()) -> list[Kept]:
    """Writes them below ``home``; those whose packages are not installed are left out.

    Args:
        home: an empty folder.
        of: parts of the names of kinds; () for all.
    """
    pipe = tiny_pipeline()
    pipe.save_pretrained(home / "pipeline")
    found = []
    for name, (package, make) in KINDS.items():
        if find_spec(package) and (not of or any(part in name for part in of)):
            found.append(make(home / name.replace(" ", "-"), pipe))
    return found


def _written(folder: Path, pipe: DiffusionLMPipeline) -> Kept:
    pipe.save_pretrained(folder)
    return Kept("pipeline", folder, lambda: _pipeline(folder), ("tokenizer.json", "model.safetensors"))


def _pipeline(folder: Path) -> str:
    pipe = DiffusionLMPipeline.from_pretrained(folder)
    settings = {"sampler": repr(pipe.sampler), "schedule": pipe.schedule.to_dict(), "card": pipe.card}
    settings |= {"length": [pipe.max_length, pipe.max_span_length], "temperature": pipe.temperature}
    return digest(pipe.denoiser.state_dict()) + pipe.tokenizer.backend.to_str() + json.dumps(settings, default=str)


def _tokenizer(folder: Path, pipe: DiffusionLMPipeline) -> Kept:
    pipe.tokenizer.save_pretrained(folder)

    def load() -> str:
        read = TextTokenizer.from_pretrained(folder)
        return read.kind + read.backend.to_str()

    return Kept("tokenizer", folder, load)


def _reader(folder: Path, pipe: DiffusionLMPipeline) -> Kept:
    from diffusionlm.guidance.classifiers.reader import Reader, ReaderConfig
    from diffusionlm.guidance.classifiers.store import load_reader, save_reader

    vocabulary = pipe.tokenizer.vocabulary
    config = ReaderConfig(
        vocab_size=len(vocabulary), sequence_labels=["rude"], hidden_size=8, num_hidden_layers=1, num_attention_heads=1
    )
    save_reader(Reader(config), folder)

    def load() -> str:
        reader = load_reader(folder, vocabulary)
        return digest(reader.state_dict()) + str(reader.config.to_diff_dict())

    return Kept("classifier", folder, load)


def _tables(folder: Path, pipe: DiffusionLMPipeline) -> Kept:
    from diffusionlm.guidance.syntax.store import load_counts, save_counts

    save_counts(folder, {"counts": torch.arange(12).reshape(3, 4)}, {"vocabulary_fingerprint": "", "tags": ["é", "b"]})

    def load() -> str:
        return load_counts(folder, "tables", lambda config, tensors: json.dumps(config) + digest(tensors))

    return Kept("counted tables", folder, load)


def _concept(folder: Path, pipe: DiffusionLMPipeline) -> Kept:
    path = LearnedConcept("house-style", torch.randn(2, 16), "0123", {"examples": ["é"]}).save(folder)

    def load() -> str:
        read = LearnedConcept.load(path)
        return f"{read.name} {read.base} {dict(read.card)}" + digest({"vectors": read.vectors})

    return Kept("concept", folder, load)


def _training(folder: Path, pipe: DiffusionLMPipeline) -> Kept:
    from diffusionlm.training.checkpoints import load_checkpoint, save_checkpoint

    tensors = {"model": {"a": torch.randn(4, 4)}, "average": {"a": torch.randn(4, 4)}}
    path = save_checkpoint(folder, 7, tensors, [{"state": {0: torch.randn(3)}}], {"rng": [1, 2]})

    def load() -> str:
        read, optimizers, state = load_checkpoint(path)
        return "".join(digest(read[name]) for name in sorted(read)) + f"{optimizers} {state}"

    return Kept("training checkpoint", folder, load)


def _corpus(folder: Path, pipe: DiffusionLMPipeline) -> Kept:
    from diffusionlm.corpora.sources import TextSource
    from diffusionlm.training.cache import load_corpus

    texts = folder.parent / "texts.txt"
    texts.write_text("\n".join(TEXTS) + "\n", encoding="utf-8")

    def load() -> str:
        corpus = load_corpus([TextSource(texts)], pipe.tokenizer, 32, 32, folder)
        return str([part.tolist() for part in (corpus.ids, corpus.offsets, corpus.prompt_ids, corpus.prompt_offsets)])

    load()
    return Kept("tokenised corpus", folder, load)


def _masked(folder: Path, pipe: DiffusionLMPipeline) -> Kept:
    from diffusionlm.families.tiny import tiny_module

    module, source = tiny_module("bert")
    module.save_pretrained(folder)
    source.save_pretrained(folder)

    def load() -> str:
        pipe = DiffusionLMPipeline.from_pretrained(folder)
        held = pipe.denoiser.state_dict()
        words = [pipe.tokenizer.encode(text) for text in TEXTS]
        return digest(held) + str(words) + pipe.tokenizer.vocabulary.of_the_model

    slow = ("model.safetensors", "tokenizer.json", "tokenizer_config.json")
    return Kept("somebody else's model", folder, load, slow)


def _store(folder: Path, pipe: DiffusionLMPipeline) -> Kept:
    Store.build([{"text": text, "year": 2026} for text in TEXTS], folder, encoder=Letters())

    def load() -> str:
        store = Store.load(folder, encoder=Letters())
        return str([(one.number, one.text, one.metadata) for one in store]) + str(store.search(["pizza"], 2))

    return Kept("store", folder, load)


def _adapter(folder: Path, pipe: DiffusionLMPipeline) -> Kept:
    from peft import LoraConfig

    from diffusionlm.checkpoints.adapters import inject, save_adapter
    from diffusionlm.checkpoints.base_weights import base_checksum

    base = folder.parent / "pipeline"
    learner = DiffusionLMPipeline.from_pretrained(base)
    checksum = base_checksum(learner.denoiser)
    inject(learner.denoiser, LoraConfig(r=1, target_modules=["o_proj"], init_lora_weights=False), "one")
    save_adapter(learner.denoiser, folder, "one", checksum, {"name": "é"})
    plain = DiffusionLMPipeline.from_pretrained(base)

    def load() -> str:
        plain.load_adapter(folder, "one")
        said = digest(plain.denoiser.state_dict()) + str(plain.adapters)
        plain.unload_adapter("one")
        return said

    return Kept("adapter", folder, load)


# Kind -> a package that it needs, and what writes it.
KINDS: dict[str, tuple[str, Callable[[Path, DiffusionLMPipeline], Kept]]] = {
    "pipeline": ("torch", _written),
    "tokenizer": ("torch", _tokenizer),
    "classifier": ("torch", _reader),
    "counted tables": ("torch", _tables),
    "concept": ("torch", _concept),
    "training checkpoint": ("torch", _training),
    "tokenised corpus": ("torch", _corpus),
    "somebody else's model": ("torch", _masked),
    "store": ("faiss", _store),
    "adapter": ("peft", _adapter),
}
