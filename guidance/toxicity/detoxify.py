"""Detoxify's classifiers (Hanu and Unitary team 2020, github.com/unitaryai/detoxify): checkpoints, read safely.

A checkpoint is a dictionary with "state_dict" and "config": ``config["arch"]["args"]`` names the transformers classes, the
base model whose configuration and tokenizer it has, and the number of outputs; ``config["dataset"]["args"]["classes"]`` names
the outputs. It is read by ``torch.load(weights_only=True)``, which runs no code from the file. A folder in the form of
transformers (config.json, model.safetensors, tokenizer) is read too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from diffusionlm.errors import suggestion
from diffusionlm.guidance.classifier import UntrainedHead, load_trained

_RELEASES = "https://github.com/unitaryai/detoxify/releases/download/"
VARIANTS = {
    "original": _RELEASES + "v0.1-alpha/toxic_original-c1212f89.ckpt",
    "unbiased": _RELEASES + "v0.3-alpha/toxic_debiased-c7548aa0.ckpt",
    "multilingual": _RELEASES + "v0.4-alpha/multilingual_debiased-0b549669.ckpt",
    "original-small": _RELEASES + "v0.1.2/original-albert-0e1d6498.ckpt",
    "unbiased-small": _RELEASES + "v0.1.2/unbiased-albert-c8519128.ckpt",
}
_ONE_NAME = {"toxic": "toxicity", "severe_toxic": "severe_toxicity", "identity_hate": "identity_attack"}
_ENDINGS = (".ckpt", ".pt", ".pth")


@dataclass(frozen=True)
class Detoxify:
    """A loaded classifier.

    Attributes:
        network: a transformers sequence classifier in evaluation mode; the sigmoid of its outputs is the score.
        tokenizer: its fast tokenizer.
        classes: names of its first outputs ("toxicity", "insult", ...), one set of names for all variants.
    """

    network: Any
    tokenizer: Any
    classes: tuple[str, ...]

    @torch.no_grad()
    def scores(self, texts: Sequence[str]) -> torch.Tensor:
        """Probabilities of the classes (texts, classes), as Detoxify's own ``predict`` gives them."""
        given = self.tokenizer(list(texts), return_tensors="pt", truncation=True, padding=True)
        return self.network(**given.to(self.network.device)).logits.float().sigmoid()[:, : len(self.classes)]


def load_detoxify(variant: str = "original", checkpoint: str | Path | None = None) -> Detoxify:
    """Loads a classifier; the last two are kept.

    Args:
        variant: which of Detoxify's own to download, where there is no ``checkpoint``.
        checkpoint: a checkpoint file, or a folder with one (or with model.safetensors). The configuration and the tokenizer of
            the base model are read from the same folder where it has them, and from the Hub otherwise.

    Raises:
        FileNotFoundError: if a file is missing, or cannot be downloaded.
        ValueError: if the variant is unknown or the checkpoint is none of Detoxify's.
    """
    if checkpoint is None and variant not in VARIANTS:
        raise ValueError(f"Detoxify has no variant {variant!r}; {suggestion(variant, VARIANTS)}")
    return _load(variant if checkpoint is None else "", None if checkpoint is None else Path(checkpoint))


@lru_cache(maxsize=2)
def _load(variant: str, checkpoint: Path | None) -> Detoxify:
    path = _download(variant) if checkpoint is None else checkpoint
    if path.is_dir():
        found = sorted(file for file in path.iterdir() if file.suffix in _ENDINGS)
        if not found and (path / "config.json").is_file():
            return _from_folder(path)
        if not found:
            raise FileNotFoundError(f"The folder {path} holds no checkpoint of Detoxify ({', '.join(_ENDINGS)}).")
        path = found[0]
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no checkpoint {str(path)!r}; get one of Detoxify's from {_RELEASES.removesuffix('/download/')}."
        )
    if path.suffix == ".safetensors":
        return _from_folder(path.parent)
    loaded = _read(path)
    arguments, classes = _described(path, loaded)
    home = path.parent if (path.parent / "config.json").is_file() else None
    return _build(path, arguments, loaded["state_dict"], classes, home)


