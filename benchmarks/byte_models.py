"""Models of bytes, flat and in patches, and of BPE, trained on the same texts for the same arithmetic; a folder keeps each.

Names: ``patches of 4``, ``flat bytes``, ``BPE``, each with ``, masked`` behind it for the masked process.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.brief_trainings import FIGURES, arithmetic, course
from benchmarks.commandline import training_config
from diffusionlm import DiffusionLMPipeline
from diffusionlm.corpora.e2e import read_e2e
from diffusionlm.evaluation.likelihood import bits_a_character, text_bounds
from diffusionlm.evaluation.record import write_json, write_text
from diffusionlm.text import TextTokenizer
from diffusionlm.training.export import export_pipeline
from diffusionlm.training.run import build_trainer


@dataclass(frozen=True)
class Kind:
    """What a model is of.

    Attributes:
        patch_size: bytes in a position of the trunk, 1: flat; 0: tokens of BPE.
        masked: the process.
    """

    patch_size: int
    masked: bool = False

    @property
    def name(self) -> str:
        """As tables have it."""
        own = {0: "BPE", 1: "flat bytes"}.get(self.patch_size, f"patches of {self.patch_size}")
        return own + (", masked" if self.masked else "")

    @property
    def settings(self) -> list[str]:
        """Settings of ``diffusionlm train``."""
        process, schedule, sampler = (
            ("masked", "masking", "unmasking") if self.masked else ("gaussian", "information", "ancestral")
        )
        clean = ["trainer.clean_share=0.0"] if self.masked else []
        return [
            f"model.patch_size={max(1, self.patch_size)}",
            f"model.process={process}",
            f"schedule={schedule}",
            f"sampler={sampler}",
            *clean,
        ]


@dataclass(frozen=True)
class Texts:
    """Texts that fit all models, with their prompts, as files in a folder.

    Attributes:
        folder: of the files.
        length: positions of the models of bytes; those of BPE have ``positions``.
        positions: of a text in patches of 4, and in BPE.
        vocab_size: of BPE.
    """

    folder: Path
    length: int
    vocab_size: int

    @property
    def positions(self) -> int:
        """Positions of BPE: as many as patches of 4."""
        return self.length // 4

    @classmethod
    def of(cls, options: argparse.Namespace) -> Texts:
        """Reads the files of texts and writes those that fit; does nothing where it was done."""
        made = cls(Path(options.runs), options.length, options.bpe)
        if made.path("valid").is_file():
            return made
        made.folder.mkdir(parents=True, exist_ok=True)
        given = {"train": read_pairs(options.train), "valid": read_pairs(options.valid)}
        prompts = sorted({prompt for prompt, _ in given["train"] if prompt})
        bpe = TextTokenizer.train_bpe([*(text for _, text in given["train"]), *prompts], options.bpe)
        for split, pairs in given.items():
            tokens = bpe.encode_batch([text for _, text in pairs])
            kept = [
                json.dumps({"prompt": prompt, "text": text}, ensure_ascii=False) + "\n"
                for (prompt, text), ids in zip(pairs, tokens, strict=True)
                if 0 < len(text.encode()) < made.length and len(ids) < made.positions
            ]
            print(f"{split}: {len(kept)} of {len(pairs)} texts fit", flush=True)
            write_text(made.path(split), "".join(kept))
        return made

    def path(self, split: str) -> Path:
        """File of "train" or "valid"."""
        return self.folder / f"{split}.jsonl"

    @cached_property
    def valid(self) -> list[tuple[str, str]]:
        """(Prompt, text), held out."""
        return self._read("valid")

    @cached_property
    def train(self) -> list[tuple[str, str]]:
        """(Prompt, text), trained on."""
        return self._read("train")

    def _read(self, split: str) -> list[tuple[str, str]]:
        rows = [json.loads(line) for line in self.path(split).read_text(encoding="utf-8").splitlines()]
        return [(row["prompt"], row["text"]) for row in rows]

    def settings(self, kind: Kind, rows: int) -> list[str]:
        """Settings of ``diffusionlm train``: the same texts, as many in a batch, whole texts with and without prompt."""
        length = self.length if kind.patch_size else self.positions
        tokenizer = "{kind: byte}" if kind.patch_size else f"{{kind: bpe, vocab_size: {self.vocab_size}}}"
        return [
            f"data.train={self.path('train')}",
            f"data.valid={self.path('valid')}",
            "data.prompt_field=prompt",
            f"data.tokenizer={tokenizer}",
            f"data.max_length={length}",
            f"data.max_prompt_length={2 * length}",
            f"data.limits=[{length}]",
            "data.limit_weights=[]",
            "data.task_weights={whole: 1.0}",
            f"data.tokens_per_batch={rows * length}",
            "cache=null",
        ]


def read_pairs(path: str | Path) -> list[tuple[str, str]]:
    """(Prompt, text) of a file of E2E, or of one text a line, which has no prompts."""
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    if lines and "||" in lines[0]:
        return read_e2e(path)
    return [("", line) for line in lines]


def train(kind: Kind, texts: Texts, options: argparse.Namespace) -> None:
    """Trains a model and writes its pipeline and its figures, unless that was done; one that was interrupted goes on."""
    folder = texts.folder / kind.name.replace(" ", "-").replace(",", "")
    if (folder / FIGURES).is_file():
        return
    base = [f"model={options.size}", *kind.settings, *texts.settings(kind, options.rows), *options.set]
    base += [f"folder={folder}", f"seed={options.seed}", "samples=0", "tensorboard=false"]
    probe, _ = build_trainer(training_config([*base, f"folder={folder / 'probe'}"]))
    passed = arithmetic(probe)
    steps = max(2, round(options.tera * 1e12 / passed))
    print(f"{kind.name}: {steps} steps of {passed / 1e9:.1f} Gflop", flush=True)
    own = [f"trainer.{name}={value}" for name, value in course(steps).items()]
    own += [f"trainer.valid_batches={options.valid_batches}"]
    logged: list[dict[str, Any]] = []

    def log(figures: dict[str, Any]) -> None:
        logged.append(figures)
        if len(logged) % 5 == 1:
            print(kind.name, {name: figures[name] for name in ("step", "loss") if name in figures}, flush=True)

    trainer, tokenizer = build_trainer(training_config([*own, *base]), log)
    trainer.run()
    if trainer.valid_source is not None:
        trainer.validate()
    export_pipeline(trainer, tokenizer, folder / "pipeline", "unmasking" if kind.masked else "ancestral")
    figures = {
        "steps": steps,
        "parameters": sum(p.numel() for p in trainer.denoiser.parameters()),
        "tera_flops": steps * passed / 1e12,
        "texts_seen": steps * options.rows,
        "seconds": trainer.seconds,
        "valid_bound": trainer.figures.get("valid_bound"),
        "schedule": trainer.schedule.to_dict(),
    }
    write_json(folder / FIGURES, figures)


def load(kind: Kind, texts: Texts) -> tuple[DiffusionLMPipeline, dict[str, Any]]:
    """Pipeline, silent and without a bigram model beside it, and the figures of its training."""
    folder = texts.folder / kind.name.replace(" ", "-").replace(",", "")
    pipe = DiffusionLMPipeline.from_pretrained(folder / "pipeline")
    pipe.set_progress_bar_config(disable=True)
    return pipe, json.loads((folder / FIGURES).read_text(encoding="utf-8"))


def bound(
    pipe: DiffusionLMPipeline, pairs: Sequence[tuple[str, str]], levels: int, prompted: bool
) -> tuple[float, float, int]:
    """Bits a character of the texts of (prompt, text) that fit, their standard error, and how many those are."""
    length = pipe.model.max_length
    fitting = [(prompt, text) for prompt, text in pairs if len(pipe.tokenizer.encode(text)) < length]
    texts, prompts = [text for _, text in fitting], [prompt for prompt, _ in fitting]
    nats = text_bounds(pipe, texts, num_levels=levels, max_length=length, prompts=prompts if prompted else None)
    return *bits_a_character(nats, texts), len(texts)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of the commands that train such models."""
    parser.add_argument("--train", required=True, help="texts, of E2E or one a line")
    parser.add_argument("--valid", required=True, help="held-out ones")
    parser.add_argument("--runs", type=Path, required=True, help="folder that keeps the trained models")
    parser.add_argument("--patches", type=int, nargs="+", default=[0, 1, 4], help="0: BPE; 1: flat bytes")
    parser.add_argument("--processes", nargs="+", choices=["gaussian", "masked"], default=["gaussian"])
    parser.add_argument("--size", default="small", help="model=...")
    parser.add_argument("--set", nargs="*", default=[], help="further settings of diffusionlm train, for all")
    parser.add_argument("--length", type=int, default=192, help="longest text in bytes, with its end")
    parser.add_argument("--bpe", type=int, default=1024, help="vocabulary of BPE")
    parser.add_argument("--tera", type=float, default=10.0, help="arithmetic of each training, Tflop")
    parser.add_argument("--rows", type=int, default=48, help="texts a batch")
    parser.add_argument("--valid-batches", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)


def kinds_of(options: argparse.Namespace) -> list[Kind]:
    """The models asked for."""
    return [Kind(size, process == "masked") for process in options.processes for size in options.patches]
