"""Checkpoints that a kill at any moment cannot spoil; the newest one that can be read is resumed."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from diffusionlm.checkpoints.files import atomic_folder, remove_folder, remove_left_overs
from diffusionlm.errors import reason_of

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

PREFIX = "step_"
_COMPLETE = "state.json"
_logger = logging.getLogger(__name__)

Contents = tuple[dict[str, dict[str, "Tensor"]], list[dict[str, Any]], dict[str, Any]]


class CheckpointError(ValueError):
    """A checkpoint is damaged; the message says which and how."""


def save_checkpoint(
    folder: Path,
    step: int,
    tensors: dict[str, dict[str, Tensor]],
    optimizers: list[dict[str, Any]],
    state: dict[str, Any],
    keep: int = 2,
) -> Path:
    """Writes ``folder/step_00001000`` atomically and removes all but the newest ``keep``.

    Args:
        folder: where checkpoints live.
        step: optimiser steps done.
        tensors: named tensor dictionaries, each a safetensors file.
        optimizers: state dictionaries of the optimisers.
        state: JSON-able rest.
        keep: how many to keep.

    Raises:
        OSError: if it cannot be written (a full disk, say); older checkpoints are untouched, and no draft stays.
    """
    target = folder / f"{PREFIX}{step:08d}"
    try:
        with atomic_folder(target) as draft:
            for name, values in tensors.items():
                whole = {key: value.detach().cpu().contiguous() for key, value in values.items()}
                save_file(whole, draft / f"{name}.safetensors")
            torch.save(optimizers, draft / "optimizers.pt")
            (draft / _COMPLETE).write_text(json.dumps({"step": step, **state}))
    except (OSError, RuntimeError, SafetensorError) as error:  # a full disk is an OSError, or dressed up by its writer
        raise OSError(
            f"The checkpoint {target} cannot be written ({error}). Older checkpoints are intact: "
            "make room, then start again to continue from the newest."
        ) from error
    for old in list_checkpoints(folder)[:-keep]:
        remove_folder(old)
    remove_left_overs(folder)
    return target


def list_checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints, oldest first."""
    return sorted(path for path in folder.glob(f"{PREFIX}*") if (path / _COMPLETE).is_file())


def load_checkpoint(path: Path) -> Contents:
    """Reads what `save_checkpoint` was given; optimiser states are read without executing anything (``weights_only``).

    Raises:
        CheckpointError: if a file is missing, cut short or otherwise damaged.
    """
    file = path / _COMPLETE
    try:
        state = json.loads(file.read_text())
        tensors: dict[str, dict[str, Tensor]] = {}
        for file in sorted(path.glob("*.safetensors")):
            tensors[file.stem] = load_file(file)
        if not {"model", "average"} <= set(tensors) or not isinstance(state.get("step"), int):
            raise CheckpointError("model.safetensors, average.safetensors or the step is missing")
        file = path / "optimizers.pt"
        optimizers = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle, zip and safetensors raise many types on damaged bytes
        raise CheckpointError(f"The checkpoint {path} is damaged, its {file.name}: {reason_of(error)}.") from error
    return tensors, optimizers, state


def load_newest_checkpoint(folder: Path) -> Contents | None:
    """The newest checkpoint that can be read, with a warning for each damaged one before it; None if there is none.

    Raises:
        CheckpointError: if there are checkpoints and all are damaged: a run never starts over by itself.
    """
    found = list_checkpoints(folder)
    for path in reversed(found):
        try:
            return load_checkpoint(path)
        except CheckpointError as error:
            older = "Trying the one before." if path != found[0] else "There is no older one."
            _logger.warning("%s %s", error, older)
    if found:
        raise CheckpointError(
            f"All {len(found)} checkpoints in {folder} are damaged. Restore one from a copy, or delete that folder to "
            "start the run over."
        )
    return None
