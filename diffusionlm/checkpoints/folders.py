"""Pipeline folders: where they are and what their index says. Imports neither PyTorch nor transformers.

A folder holds ``model_index.json`` (classes, schedule, sampler, limits, checksum; the card: data, licence, figures),
``denoiser/`` (config.json, model.safetensors), ``tokenizer/`` and, for people, ``README.md``.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from diffusionlm.checkpoints.files import recover
from diffusionlm.errors import nearest

BUNDLED = Path(__file__).resolve().parents[1] / "weights"
INDEX = "model_index.json"
READERS = "readers"  # guides that belong to the checkpoint, a folder each
WEIGHTS = "model.safetensors"
CONFIG = "config.json"  # of transformers: the folder of a model that is not of our own kind
OWN = "diffusionlm"  # its entry with the defaults of the pipeline and the card, where training here wrote it


def bundled_names() -> list[str]:
    """Names of the checkpoints in the package."""
    files = [
        *BUNDLED.glob(f"*/{INDEX}"),
        *BUNDLED.glob("*/tokenizer.json"),
    ]  # ours, and those in the form of transformers
    return sorted({path.parent.name for path in files})


def find_folder(name: str | Path) -> Path:
    """The folder of a checkpoint: a bundled name, a path, or a Hub repository "owner/name".

    Raises:
        FileNotFoundError: if there is none, naming the bundled ones.
        TypeError: if it is no name.
    """
    if not isinstance(name, (str, Path)):
        raise TypeError(f"A checkpoint is a bundled name, a folder, or owner/name on the Hub; got {name!r}.")
    if not str(name):
        raise FileNotFoundError(f"The checkpoint's name is empty. Bundled checkpoints: {', '.join(bundled_names())}.")
    path = Path(name)
    with suppress(OSError):
        recover(path)
    if path.is_dir():
        if not (path / INDEX).is_file() and not (path / CONFIG).is_file():
            raise FileNotFoundError(_no_pipeline(path))
        return path
    if str(name) in bundled_names():
        return BUNDLED / str(name)
    if path.name == "pipeline" and path.parent.is_dir():
        raise FileNotFoundError(
            f"The run {path.parent} has no pipeline yet: it has not finished. Continue it with the command that began it."
        )
    known = ", ".join(bundled_names()) or "none"
    if str(name).count("/") == 1 and not path.is_absolute() and not str(name).startswith("."):
        from huggingface_hub import snapshot_download

        try:
            patterns = [f"*.{ending}" for ending in ("json", "safetensors", "md", "txt", "model", "jinja")]
            return Path(snapshot_download(str(name), allow_patterns=patterns))
        except Exception as error:
            reason = (" ".join(str(error).split()) or type(error).__name__).rstrip(".")
            raise FileNotFoundError(
                f"There is no folder {str(name)!r}, and the Hub gave none: {reason}. Bundled checkpoints: {known}."
            ) from error
    raise FileNotFoundError(
        f"Unknown checkpoint {str(name)!r}{_meant(str(name))}. Bundled checkpoints: {known}; or give a folder or owner/name."
    )


def _meant(name: str) -> str:
    near = nearest(name.strip().rstrip("/").lower(), bundled_names())
    return f"; did you mean {near!r}?" if near else ""


def _no_pipeline(path: Path) -> str:
    """Advice about a folder that holds no pipeline: a training run holds one in a folder of its own."""
    inside = sorted(file.parent for file in path.glob(f"*/{INDEX}"))
    if inside:
        return f"The folder {path} has no {INDEX}, so it is no pipeline; the one of this run is {inside[0]}."
    if (path / "checkpoints").is_dir():
        return (
            f"The folder {path} is a training run that has not finished, so it holds no pipeline yet; continue it with the "
            f"command that began it, and its pipeline will be in {path / 'pipeline'}."
        )
    return f"The folder {path} has no {INDEX}, so it is no pipeline; save one with save_pretrained."


def read_index(folder: Path) -> dict[str, Any]:
    """``model_index.json``; raises ValueError if it is damaged."""
    try:
        index = json.loads((folder / INDEX).read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder / INDEX} cannot be read: {error}") from error
    if not isinstance(index, dict):
        raise ValueError(f"{folder / INDEX} is no JSON object; it was not written by save_pretrained.")
    return index


def read_defaults(folder: Path) -> dict[str, Any]:
    """Defaults of the pipeline and the card: the index, or what training here left in the config.json of transformers.

    Raises:
        ValueError: if the file is damaged.
    """
    if (folder / INDEX).is_file() or not (folder / CONFIG).is_file():
        return read_index(folder)
    own = _config(folder).get(OWN)
    return own if isinstance(own, dict) else {}


def defaults_file(folder: Path, defaults: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
    """The file that holds what `read_defaults` reads, and what has to stand there for ``defaults`` to be read."""
    if (folder / INDEX).is_file() or not (folder / CONFIG).is_file():
        return folder / INDEX, defaults
    return folder / CONFIG, _config(folder) | {OWN: defaults}


def weight_files(folder: Path) -> list[Path]:
    """The files with the weights of a checkpoint, ours or in the form of transformers.

    Raises:
        FileNotFoundError: if there is none.
    """
    own = folder / "denoiser" / WEIGHTS
    files = [own] if (folder / INDEX).is_file() else sorted(folder.glob("*.safetensors"))
    if not files or not files[0].is_file():
        raise FileNotFoundError(
            f"The checkpoint {folder} has no {own.relative_to(folder) if files else '*.safetensors'}."
        )
    return files


def _config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder / CONFIG} cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise ValueError(f"{folder / CONFIG} is no JSON object.")
    return config
