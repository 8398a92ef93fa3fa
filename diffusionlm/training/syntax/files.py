"""Taggers as files: ``config.json`` and ``model.safetensors``, and the one in the package."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from diffusionlm.checkpoints.files import atomic_folder
from diffusionlm.checkpoints.folders import BUNDLED
from diffusionlm.errors import reason_of
from diffusionlm.training.syntax.tagger import WordTagger

if TYPE_CHECKING:
    from collections.abc import Mapping

CONFIG, WEIGHTS = "config.json", "model.safetensors"
TAGGER = BUNDLED / "tagger"


def save_tagger(tagger: WordTagger, folder: str | Path, card: Mapping[str, object]) -> None:
    """Writes a tagger, its weights in half precision.

    Args:
        tagger: whose words are numbered by frequency.
        folder: where to.
        card: what it was trained on, for people.
    """
    from safetensors.torch import save_file

    config = {
        "model_type": "diffusionlm_word_tagger",
        "width": tagger.encoder.hidden_size,
        "labels": tagger.labels,
        "words": sorted(tagger.known, key=tagger.known.__getitem__),
        "card": dict(card),
    }
    with atomic_folder(Path(folder)) as draft:
        (draft / CONFIG).write_text(json.dumps(config, ensure_ascii=False), encoding="utf-8")
        save_file({name: value.half().contiguous() for name, value in tagger.state_dict().items()}, draft / WEIGHTS)
        (draft / WEIGHTS).chmod((draft / CONFIG).stat().st_mode)


def load_tagger(folder: str | Path) -> WordTagger:
    """A tagger from a folder, in evaluation mode.

    Raises:
        ValueError: if a file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = Path(folder)
    file = folder / CONFIG
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
        known = {word: number for number, word in enumerate(config["words"], start=1)}
        with torch.random.fork_rng(devices=[]):
            tagger = WordTagger(known, config["labels"], config["width"])
        file = folder / WEIGHTS
        tagger.load_state_dict({name: value.float() for name, value in load_file(file).items()})
    except (KeyError, TypeError, OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ValueError(f"The tagger's {file} cannot be read ({reason_of(error)}); copy or train it again.") from error
    return tagger.eval()


@lru_cache(maxsize=1)
def bundled_tagger() -> WordTagger:
    """The tagger of universal parts of speech that comes with the package (English)."""
    return load_tagger(TAGGER)
