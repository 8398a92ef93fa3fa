"""Weights of others: safetensors read by name, renamed, and put into a class of ours or of transformers. Never pickles."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from diffusionlm.errors import reason_of

if TYPE_CHECKING:
    from torch import Tensor, nn

ONE, INDEX = "model.safetensors", "model.safetensors.index.json"


def check_weights(folder: Path) -> None:
    """Raises FileNotFoundError where a folder has no safetensors, ValueError where one is cut short."""
    if not (folder / ONE).is_file() and not (folder / INDEX).is_file():
        pickles = [p.name for p in folder.glob("*") if p.suffix in (".bin", ".pt", ".pth", ".ckpt")]
        hint = f" ({', '.join(pickles)} is a pickle and is never loaded; convert it to safetensors)" if pickles else ""
        raise FileNotFoundError(f"{folder} has no {ONE}{hint}.")
    for file in files_of(folder):
        try:
            with safe_open(file, "pt"):  # reads the header alone, and compares it with the size
                pass
        except (SafetensorError, OSError) as error:
            raise ValueError(f"The weights {file} are damaged ({reason_of(error)}); fetch them again.") from error


def files_of(folder: Path) -> list[Path]:
    """The files that hold the weights of a folder.

    Raises:
        ValueError: if the list of several is damaged.
    """
    if (folder / ONE).is_file():
        return [folder / ONE]
    try:
        return sorted({folder / name for name in json.loads((folder / INDEX).read_text())["weight_map"].values()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{folder / INDEX} cannot be read ({reason_of(error)}); fetch it again.") from error


def read_weights(folder: Path) -> dict[str, Tensor]:
    """All tensors of a folder, of one file or of several.

    Raises:
        FileNotFoundError: if there are none.
        ValueError: if a file is damaged.
    """
    check_weights(folder)
    weights: dict[str, Tensor] = {}
    for file in files_of(folder):
        try:
            weights |= load_file(file)
        except (SafetensorError, OSError) as error:
            raise ValueError(f"The weights {file} are damaged ({error}); fetch them again.") from error
    return weights


def fill(
    module: nn.Module,
    weights: dict[str, Tensor],
    rename: Callable[[str], str | None],
    where: Path,
    dtype: torch.dtype | None = None,
    may_lack: tuple[str, ...] = (),
) -> None:
    """Puts weights into a network.

    Args:
        module: the network.
        weights: by their name in the file.
        rename: name in the file -> name in the network, or None for what is left out.
        where: for messages.
        dtype: to give them; None leaves them.
        may_lack: names that a file need not have, such as tied ones.

    Raises:
        ValueError: if names or shapes do not fit.
    """
    renamed = {new: value for name, value in weights.items() if (new := rename(name)) is not None}
    bad = [
        name for name, value in renamed.items() if value.is_floating_point() and not bool(torch.isfinite(value).all())
    ]
    if bad:
        raise ValueError(f"The weights in {where} hold NaN or infinite numbers in {', '.join(bad[:3])}.")
    if dtype is not None:
        renamed = {name: value.to(dtype) for name, value in renamed.items()}
    try:
        found = module.load_state_dict(renamed, strict=False, assign=True)
    except RuntimeError as error:
        raise ValueError(
            f"The weights in {where} do not fit its config.json: {' '.join(str(error).split())[:300]}"
        ) from error
    missing = [name for name in found.missing_keys if name not in may_lack]
    if missing or found.unexpected_keys:
        said = [
            f"{kind}: {', '.join(names[:3])}"
            for kind, names in (("missing", missing), ("unknown", found.unexpected_keys))
            if names
        ]
        raise ValueError(f"The weights in {where} do not fit its config.json ({'; '.join(said)}).")
