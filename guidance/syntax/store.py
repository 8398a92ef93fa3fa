"""Files of counted tables: ``config.json`` and ``model.safetensors``, in half precision and small integers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from diffusionlm.errors import reason_of
from diffusionlm.guidance.classifiers.store import CONFIG, WEIGHTS

Tables = TypeVar("Tables")


def save_counts(folder: str | Path, tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
    """Writes a folder that `load_counts` and `find_reader` know.

    Args:
        folder: made if it is not there.
        tensors: by name; floating-point ones are kept in half precision, int64 as int16.
        config: what else there is to know, with "vocabulary_fingerprint".
    """
    from safetensors.torch import save_file

    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    save_file({name: _small(value) for name, value in tensors.items()}, target / WEIGHTS)
    (target / CONFIG).write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def load_counts(folder: Path, what: str, make: Callable[[dict[str, Any], dict[str, Tensor]], Tables]) -> Tables:
    """Tables from a folder.

    Args:
        folder: with both files.
        what: the tables are, for the message.
        make: gives them from the configuration and the tensors (int64 or float64).

    Raises:
        ValueError: if a file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = folder / CONFIG
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
        file = folder / WEIGHTS
        tensors = load_file(file)
        wide = {name: value.double() if value.is_floating_point() else value.long() for name, value in tensors.items()}
        return make(config, wide)
    except (KeyError, OSError, ValueError, SafetensorError) as error:
        raise ValueError(
            f"The {what} in {file} cannot be read ({reason_of(error)}); copy or make them again."
        ) from error


def _small(value: Tensor) -> Tensor:
    if value.is_floating_point():
        return value.half()
    return value.to(torch.int16) if value.dtype == torch.int64 else value
