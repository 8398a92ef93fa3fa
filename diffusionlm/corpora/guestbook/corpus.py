"""The files of the corpus: rows of JSON, one a line, the same for the same seed."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TEMPLATE_SHARE = 0.05
VALID_SIZE, TEST_SIZE = 1000, 2000
_DRAFT = ".draft_"


def rows(split: str, size: int, seed: int = 0, templates: str | Path | None = None) -> Iterator[dict[str, Any]]:
    """The rows of one split, in order; each depends on seed, split and its number alone.

    Args:
        split: "train", "valid", "test", or any other name.
        size: number of rows.
        seed: of the corpus.
        templates: a file of sentences with slots, which then give a share `TEMPLATE_SHARE` of the rows.

    Raises:
        ModuleNotFoundError: if Faker is not installed; the message names the extra.
        ValueError: if the templates cannot be used.
    """
    from diffusionlm.corpora.guestbook.templates import fill_template, read_templates
    from diffusionlm.corpora.guestbook.texts import make_text

    sentences = read_templates(Path(templates)) if templates else ()
    for number in range(size):
        own = f"{seed}/{split}/{number}"
        if sentences and random.Random(own + "/source").random() < TEMPLATE_SHARE:
            yield fill_template(sentences, own)
        else:
            yield make_text(own)


def write_corpus(
    folder: str | Path,
    size: int = 60_000,
    seed: int = 0,
    templates: str | Path | None = None,
    valid_size: int = VALID_SIZE,
    test_size: int = TEST_SIZE,
) -> dict[str, Any]:
    """Writes ``train.jsonl``, ``valid.jsonl`` and ``test.jsonl`` and returns figures of the training rows.

    The files are the same, byte for byte, for the same arguments and the same release of Faker; they are put in their places
    when all are complete, not before.

    Raises:
        ModuleNotFoundError: if Faker is not installed; the message names the extra.
        ValueError: if a size is negative, or the templates cannot be used.
    """
    if size < 1 or valid_size < 0 or test_size < 0:
        raise ValueError(f"The corpus needs at least 1 text, got size {size}, valid {valid_size}, test {test_size}.")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    figures: dict[str, Any] = {}
    for split, count in (("valid", valid_size), ("test", test_size), ("train", size)):
        rude = leaking = words = 0
        with (folder / f"{_DRAFT}{split}.jsonl").open("w", encoding="utf-8", newline="\n") as stream:
            for row in rows(split, count, seed, templates):
                stream.write(json.dumps(row, ensure_ascii=False) + "\n")
                rude += row["toxic"]
                leaking += any(kind != "INSULT" for _, _, kind in row["spans"])
                words += len(row["text"].split())
        if count:
            figures = {"texts": count, "rude": rude / count, "leaking": leaking / count, "words": words / count}
    for split in ("valid", "test", "train"):
        (folder / f"{_DRAFT}{split}.jsonl").replace(folder / f"{split}.jsonl")
    return figures
