"""From a composed configuration to a trainer; every mistake in it is an error before work starts."""

from __future__ import annotations

import inspect
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import PartialState

from diffusionlm.checkpoints.files import atomic_folder
from diffusionlm.checkpoints.folders import find_folder, read_index
from diffusionlm.checkpoints.loading import load_denoiser
from diffusionlm.corpora.sources import OF_A_SOURCE, TextSource, described_sources
from diffusionlm.denoiser import DenoiserConfig, SpanDenoiser
from diffusionlm.denoiser.attention import check_backend
from diffusionlm.diffusion import NoiseSchedule, schedule_from_dict
from diffusionlm.text import TextTokenizer
from diffusionlm.training.adapters import add_adapter, check_adapter, check_same_network, check_start
from diffusionlm.training.batches import BatchSource
from diffusionlm.training.cache import load_corpus
from diffusionlm.training.identity import check_identity, has_begun, run_identity, write_identity
from diffusionlm.training.media import check_media, fields_of, load_media_corpus
from diffusionlm.training.neighbours import Neighbours
from diffusionlm.training.optimizer import build_optimizers
from diffusionlm.training.settings import TrainerSettings, check_keys, trains_on_cpu
from diffusionlm.training.trainer import Trainer
from diffusionlm.training.warm_start import warm_start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from diffusionlm.training.corpus import TokenCorpus
    from diffusionlm.training.objective import Objective

_OF_BATCHES = ("limits", "limit_weights", "tokens_per_batch", "task_weights", "prompt_share")
_OF_DATA = ("train", "valid", "holdout", "tokenizer", "max_length", "max_prompt_length", "root", "name", "retrieve")
_SIGHTINGS = 20  # of each token, on average, below which a vocabulary is too large for its texts
_LEAST_VOCABULARY = 300  # all bytes and some pairs
_OF_TOKENIZER = ("kind", "vocab_size", "min_count")


def train_tokenizer(sources: Sequence[TextSource], settings: dict[str, Any]) -> TextTokenizer:
    """The tokenizer that ``settings`` asks for, trained on texts and (each once) prompts.

    Raises:
        ValueError: for an unknown kind.
    """
    kind = settings.get("kind", "bpe")
    if kind == "byte":
        return TextTokenizer.bytes()
    if kind not in ("bpe", "word"):
        raise ValueError(f"Unknown data.tokenizer.kind {kind!r}; allowed are bpe, word, byte, init.")
    if kind == "bpe":
        return TextTokenizer.train_bpe(texts_of(sources), settings.get("vocab_size", 8192))
    return TextTokenizer.train_words(texts_of(sources), settings.get("min_count", 11), settings.get("vocab_size"))


def texts_of(sources: Sequence[TextSource]) -> Iterator[str]:
    """All texts, and behind them each prompt once: what a vocabulary is learnt from."""
    prompts = set()
    for source in sources:
        for prompt, text in source.pairs():
            yield text
            if prompt:
                prompts.add(prompt)
    yield from sorted(prompts)


