"""Readers for another vocabulary: a bundled one is the start and the teacher of a new one.

The new reader begins with the teacher's weights, each token at the mean of the teacher's tokens that spell it. It then learns,
from the model's own posteriors at every noise level, what the teacher says of the model's texts, finished, and the true labels
of made-up texts in which what is looked for does occur (Hinton et al. 2015, "Distilling the knowledge in a neural network").
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from diffusionlm.checkpoints.files import atomic_folder
from diffusionlm.checkpoints.folders import BUNDLED
from diffusionlm.guidance.classifiers.reader import CLEAN, OUTSIDE, Reader
from diffusionlm.guidance.classifiers.soft_text import SoftText
from diffusionlm.guidance.classifiers.store import FOLDER, load_reader, save_reader
from diffusionlm.text import TextTokenizer
from diffusionlm.training.classifiers.labelled import Example
from diffusionlm.training.classifiers.report import report_lines, without_nan
from diffusionlm.training.classifiers.settings import ReaderSettings
from diffusionlm.training.classifiers.training import evaluate_reader, train_reader

if TYPE_CHECKING:
    from diffusionlm.pipeline import DiffusionLMPipeline

TEACHERS = "guestbook"  # the checkpoint that has the teachers
READERS = ("toxicity", "names")
_CALLED = {"INSULT": "toxic"}  # types of the made-up texts' spans by the readers' names, where these differ
_HELD_OUT = 0.05
_BATCH = 64


def teacher_of(name: str) -> tuple[Reader, TextTokenizer]:
    """A bundled reader and the tokenizer of the model that it reads."""
    home = BUNDLED / TEACHERS
    tokenizer = TextTokenizer.from_pretrained(home / "tokenizer")
    return load_reader(home / FOLDER / name, tokenizer.vocabulary), tokenizer


def made_up_examples(reader: Reader, count: int, seed: int) -> list[Example]:
    """Texts of the guestbook grammar with their labels, as far as a reader has them.

    Raises:
        ModuleNotFoundError: if Faker is not installed; the message names the extra.
    """
    from diffusionlm.corpora.guestbook.corpus import rows

    config = reader.config
    found = []
    for row in rows("guides", count, seed):
        labels = {name: float(name in row["labels"]) for name in config.sequence_labels}
        spans = [(a, b, _CALLED.get(kind, kind)) for a, b, kind in row["spans"]]
        kept = [span for span in spans if span[2] in config.token_labels]
        found.append(Example(row["text"], labels, kept if config.token_labels else None, row["prompt"]))
    return found


@torch.no_grad()
def read_by(reader: Reader, tokenizer: TextTokenizer, pairs: Sequence[tuple[str, str]]) -> list[Example]:
    """Finished texts with what a reader says of them: probabilities of the labels, and spans of its likeliest token labels.

    Args:
        reader: the teacher.
        tokenizer: of the model that it reads.
        pairs: prompts and texts.
    """
    config = reader.config
    order = sorted(range(len(pairs)), key=lambda i: len(pairs[i][1]))
    out: list[Example | None] = [None] * len(pairs)
    for start in range(0, len(order), _BATCH):
        part = order[start : start + _BATCH]
        codes = tokenizer.backend.encode_batch([" " + pairs[i][1] for i in part], add_special_tokens=False)
        longest = max(1, *(len(code.ids) for code in codes))
        ids = torch.tensor([code.ids + [tokenizer.pad_id] * (longest - len(code.ids)) for code in codes])
        said = reader(SoftText.known(ids.to(reader.device), tokenizer.vocabulary), CLEAN)
        texts = None if said.sequence_logits is None else said.sequence_logits.sigmoid().tolist()
        tags = None if said.token_logits is None else said.token_logits.argmax(-1).tolist()
        for row, (i, code) in enumerate(zip(part, codes, strict=True)):
            prompt, text = pairs[i]
            labels = {} if texts is None else dict(zip(config.sequence_labels, texts[row], strict=True))
            spans = None
            if tags is not None:
                names = [config.token_labels[k] for k in tags[row][: len(code.ids)]]
                spans = _spans(text, code.offsets, names)
            out[i] = Example(text, labels, spans, prompt)
    return [example for example in out if example is not None]


def _spans(text: str, offsets: Sequence[tuple[int, int]], names: Sequence[str]) -> list[tuple[int, int, str]]:
    """Spans of tokens that follow each other with one label; offsets count the space in front of the text."""
    spans: list[tuple[int, int, str]] = []
    for (first, last), name in zip(offsets, names, strict=True):
        first, last = max(0, first - 1), last - 1
        while first < last and text[first].isspace():
            first += 1
        if name == OUTSIDE or last <= first:
            continue
        if spans and spans[-1][2] == name and not text[spans[-1][1] : first].strip():
            first = spans.pop()[0]
        spans.append((first, last, name))
    return spans


def transfer_reader(
    pipeline: DiffusionLMPipeline,
    name: str,
    pairs: Sequence[tuple[str, str]],
    target: Path,
    *,
    steps: int = 200,
    made_up: int = 6000,
    tokens_per_batch: int = 2048,
    seed: int = 0,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Makes the reader of a name for a pipeline and writes it into the folder ``target/name``.

    Args:
        pipeline: whose posteriors it shall read.
        name: one of `READERS`.
        pairs: prompts and texts such as the model writes.
        target: folder of the model's readers.
        steps: of training.
        made_up: texts of the guestbook grammar beside them.
        tokens_per_batch: span positions of a batch, about.
        seed: of all draws.
        say: told how it goes on.

    Returns:
        How well it reads texts that were held out, by noise level; see `evaluate_reader`.

    Raises:
        ModuleNotFoundError: if Faker is not installed; the message names the extra.
        ValueError: if no text is short enough for the model.
    """
    teacher, tokenizer = teacher_of(name)
    config = teacher.config
    examples = [*made_up_examples(teacher, made_up, seed), *read_by(teacher, tokenizer, pairs)]
    random.Random(seed).shuffle(examples)
    held = max(1, round(_HELD_OUT * len(examples)))
    settings = ReaderSettings(
        max_steps=steps, tokens_per_batch=tokens_per_batch, log_every=max(1, steps // 4), seed=seed
    )
    say(f"{name}: {len(pairs):,} texts as {TEACHERS}'s reader sees them, and {made_up:,} made-up ones; {steps} steps")
    reader = train_reader(
        pipeline,
        examples[held:],
        sequence_labels=config.sequence_labels,
        token_labels=config.token_labels,
        settings=settings,
        shape={key: getattr(config, key) for key in ("hidden_size", "num_hidden_layers", "num_attention_heads")},
        init=(teacher, tokenizer),
        on_log=lambda figures: say("  " + ", ".join(f"{key} {value:.4g}" for key, value in figures.items())),
    )
    figures = evaluate_reader(reader, pipeline, examples[:held])
    for line in report_lines(figures, examples[:held], (), ()):
        say(f"  {line}")
    reader.config.card = {
        "name": name,
        "teacher": f"{TEACHERS}/{FOLDER}/{name}",
        "texts": len(pairs),
        "made_up_texts": made_up,
        "steps": steps,
        "seed": seed,
        "held_out": without_nan(figures),
    }
    with atomic_folder(target / name) as draft:
        save_reader(reader, draft)
    return figures
