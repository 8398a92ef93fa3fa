"""From a trainer to a pipeline: samples while it trains, and the folder that ``from_pretrained`` reads."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffusionlm.checkpoints.adapters import CARD
from diffusionlm.checkpoints.folders import INDEX
from diffusionlm.checkpoints.loading import write_folder
from diffusionlm.guidance.bigrams.plugin import Bigrams
from diffusionlm.pipeline import DiffusionLMPipeline
from diffusionlm.training.adapters import export_adapter, trained_share, trains_an_adapter
from diffusionlm.training.bigram_counts import write_counts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diffusionlm.text import TextTokenizer
    from diffusionlm.training.corpus import TokenCorpus
    from diffusionlm.training.trainer import Trainer


def make_pipeline(
    trainer: Trainer,
    tokenizer: TextTokenizer,
    sampler: str | Mapping[str, Any] = "ancestral",
    card: dict[str, Any] | None = None,
) -> DiffusionLMPipeline:
    """A pipeline around the trainer's network, with the weights that it carries now and the schedule of now."""
    longest = max(trainer.train_source.limits)
    span = min(round(16 / tokenizer.vocabulary.token_share), longest)
    if trainer.train_source.neighbours is not None:
        card = {"segments": ["retrieved"], **(card or {})}
    return DiffusionLMPipeline(trainer.denoiser, tokenizer, sampler, trainer.schedule, longest, span, card)


def write_samples(
    trainer: Trainer, tokenizer: TextTokenizer, sampler: str | Mapping[str, Any], count: int, seed: int, steps: int = 32
) -> list[str]:
    """``count`` whole texts under the weights that are in place; the trainer's own random numbers are not touched."""
    pipe = make_pipeline(trainer, tokenizer, sampler)
    pipe.set_progress_bar_config(disable=True)
    return pipe(num_samples=count, seed=seed, steps=steps).texts


def check_export_folder(folder: str | Path) -> None:
    """Refuses a folder that holds something else than a pipeline; call it before training.

    Raises:
        ValueError: naming the folder.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"The pipeline cannot be written to {folder}, which is a file; set export=FOLDER.")
    if folder.is_dir() and any(folder.iterdir()) and not any((folder / name).is_file() for name in (INDEX, CARD)):
        raise ValueError(f"The folder {folder} is not empty and holds no pipeline; set export=FOLDER to another one.")


def export_pipeline(
    trainer: Trainer,
    tokenizer: TextTokenizer,
    folder: str | Path,
    sampler: str | Mapping[str, Any] = "ancestral",
    card: dict[str, Any] | None = None,
) -> Path:
    """Writes the averaged weights, the tokenizer and the schedule as a pipeline folder, atomically; of an adapter itself only.

    Args:
        trainer: after training.
        tokenizer: of its data, whose neighbours are counted, so that the pipeline has its bigram model by default.
        folder: new, empty, or an older pipeline (whose README and other files stay).
        sampler: the pipeline's default sampler.
        card: facts for ``diffusionlm info``; what the trainer knows is added.

    Returns:
        The folder.

    Raises:
        ValueError: see `check_export_folder`.
        OSError: if it cannot be written; an older pipeline there is untouched.
    """
    check_export_folder(folder)
    facts = {
        "steps": trainer.step,
        "tokens_seen": trainer.tokens_seen,
        "training_hours": round(trainer.seconds / 3600, 3),
        **trainer.figures,
    }
    with trainer.average.applied(trainer.denoiser):
        if trains_an_adapter(trainer.denoiser):
            share = round(trained_share(trainer.denoiser), 6)
            told = {**(card or {}), "training": {**facts, "trained_share": share}}
            export_adapter(trainer.denoiser, Path(folder), told)
            return Path(folder)
        pipe = make_pipeline(trainer, tokenizer, sampler, {**(card or {}), "training": facts})
        if tokenizer.vocabulary.token_share == 1:  # neighbouring bytes say little
            pipe.bigrams = Bigrams.weight
        write_folder(Path(folder), partial(_write, pipe, trainer.train_source.corpus, Path(folder)))
    return Path(folder)


def _write(pipe: DiffusionLMPipeline, corpus: TokenCorpus, older: Path, draft: Path) -> None:
    """Pipeline, and counts of its training texts."""
    pipe.save_pretrained(draft)
    write_counts(corpus, pipe.tokenizer.vocabulary, draft, older)