def _download(variant: str) -> Path:
    """The checkpoint in PyTorch Hub's cache, where Detoxify keeps it too."""
    url = VARIANTS[variant]
    target = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(target), target.stem.rpartition("-")[2])
        except Exception as error:  # of the network, in many types; a wrong checksum
            raise FileNotFoundError(
                f"Detoxify's checkpoint {variant!r} is not at {target}, and {url} could not be downloaded ({error}). With a "
                "network elsewhere, fetch it there and give checkpoint=FILE."
            ) from error
    return target


def _read(path: Path) -> dict[str, Any]:
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(
            f"{path} cannot be read as plain tensors and names ({' '.join(str(error).split())[:160]}). Files that would run "
            "code are refused; save it anew with torch.save({'config': ..., 'state_dict': ...}), or as safetensors."
        ) from error
    if not isinstance(loaded, dict) or not {"config", "state_dict"} <= set(loaded):
        raise ValueError(f"{path} is no checkpoint of Detoxify: it must hold 'config' and 'state_dict'.")
    return loaded


def _described(path: Path, loaded: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    try:
        arguments = dict(loaded["config"]["arch"]["args"])
        classes = loaded["config"]["dataset"]["args"]["classes"]
        for key in ("model_type", "model_name"):
            if not isinstance(arguments[key], str):
                raise TypeError(f"{key} is no name")
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is no checkpoint of Detoxify: its config lacks arch.args (model_type, model_name, tokenizer_name, "
            f"num_classes) or dataset.args.classes ({error!r})."
        ) from error
    return arguments, tuple(_ONE_NAME.get(str(name), str(name)) for name in classes)


def _build(
    path: Path,
    arguments: dict[str, Any],
    state: Mapping[str, torch.Tensor],
    classes: tuple[str, ...],
    home: Path | None,
) -> Detoxify:
    import transformers

    name = arguments["model_name"]
    kind = getattr(transformers, name, None) if name.endswith("ForSequenceClassification") else None
    if kind is None:
        raise ValueError(f"{path} names the model class {name!r}, which is no sequence classifier of transformers.")
    source = str(home or arguments["model_type"])
    outputs = int(arguments.get("num_classes", len(classes)))
    try:
        config = kind.config_class.from_pretrained(source, num_labels=outputs)
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, use_fast=True)
    except (OSError, ValueError) as error:
        raise FileNotFoundError(
            f"The configuration and tokenizer of {source!r}, which {path.name} builds on, were not found "
            f"({str(error).splitlines()[0]}). Put config.json and the tokenizer's files of {arguments['model_type']!r} beside "
            "the checkpoint."
        ) from error
    with torch.random.fork_rng(devices=[]):
        network = kind(config)
    missing, unknown = _fill(path, network, state)
    unknown = [key for key in unknown if not key.endswith("position_ids")]  # a buffer of older versions
    if missing or unknown:
        raise ValueError(
            f"The weights in {path} do not fit {name}: missing {missing[:3]}, unknown {unknown[:3]}; is config.json that of "
            f"{arguments['model_type']!r}?"
        )
    return Detoxify(network.eval().requires_grad_(False), tokenizer, classes)


def _fill(path: Path, network: Any, state: Mapping[str, torch.Tensor]) -> tuple[list[str], list[str]]:
    try:
        result = network.load_state_dict(dict(state), strict=False)
    except RuntimeError as error:
        raise ValueError(f"The weights in {path} do not fit: {' '.join(str(error).split())[:300]}") from error
    return list(result.missing_keys), list(result.unexpected_keys)


def _from_folder(folder: Path) -> Detoxify:
    from transformers import AutoTokenizer

    try:
        network = load_trained(folder, use_safetensors=True)
        tokenizer = AutoTokenizer.from_pretrained(folder, use_fast=True)
    except UntrainedHead:
        raise
    except Exception as error:
        raise ValueError(f"The classifier in {folder} cannot be read: {str(error).splitlines()[0]}") from error
    names = network.config.id2label
    classes = tuple(_ONE_NAME.get(str(names[i]), str(names[i])) for i in sorted(names))
    return Detoxify(network.eval().requires_grad_(False), tokenizer, classes)
