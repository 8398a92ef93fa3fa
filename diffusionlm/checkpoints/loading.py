"""Checking, reading and writing what is in a pipeline folder. Weights are safetensors, never pickles."""

from __future__ import annotations

import hashlib
import inspect
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from diffusionlm.checkpoints.base_weights import base_state, note_checksum
from diffusionlm.checkpoints.files import atomic_folder
from diffusionlm.checkpoints.folders import INDEX, READERS, WEIGHTS, read_index
from diffusionlm.denoiser import DenoiserConfig, SpanDenoiser
from diffusionlm.denoiser.configuration import MAX_PATCH
from diffusionlm.text import TextTokenizer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


def config_keys() -> list[str]:
    """Names of the settings of the denoiser that can be replaced where it is loaded."""
    own = [name for name in inspect.signature(DenoiserConfig.__init__).parameters if name not in ("self", "kwargs")]
    return [*own, "attn_implementation", "experts_implementation"]


def one_dtype(torch_dtype: Any, dtype: Any) -> Any:
    """The dtype under either of its names.

    Raises:
        ValueError: if the two say different things.
    """
    if torch_dtype is not None and dtype is not None and torch_dtype != dtype:
        raise ValueError(
            f"torch_dtype={torch_dtype} and dtype={dtype} are two names of one setting; give one of them, such as "
            "dtype=torch.bfloat16."
        )
    return dtype if torch_dtype is None else torch_dtype


def check_placement(dtype: Any, device: Any) -> None:
    """Raises ValueError unless the network can have this dtype and stand on this device; None stands for the default."""
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise ValueError(f"torch_dtype must be a floating-point dtype such as torch.bfloat16, got {dtype!r}.")
    if device is None:
        return
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise ValueError(f"The device {str(device)!r} cannot be used here ({reason}); use device='cpu'.") from error


def load_parts(folder: Path, torch_dtype: torch.dtype | None, **config_changes: Any) -> dict[str, Any]:
    """Parts of a pipeline, as its constructor takes it.

    Args:
        folder: of the pipeline.
        torch_dtype: dtype of the network; None: as saved.
        config_changes: as in `load_denoiser`.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a file is damaged or lacks something.
    """
    index = read_index(folder)
    missing = [key for key in ("schedule", "max_length", "max_span_length") if key not in index]
    if missing:
        raise ValueError(f"{folder / INDEX} lacks {', '.join(missing)}; it was not written by save_pretrained.")
    denoiser = load_denoiser(folder / "denoiser", index.get("sha256"), **config_changes)
    if torch_dtype not in (None, denoiser.dtype):
        note_checksum(denoiser)  # an adapter knows its base by the weights as they were saved
    return {
        "denoiser": denoiser if torch_dtype is None else torch.nn.Module.to(denoiser, torch_dtype),
        "tokenizer": TextTokenizer.from_pretrained(folder / "tokenizer"),
        "sampler": index.get("sampler", "ancestral"),
        "schedule": index["schedule"],
        "max_length": index["max_length"],
        "max_span_length": index["max_span_length"],
        "card": index.get("card"),
        "temperature": index.get("temperature", 1.0),
        "best_of": index.get("best_of", 1),
        "steps": index.get("steps", 32),
        "bigrams": index.get("bigrams", 0.0),
    }


def save_parts(
    folder: Path, denoiser: SpanDenoiser, tokenizer: TextTokenizer, settings: dict[str, Any], resources: Sequence[Path]
) -> None:
    """Writes a folder that `load_parts` reads; see `write_folder`.

    Args:
        folder: of the pipeline.
        denoiser: the network.
        tokenizer: its tokenizer.
        settings: the other entries of the index, ready for JSON.
        resources: folders of guides that belong to the model, which are copied before those of an older folder.
    """

    def write(draft: Path) -> None:
        checksum = save_denoiser(denoiser, draft / "denoiser")
        tokenizer.save_pretrained(draft / "tokenizer")
        index = {
            "_class_name": "DiffusionLMPipeline",
            "denoiser": ["diffusionlm", "SpanDenoiser"],
            "tokenizer": ["diffusionlm", "TextTokenizer"],
            "sha256": checksum,
            **settings,
        }
        copy_guides([*resources, folder / READERS], draft / READERS)
        (draft / INDEX).write_text(json.dumps(index, indent=2, ensure_ascii=False) + "\n")

    write_folder(folder, write)


def copy_guides(homes: Iterable[Path], target: Path) -> None:
    """Copies guides that belong to a model.

    Args:
        homes: folders with a folder for each guide; of two of one name the first is taken. They need not be there.
        target: folder to be made; what it has already stays.
    """
    for guide in (path for home in homes if home.is_dir() for path in sorted(home.iterdir())):
        if not (target / guide.name).exists():
            target.mkdir(exist_ok=True)
            (shutil.copytree if guide.is_dir() else shutil.copy2)(guide, target / guide.name)


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
        if "patch_size" in config_changes:
            trained = DenoiserConfig.from_pretrained(folder).patch_size
            if config.patch_size != trained:
                raise ValueError(
                    f"patch_size={config.patch_size} contradicts the weights in {folder}, which were trained with "
                    f"{trained}: leave it out; another (1 to {MAX_PATCH}) needs a training of its own, model.patch_size=..."
                )
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
        {k: v.detach().cpu().contiguous() for k, v in base_state(denoiser).items()}, folder / WEIGHTS, {"format": "pt"}
    )
    (folder / WEIGHTS).chmod((folder / "config.json").stat().st_mode)  # safetensors makes files for the owner alone
    return sha256(folder / WEIGHTS)


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_folder(target: Path, write: Callable[[Path], None]) -> None:
    """Lets ``write`` fill a draft beside ``target``, then puts it in its place: never a half-written folder.

    Files of an older ``target`` that the draft does not have (a README, a card) are kept.

    Raises:
        OSError: if ``target`` is a file, or cannot be written.
    """
    if target.exists() and not target.is_dir():
        raise NotADirectoryError(f"The pipeline cannot be saved to {target}, which is a file; name a folder.")
    with atomic_folder(target) as draft:
        write(draft)
        for path in target.iterdir() if target.exists() else ():
            if not (draft / path.name).exists():
                (shutil.copytree if path.is_dir() else shutil.copy2)(path, draft / path.name)
