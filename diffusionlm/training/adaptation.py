"""A model of transformers turned into a masked denoiser by the loss of MDLM.

A causal language model gets attention in both directions and a LoRA; its logits stay those of the next token (shift 1), as it
was trained to give them: a position's own token is read off the position before. A masked language model learns with all of its
weights (`training.masked_lm`). Sources: Gong et al. 2025, "Scaling diffusion language models via adaptation from
autoregressive models" (DiffuLLaMA); Hu et al. 2022 ("LoRA"); Sahoo et al. 2024 (the loss).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

from diffusionlm.checkpoints.adapted import save_adapted
from diffusionlm.checkpoints.base_weights import base_checksum
from diffusionlm.checkpoints.causal import SMOLLM2, load_causal
from diffusionlm.checkpoints.files import atomic_folder
from diffusionlm.checkpoints.folders import find_folder
from diffusionlm.checkpoints.foreign import is_foreign
from diffusionlm.diffusion import (
    MaskingSchedule,
    schedule_from_dict,
)
from diffusionlm.families import Choices, Loaded
from diffusionlm.families.decoders import from_decoder
from diffusionlm.guidance.bigrams.plugin import Bigrams
from diffusionlm.pipeline import DiffusionLMPipeline
from diffusionlm.training.adaptation_step import AdaptationStep, TrainedModule, adapted_bound
from diffusionlm.training.adapters import NAME, PRECISIONS, add_adapter, check_adapter, trained_share
from diffusionlm.training.identity import check_identity, has_begun, run_identity, write_identity
from diffusionlm.training.masked_lm import is_masked_lm, load_base
from diffusionlm.training.objective import Objective
from diffusionlm.training.run import batch_source, check_config, read_corpora, sources_of, texts_of, trainer_settings
from diffusionlm.training.trainer import Trainer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from diffusionlm.corpora.sources import TextSource
    from diffusionlm.training.corpus import TokenCorpus

_OF_THE_TEXT = ("shift", "mask_token")  # what ``adapter`` says beside the settings of every adapter


def adapts_somebody_else_s(config: dict[str, Any]) -> bool:
    """True where ``init`` names a model of transformers.

    Raises:
        FileNotFoundError: if there is no such checkpoint.
        ValueError: if it is a causal one and no adapter is asked for, a masked one and an adapter is, or if it is none and
            ``experiment=adapt`` is.
    """
    name = config.get("init")
    asked = any(key in config.get("adapter", {}) for key in _OF_THE_TEXT)
    if not name:
        if asked:
            raise ValueError("experiment=adapt needs a base: give init=NAME, a causal language model of transformers.")
        return False
    adapter = config.get("adapter", {}).get("kind", "none") != "none"
    causal = str(name) == SMOLLM2 or str(name).endswith(".gguf")
    if not causal and is_masked_lm(name):
        if adapter:
            raise ValueError(
                f"init={name} is a masked language model, all of whose weights learn: give experiment=masked_lm init={name}."
            )
        return True
    if not causal and not is_foreign(find_folder(name)):
        if asked:
            raise ValueError(
                f"init={name} is a checkpoint of ours, which is a denoiser already: give adapter=lora init={name} instead of "
                "experiment=adapt."
            )
        return False
    if not adapter:
        raise ValueError(
            f"init={name} is a causal language model of transformers, for which only an adapter is trained: give "
            f"experiment=adapt init={name}."
        )
    return True


@dataclass(frozen=True)
class Adaptation:
    """A run that trains a model of transformers.

    Attributes:
        config: the resolved ``configs/train.yaml``.
        trainer: of its weights, or of its adapter.
        loaded: the model and its tokenizer as the pipeline has them.
        save: writes what was trained, with the weights in place, given a folder, the card's facts and the texts.
        said: what that is, in a sentence's beginning.
    """

    config: dict[str, Any]
    trainer: Trainer
    loaded: Loaded
    save: Callable[[Path, dict[str, Any], TokenCorpus], None]
    said: str

    def samples(self, trainer: Trainer) -> list[str]:
        """Whole texts under the weights that are in place."""
        pipe = DiffusionLMPipeline(self.loaded.model, self.loaded.tokenizer, **self.loaded.defaults)  # type: ignore[arg-type]
        pipe.set_progress_bar_config(disable=True)
        longest = min(pipe.max_length, max(trainer.train_source.limits))
        return pipe(num_samples=self.config["samples"], seed=self.config["seed"], max_length=longest).texts

    def write(self, card: dict[str, Any]) -> Path:
        """Writes what was trained with the averaged weights; returns its folder.

        Raises:
            OSError: if it cannot be written.
        """
        trainer, folder = self.trainer, Path(self.config["export"])
        facts = {
            "steps": trainer.step,
            "tokens_seen": trainer.tokens_seen,
            "training_hours": round(trainer.seconds / 3600, 3),
            "trained_share": round(trained_share(trainer.denoiser), 6),
            **trainer.figures,
        }
        with trainer.average.applied(trainer.denoiser):
            self.save(folder, {**card, "training": facts}, trainer.train_source.corpus)
        return folder


@dataclass(frozen=True)
class _Start:
    """A network that is ready to learn, and what a checkpoint of it depends on."""

    module: Any
    loaded: Loaded
    marks: dict[str, Any]
    save: Callable[[Path, dict[str, Any], TokenCorpus], None]
    said: str


def build_adaptation(config: dict[str, Any], on_log: Callable[[dict[str, Any]], None] | None = None) -> Adaptation:
    """Base, data and trainer of a run.

    Args:
        config: the resolved ``configs/train.yaml``.
        on_log: receives figures.

    Raises:
        FileNotFoundError: if the base or a data file is missing.
        ValueError: if the configuration is wrong, or the run folder was begun with other settings.
    """
    check_config(config)
    schedule = schedule_from_dict(config["schedule"])
    if not isinstance(schedule, MaskingSchedule):
        raise ValueError(
            f"A model of transformers learns to restore hidden tokens: give schedule=masking, not {schedule.kind}."
        )
    whole = config["adapter"].get("kind", "none") == "none"
    if not whole:
        _check_adapter(config)
    sources = sources_of(config)
    start = _all_weights(config, sources[0]) if whole else _with_adapter(config)
    folder, tokenizer = Path(config["folder"]), cast("Any", start.loaded.tokenizer)
    identity = run_identity(config, sources[0], tokenizer) | start.marks
    check_identity(folder, identity)
    train, valid = read_corpora(sources, tokenizer, config)
    step = AdaptationStep(start.loaded)
    objective = Objective(step, partial(adapted_bound, step), "valid_bound", False)  # type: ignore[arg-type]
    held_out = None if valid is None else batch_source(config, valid, tokenizer.pad_id, valid=True)
    network: Any = TrainedModule(start.module)
    trainer = Trainer(
        network,
        batch_source(config, train, tokenizer.pad_id),
        held_out,
        schedule,
        trainer_settings(config),
        on_log,
        objective=objective,
    )
    write_identity(folder, identity)
    return Adaptation(config, trainer, start.loaded, start.save, start.said)


def _check_adapter(config: dict[str, Any]) -> None:
    settings = _of_the_network(config)
    if settings.get("base") in PRECISIONS and settings["base"] != "full":  # before a package for it is asked for
        raise ValueError(
            f"adapter.base={settings['base']} is for checkpoints of ours; a base of transformers is held in full."
        )
    check_adapter({"adapter": settings})
    if config["data"]["tokenizer"].get("kind") != "init":
        raise ValueError("An adapter has the tokens of its base: give data.tokenizer.kind=init.")


def _of_the_network(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config["adapter"].items() if key not in _OF_THE_TEXT}


def _with_adapter(config: dict[str, Any]) -> _Start:
    """A causal language model that stays, and a LoRA."""
    module, source = load_causal(config["init"], torch.float32)
    mask = config["adapter"].get("mask_token")
    choices = Choices(
        family="masked",
        shift=config["adapter"].get("shift", 1),
        mask_token=spare_token(source) if mask is None else mask,
        chat=False,
    )
    loaded = from_decoder(module, source, choices)
    torch.manual_seed(config["seed"])
    add_adapter(module, _of_the_network(config))
    marks = {f"adapter.{name}": value for name, value in config["adapter"].items()}
    marks["init (content)"] = base_checksum(module)
    model: Any = loaded.model
    name = str(config["init"])
    said = {
        "base": str(Path(name).resolve()) if Path(name).exists() else name,
        "shift": model.switches.shift,
        "attention": model.switches.attention,
        "mask_token": model.mask_id,
        "chat": False,
    }

    def save(folder: Path, card: dict[str, Any], corpus: TokenCorpus) -> None:
        save_adapted(module, source, folder, NAME, said, card)

    return _Start(module, loaded, marks, save, "The adapter")


def _all_weights(config: dict[str, Any], sources: Sequence[TextSource]) -> _Start:
    """A masked language model, with a vocabulary of the run or its own."""
    kind = config["data"]["tokenizer"].get("kind", "bpe")
    if kind not in ("bpe", "init"):
        raise ValueError(
            f"A masked language model of transformers has byte-level BPE or its own vocabulary: give data.tokenizer.kind=bpe "
            f"or init, not {kind}."
        )
    place = Path(config["folder"]) / "tokenizer"
    texts = None if kind == "init" else texts_of(sources)
    begun = place if has_begun(Path(config["folder"])) else None
    base = load_base(config["init"], texts, config["data"]["tokenizer"].get("vocab_size", 8192), begun)
    if begun is None:
        with atomic_folder(place) as draft:
            base.source.save_pretrained(draft)
    settings = {
        "max_length": config["data"]["max_length"],
        "sampler": {key: value for key, value in config["sampler"].items() if value is not None},
        "bigrams": Bigrams.weight,
    }

    def save(folder: Path, card: dict[str, Any], corpus: TokenCorpus) -> None:
        base.write(folder, card, settings, corpus)

    return _Start(base.module, base.loaded, {"init (content)": base.checksum}, save, "The model")


def spare_token(source: Any) -> int:
    """The token that stands for a hidden position: the tokenizer's own, or a special token that plain text never has.

    Raises:
        ValueError: if there is none.
    """
    if source.mask_token_id is not None:
        return int(source.mask_token_id)
    used = {source.bos_token_id, source.eos_token_id, source.pad_token_id, source.unk_token_id}
    spare = sorted(i for i, token in source.added_tokens_decoder.items() if token.special and i not in used)
    if not spare:
        raise ValueError(
            "The base's tokenizer has no token to spare for hidden positions; name one that your texts never have: "
            "adapter.mask_token='<token>'."
        )
    return int(spare[-1])
