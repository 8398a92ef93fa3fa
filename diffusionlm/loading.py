"""Pipeline folders: finding, checking, reading and writing them. Weights are safetensors, never pickles.

A folder holds ``model_index.json`` (classes, schedule, sampler, limits, checksum; the card: data, licence, figures),
``denoiser/`` (config.json, model.safetensors), ``tokenizer/`` and, for people, ``README.md``.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from diffusionlm.denoiser import DenoiserConfig, SpanDenoiser

if TYPE_CHECKING:
    from collections.abc import Callable

BUNDLED = Path(__file__).parent / "weights"
INDEX = "model_index.json"
WEIGHTS = "model.safetensors"


def bundled_names() -> list[str]:
    """Names of the checkpoints in the package."""
    return sorted(path.parent.name for path in BUNDLED.glob(f"*/{INDEX}"))


def find_folder(name: str | Path) -> Path:
    """The folder of a checkpoint: a bundled name, a path, or a Hub repository "owner/name".

    Raises:
        FileNotFoundError: if there is none, naming the bundled ones.
    """
    path = Path(name)
    if path.is_dir():
        if not (path / INDEX).is_file():
            raise FileNotFoundError(
                f"The folder {path} has no {INDEX}, so it is no pipeline; save one with save_pretrained."
            )
        return path
    if str(name) in bundled_names():
        return BUNDLED / str(name)
    known = ", ".join(bundled_names()) or "none"
    if str(name).count("/") == 1 and not path.is_absolute() and not str(name).startswith("."):
        from huggingface_hub import snapshot_download

        try:
            patterns = ["*.json", "*.safetensors", "*.md"]
            return Path(snapshot_download(str(name), allow_patterns=patterns))
        except Exception as error:
            raise FileNotFoundError(
                f"There is no folder {str(name)!r}, and the Hub gave none: {error}. Bundled checkpoints: {known}."
            ) from error
    raise FileNotFoundError(
        f"Unknown checkpoint {str(name)!r}. Bundled checkpoints: {known}; or give a folder or owner/name."
    )


def read_index(folder: Path) -> dict[str, Any]:
    """``model_index.json``; raises ValueError if it is damaged."""
    try:
        return json.loads((folder / INDEX).read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder / INDEX} cannot be read: {error}") from error


def load_denoiser(folder: Path, checksum: str | None, **config_changes: Any) -> SpanDenoiser:
    """Reads and checks the network.

    Args:
        folder: ``denoiser/`` of a pipeline.
        checksum: SHA-256 of the weights file, or None to skip the comparison.
        config_changes: entries of the configuration to replace (``attn_implementation``, ``rope_parameters``, ...).

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if weights are damaged, changed, not finite, or do not fit the configuration.
    """
    weights, config_file = folder / WEIGHTS, folder / "config.json"
    for path in (config_file, weights):
        if not path.is_file():
            pickles = [p.name for p in folder.glob("*") if p.suffix in (".bin", ".pt", ".pth", ".ckpt", ".pkl")]
            hint = (
                f" ({', '.join(pickles)} is a pickle and is never loaded; convert it to safetensors)" if pickles else ""
            )
            raise FileNotFoundError(f"The checkpoint has no {path}{hint}.")
    try:
        config = DenoiserConfig.from_pretrained(folder, **config_changes)
        state = load_file(weights)
    except SafetensorError as error:
        raise ValueError(f"The weights {weights} are damaged ({error}); fetch or train them again.") from error
    except (TypeError, OSError) as error:
        raise ValueError(f"The configuration {config_file} cannot be used: {error}") from error
    if checksum is not None and sha256(weights) != checksum:
        raise ValueError(
            f"The weights {weights} are not those the checkpoint was saved with (SHA-256 differs); fetch them again."
        )
    bad = [name for name, value in state.items() if value.is_floating_point() and not bool(torch.isfinite(value).all())]
    if bad:
        raise ValueError(
            f"The weights {weights} hold NaN or infinite numbers in {', '.join(bad[:3])}; the training run diverged."
        )
    with torch.random.fork_rng(
        devices=[]
    ):  # building the network draws numbers; the caller's generator stays as it was
        denoiser = SpanDenoiser(config)
    try:
        denoiser.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise ValueError(
            f"The weights {weights} do not fit {config_file}: {' '.join(str(error).split())[:300]}"
        ) from error
    return denoiser.eval()


def save_denoiser(denoiser: SpanDenoiser, folder: Path) -> str:
    """Writes ``config.json`` and ``model.safetensors``; returns the SHA-256 of the weights."""
    folder.mkdir(parents=True, exist_ok=True)
    denoiser.config.save_pretrained(folder)
    save_file(
        {k: v.detach().cpu().contiguous() for k, v in denoiser.state_dict().items()}, folder / WEIGHTS, {"format": "pt"}
    )
    return sha256(folder / WEIGHTS)


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_folder(target: Path, write: Callable[[Path], None]) -> None:
    """Lets ``write`` fill a draft beside ``target``, then puts it in its place: never a half-written folder.

    Files of an older ``target`` that the draft does not have (a README, a card) are kept.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        write(draft)
        if target.exists():
            for path in target.iterdir():
                if not (draft / path.name).exists():
                    (shutil.copytree if path.is_dir() else shutil.copy2)(path, draft / path.name)
            old = Path(tempfile.mkdtemp(prefix=f".{target.name}-old-", dir=target.parent))
            os.replace(target, old / "old")
            os.replace(draft, target)
            shutil.rmtree(old)
        else:
            os.replace(draft, target)
        target.chmod(0o755)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
