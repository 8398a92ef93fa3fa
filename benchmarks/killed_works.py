"""Small real works for `bench_kill`: what a process does, what of it can be read at any moment, and what it comes to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TEXTS = [
    f"The {a} is a {b} pub {c}."
    for a in ("Mill", "Eagle", "Vaults")
    for b in ("cheap", "good")
    for c in ("here", "there")
]


@dataclass(frozen=True)
class Work:
    """One kind of work.

    Attributes:
        prepare: puts what is needed into a new folder, once.
        work: does it in the folder and goes on with what an earlier process left; runs in a process that may be killed.
        read: reads all that lies under its own name; raises what a user would see.
        outcome: what the finished work comes to, as a text; the same whether it was killed or not.
    """

    prepare: Callable[[Path], None]
    work: Callable[[Path], None]
    read: Callable[[Path], None]
    outcome: Callable[[Path], str]


def digest_of(folder: Path, *patterns: str) -> str:
    """Names and SHA-256 of files that are not hidden."""
    found = sorted({path for pattern in patterns for path in folder.rglob(pattern) if path.is_file()})
    shown = [path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    return "\n".join(f"{path.relative_to(folder)} {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in shown)


def _command(*arguments: str) -> None:
    from diffusionlm.cli import main

    if main(list(arguments)) != 0:
        raise RuntimeError(f"diffusionlm {' '.join(arguments)} failed.")


# ---- training -------------------------------------------------------------------------------------------------------


def _training_texts(folder: Path) -> None:
    (folder / "texts.txt").write_text("\n".join(TEXTS * 5) + "\n")


def _train(folder: Path) -> None:
    settings = ["experiment=tiny", f"data.train={folder / 'texts.txt'}", f"folder={folder / 'run'}", "cache=null"]
    settings += ["data.tokenizer={kind: word, min_count: 1}", "data.max_length=16", "data.limits=[8,16]"]
    settings += ["data.tokens_per_batch=64", "trainer.max_steps=24", "trainer.save_every=2", "trainer.log_every=1"]
    settings += [
        "trainer.valid_every=12",
        "trainer.valid_batches=1",
        "samples=0",
        "tensorboard=false",
        "energy.enabled=false",
    ]
    _command("train", *settings)


def _read_run(folder: Path) -> None:
    from diffusionlm import DiffusionLMPipeline
    from diffusionlm.text import TextTokenizer
    from diffusionlm.training.checkpoints import list_checkpoints, load_checkpoint

    run = folder / "run"
    for path in list_checkpoints(run / "checkpoints"):
        load_checkpoint(path)
    if (run / "tokenizer").exists():
        TextTokenizer.from_pretrained(run / "tokenizer")
    if (run / "pipeline").exists():
        DiffusionLMPipeline.from_pretrained(run / "pipeline")
    for path in run.glob("*.json"):
        json.loads(path.read_text())


def _trained(folder: Path) -> str:
    lines = [json.loads(line) for line in (folder / "run" / "log.jsonl").read_text().splitlines()]
    losses = [(line["step"], line.get("loss", line.get("valid_bound"))) for line in lines]
    return f"{losses}\n" + digest_of(folder / "run" / "pipeline", "*.safetensors", "tokenizer*")


# ---- corpora --------------------------------------------------------------------------------------------------------


def _nothing(folder: Path) -> None:
    """A corpus is made of nothing."""


def _corpus(folder: Path) -> str:
    return digest_of(folder, "*.jsonl", "*.npy")


def _write_corpus(folder: Path) -> None:
    from diffusionlm.corpora.guestbook import write_corpus
    from diffusionlm.corpora.sources import TextSource
    from diffusionlm.text import TextTokenizer
    from diffusionlm.training.cache import load_corpus

    write_corpus(folder / "guestbook", 400, valid_size=50, test_size=50)
    sources = [TextSource(folder / "guestbook" / f"{split}.jsonl") for split in ("train", "valid")]
    load_corpus(sources, TextTokenizer.bytes(), 256, 64, folder / "cache")


def _read_corpus(folder: Path) -> None:
    from diffusionlm.training.cache import read_kept

    sizes = {"train": 400, "valid": 50, "test": 50}
    for split, size in sizes.items():
        path = folder / "guestbook" / f"{split}.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else [None] * size
        if len(rows) != size:
            raise ValueError(f"{path} has {len(rows)} rows of {size}.")
    for place in (folder / "cache").glob("[!.]*"):
        read_kept(place)


# ---- saving ---------------------------------------------------------------------------------------------------------


def _pipelines() -> list[Any]:
    """Two that differ in their weights."""
    import torch

    from benchmarks.tiny_models import tiny_pipeline

    pipes = [tiny_pipeline(), tiny_pipeline()]
    with torch.no_grad():
        pipes[1].denoiser.head.bias.add_(1.0)
    return pipes


def _save_first(folder: Path) -> None:
    pipes = _pipelines()
    for number, pipe in enumerate(pipes):
        pipe.save_pretrained(folder / f"given{number}")
    pipes[0].save_pretrained(folder / "pipeline")
    _concept(0).save(folder / "concepts")


def _concept(number: int) -> Any:
    import torch

    from diffusionlm.context.concept import LearnedConcept

    return LearnedConcept("house-style", torch.full((64, 64), float(number)), str(number), {})


def _save(folder: Path) -> None:
    from diffusionlm import DiffusionLMPipeline

    pipes = [DiffusionLMPipeline.from_pretrained(folder / f"given{number}") for number in range(2)]
    for turn in range(12):
        pipes[turn % 2].save_pretrained(folder / "pipeline")
        _concept(turn % 2).save(folder / "concepts")


def _saved(folder: Path) -> str:
    return digest_of(folder, "*.safetensors", "*.json")


def _read_saved(folder: Path) -> None:
    from diffusionlm import DiffusionLMPipeline
    from diffusionlm.context.concept import LearnedConcept

    read = digest_of(folder / "pipeline", "*.safetensors", "*.json")
    DiffusionLMPipeline.from_pretrained(folder / "pipeline")
    if read not in [digest_of(folder / f"given{number}", "*.safetensors", "*.json") for number in range(2)]:
        raise ValueError("The pipeline is neither the old one nor the new one.")
    found = LearnedConcept.load(folder / "concepts" / "house-style.safetensors")
    if not bool((found.vectors == float(found.base)).all()):
        raise ValueError("The concept is neither the old one nor the new one.")


# ---- evaluation -----------------------------------------------------------------------------------------------------


def _evaluation_files(folder: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    from benchmarks.tiny_models import tiny_pipeline

    pipe = tiny_pipeline()
    pipe.save_pretrained(folder / "model")
    (folder / "e2e").mkdir()
    for split in ("train", "valid"):
        lines = [f"name : The Mill | price : cheap||{text.replace('.', ' .')}\n" for text in TEXTS]
        (folder / "e2e" / f"{split}.txt").write_text("".join(lines))
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    judge = LlamaForCausalLM(LlamaConfig(vocab_size=pipe.tokenizer.vocab_size, max_position_embeddings=256, **shape))
    judge.save_pretrained(folder / "judge")
    PreTrainedTokenizerFast(tokenizer_object=pipe.tokenizer.backend, bos_token="<pad>").save_pretrained(
        folder / "judge"
    )


def _evaluate(folder: Path) -> None:
    settings = [f"checkpoint={folder / 'model'}", f"data.root={folder / 'e2e'}", f"judge={folder / 'judge'}", "steps=2"]
    settings += [f"out={folder / 'out'}", "energy.enabled=false", "tasks=[control/length,control/semantic,likelihood]"]
    settings += ["task.control_length.shortest=3", "task.control_length.longest=6", "task.control_length.per_target=1"]
    settings += ["task.control_semantic.values=[Mill]", "task.control_semantic.per_target=2"]
    settings += ["task.control_length.stride=1", "task.likelihood.count=2", "task.likelihood.levels=2"]
    _command("evaluate", *settings)


def _read_evaluation(folder: Path) -> None:
    for path in (folder / "out").rglob("[!.]*.json"):
        json.loads(path.read_text())


def _evaluated(folder: Path) -> str:
    record = json.loads((folder / "out" / "results.json").read_text())
    tasks = {name: [(f["name"], f["value"]) for f in task["figures"]] for name, task in record["tasks"].items()}
    timed = ("second", "time", "watt", "joule", "wh")
    kept = {name: [f for f in own if not any(word in f[0].lower() for word in timed)] for name, own in tasks.items()}
    return f"{record['complete']} {json.dumps(kept)}"


WORKS = {
    "training": Work(_training_texts, _train, _read_run, _trained),
    "corpus": Work(_nothing, _write_corpus, _read_corpus, _corpus),
    "saving": Work(_save_first, _save, _read_saved, _saved),
    "evaluation": Work(_evaluation_files, _evaluate, _read_evaluation, _evaluated),
}