def vocabulary_warning(corpus: TokenCorpus, vocab_size: int, settings: dict[str, Any]) -> str | None:
    """Warning about a vocabulary that is larger than the texts support; None where there is nothing to say.

    Args:
        corpus: the training texts.
        vocab_size: of the tokenizer.
        settings: ``data.tokenizer``; tokens of a checkpoint (kind "init") mean something already.
    """
    kind = settings.get("kind", "bpe")
    if kind == "init":
        return None
    asked = settings.get("vocab_size") if kind == "bpe" else None
    seen = len(corpus.ids) / vocab_size
    if seen < _SIGHTINGS:
        better = max(_LEAST_VOCABULARY, len(corpus.ids) // _SIGHTINGS)
        advice = f"data.tokenizer.vocab_size={better}, or more text" if better < vocab_size else "more text"
        return (
            f"The texts hold {len(corpus.ids):,} tokens, {seen:.0f} for each of the {vocab_size:,} in the vocabulary; fewer "
            f"than {_SIGHTINGS} are too few to learn what a token means: better give {advice}."
        )
    if asked is not None and vocab_size < asked:
        return f"The texts support a vocabulary of {vocab_size:,}, not the {asked:,} asked for (data.tokenizer.vocab_size)."
    return None


def check_config(config: dict[str, Any]) -> None:
    """Refuses settings that nothing reads, and values that no part accepts; reads no data.

    Raises:
        ValueError: naming the setting.
    """
    data = config["data"]
    check_keys("data", data, (*_OF_DATA, *OF_A_SOURCE, *_OF_BATCHES))
    check_keys("data.tokenizer", data["tokenizer"], _OF_TOKENIZER)
    network = [name for name in inspect.signature(DenoiserConfig.__init__).parameters if name not in ("self", "kwargs")]
    decided = ("vocab_size", "pad_token_id", "max_position_embeddings", "config_version")
    check_keys("model", config["model"], [name for name in network if name not in decided])
    optimizer = [name for name in inspect.signature(build_optimizers).parameters if name != "model"]
    check_keys("optimizer", config["optimizer"], optimizer)
    own = [entry.name for entry in fields(TrainerSettings) if entry.name not in ("folder", "optimizer", "seed")]
    check_keys("trainer", config["trainer"], (*own, "attention"))
    schedule_from_dict(config["schedule"])
    try:
        check_backend(config["trainer"].get("attention", "sdpa"), config["model"].get("position_kind", "rope"))
    except (RuntimeError, ImportError) as error:  # no GPU, or no package for it
        raise ValueError(f"trainer.attention: {error}") from error
    trainer_settings(config)
    if not isinstance(data["max_length"], int) or data["max_length"] < 1:
        raise ValueError(f"data.max_length must be a positive integer, got {data['max_length']!r}.")
    if max(data["limits"], default=0) > data["max_length"]:
        raise ValueError(f"data.limits {data['limits']} must not go beyond data.max_length, {data['max_length']}.")
    DenoiserConfig(vocab_size=2, max_position_embeddings=data["max_length"], **config["model"])  # raises what is wrong
    if not 0 <= data.get("holdout", 0.0) < 1:
        raise ValueError(f"data.holdout must lie in [0, 1), got {data['holdout']}.")


def trainer_settings(config: dict[str, Any]) -> TrainerSettings:
    """The settings of the loop."""
    settings = {name: value for name, value in config["trainer"].items() if name != "attention"}
    return TrainerSettings(
        folder=str(config["folder"]), optimizer=dict(config["optimizer"]), seed=config["seed"], **settings
    )


def build_trainer(
    config: dict[str, Any],
    on_log: Callable[[dict[str, Any]], None] | None = None,
    on_validate: Callable[[Trainer], dict[str, Any]] | None = None,
    objective: Callable[[SpanDenoiser, NoiseSchedule], Objective] | None = None,
    marks: dict[str, Any] | None = None,
) -> tuple[Trainer, TextTokenizer]:
    """Everything a run needs; a run that has begun keeps its tokenizer.

    Args:
        config: the resolved ``configs/train.yaml``.
        on_log: receives figures.
        on_validate: see `Trainer`.
        objective: makes what the trainer minimises from the network and its schedule; None: the likelihood of the texts.
        marks: what else a checkpoint of the run depends on, by name.

    Raises:
        FileNotFoundError: if a data file is missing.
        ValueError: if the configuration is wrong, data cannot be read, or the run folder was begun with other settings.
    """
    config = {**config, "model": check_media(config)}
    check_config(config)
    adapts = check_adapter(config)
    if adapts:
        check_start(config)
    data, folder = config["data"], Path(config["folder"])
    sources = train_sources, _ = sources_of(config)
    start = find_folder(config["init"]) if config.get("init") else None
    processes = PartialState(cpu=trains_on_cpu())
    with processes.main_process_first():  # the others then find tokenizer and cache
        if processes.is_main_process:
            _make_tokenizer(folder, train_sources, data["tokenizer"], start)
        tokenizer = TextTokenizer.from_pretrained(folder / "tokenizer")
        identity = run_identity(config, train_sources, tokenizer) | (marks or {})
        if adapts:
            identity |= {f"adapter.{name}": value for name, value in config["adapter"].items()}
            identity["init (content)"] = read_index(start).get("sha256") if start is not None else None
        check_identity(folder, identity)
        train_corpus, valid_corpus = read_corpora(sources, tokenizer, config)
    valid = None if valid_corpus is None else batch_source(config, valid_corpus, tokenizer.pad_id, valid=True)
    torch.manual_seed(config["seed"])
    denoiser = SpanDenoiser(
        DenoiserConfig(
            vocab_size=tokenizer.vocab_size,
            pad_token_id=tokenizer.pad_id,
            max_position_embeddings=data["max_length"],
            attn_implementation=config["trainer"].get("attention", "sdpa"),
            **config["model"],
        )
    )
    schedule, settings = schedule_from_dict(config["schedule"]), trainer_settings(config)
    if start is not None:
        schedule = _start_from(start, denoiser, tokenizer, schedule, adapts)
    if adapts:
        add_adapter(denoiser, config["adapter"])
    goal = None if objective is None else objective(denoiser, schedule)
    source = batch_source(config, train_corpus, tokenizer.pad_id)
    trainer = Trainer(denoiser, source, valid, schedule, settings, on_log, on_validate, goal)
    if processes.is_main_process:
        write_identity(folder, identity)
    return trainer, tokenizer


def sources_of(config: dict[str, Any]) -> tuple[list[TextSource], list[TextSource]]:
    """Training and validation texts, where they are; the latter may be empty.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a source is described wrongly.
    """
    train, valid = described_sources(config["data"])
    for given in (*train, *valid):
        given.check()
    return train, valid


def read_corpora(
    sources: tuple[list[TextSource], list[TextSource]], tokenizer: TextTokenizer, config: dict[str, Any]
) -> tuple[TokenCorpus, TokenCorpus | None]:
    """The training texts, and those of validation: a source of their own, a share that is held out, or None.

    Raises:
        ValueError: if a source cannot be read or has no text of a fitting length.
    """
    train, valid = sources
    corpus = _corpus(train, tokenizer, config)
    if valid:
        return corpus, _corpus(valid, tokenizer, config)
    if config["data"].get("holdout"):
        return corpus.hold_out(config["data"]["holdout"], config["seed"])
    return corpus, None


def batch_source(config: dict[str, Any], corpus: TokenCorpus, pad_id: int, valid: bool = False) -> BatchSource:
    """Batches of a corpus by ``data``; for validation whole texts without prompt."""
    data = config["data"]
    settings: dict[str, Any] = {
        "limits": tuple(data["limits"]),
        "limit_weights": tuple(data["limit_weights"]),
        "tokens_per_batch": data["tokens_per_batch"],
        "task_weights": dict(data["task_weights"]),
        "prompt_share": data["prompt_share"],
        "seed": config["seed"],
    }
    if data.get("retrieve"):
        settings["neighbours"] = Neighbours.from_settings(data["retrieve"], corpus)
    if valid:
        whole = {"task_weights": {"whole": 1.0}, "prompt_share": 0.0, "media_share": 1.0}
        settings |= {**whole, "limits": (data["max_length"],), "limit_weights": ()}
    return BatchSource(corpus, pad_id, **settings)


def _start_from(
    folder: Path, denoiser: SpanDenoiser, tokenizer: TextTokenizer, schedule: NoiseSchedule, adapts: bool = False
) -> NoiseSchedule:
    """Takes over the weights of a pipeline and, where it is of the same kind, its noise schedule."""
    index = read_index(folder)
    source = load_denoiser(folder / "denoiser", index.get("sha256"))
    if adapts:
        check_same_network(source.config, denoiser.config)  # type: ignore[arg-type]
    warm_start(denoiser, tokenizer, source, TextTokenizer.from_pretrained(folder / "tokenizer"))
    found = schedule_from_dict(index["schedule"])
    return found if type(found) is type(schedule) else schedule


def _make_tokenizer(folder: Path, sources: Sequence[TextSource], settings: dict[str, Any], start: Path | None) -> None:
    """Trains the tokenizer of a run that has not begun; what an attempt with wrong settings left is replaced."""
    place = folder / "tokenizer"
    if place.is_dir() and has_begun(folder):
        return
    if settings.get("kind") == "init":
        if start is None:
            raise ValueError("data.tokenizer.kind=init takes the tokenizer of a checkpoint: give init=NAME too.")
        tokenizer = TextTokenizer.from_pretrained(start / "tokenizer")
    else:
        tokenizer = train_tokenizer(sources, settings)
    with atomic_folder(place) as draft:
        tokenizer.save_pretrained(draft)


def _corpus(sources: Sequence[TextSource], tokenizer: TextTokenizer, config: dict[str, Any]) -> TokenCorpus:
    cache = None if config.get("cache") is None else Path(config["cache"])
    data = config["data"]
    if fields_of(data):
        most = data.get("max_prompt_length", 128)
        return load_media_corpus(sources, tokenizer, data["max_length"], most, config["model"])
    return load_corpus(sources, tokenizer, data["max_length"], data.get("max_prompt_length", 128), cache)
