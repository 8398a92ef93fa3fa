"""Checkpoints that a kill at any moment cannot spoil: written aside, then renamed; the newest complete one is resumed."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file

if TYPE_CHECKING:
    from torch import Tensor

PREFIX = "step_"
_COMPLETE = "state.json"


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
    """
    folder.mkdir(parents=True, exist_ok=True)
    target, draft = folder / f"{PREFIX}{step:08d}", folder / f".draft_{step:08d}"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    for name, values in tensors.items():
        save_file({key: value.detach().cpu().contiguous() for key, value in values.items()}, draft / f"{name}.safetensors")
    torch.save(optimizers, draft / "optimizers.pt")
    (draft / _COMPLETE).write_text(json.dumps({"step": step, **state}))
    for path in draft.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    if target.exists():
        shutil.rmtree(target)
    draft.rename(target)
    for old in list_checkpoints(folder)[:-keep]:
        shutil.rmtree(old)
    return target


def list_checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints, oldest first."""
    return sorted(path for path in folder.glob(f"{PREFIX}*") if (path / _COMPLETE).is_file())


def load_checkpoint(path: Path) -> tuple[dict[str, dict[str, Tensor]], list[dict[str, Any]], dict[str, Any]]:
    """What `save_checkpoint` was given; optimiser states are read without executing anything (``weights_only``)."""
    tensors = {file.stem: load_file(file) for file in sorted(path.glob("*.safetensors"))}
    optimizers = torch.load(path / "optimizers.pt", map_location="cpu", weights_only=True)
    return tensors, optimizers, json.loads((path / _COMPLETE).read_text())
