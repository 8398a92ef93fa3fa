"""The weights of a network without its adapters, and the checksum by which an adapter knows its base."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

_NOTED = "_base_checksum"  # of a network whose weights are no longer held as they were saved
_WRAPPED = ".base_layer."  # PEFT's name for the layer inside an adapted one


def base_state(denoiser: nn.Module) -> dict[str, Tensor]:
    """Weights of the network under its own names, those of adapters left out."""
    state = denoiser.state_dict()
    adapted = tuple({name.partition(_WRAPPED)[0] + "." for name in state if _WRAPPED in name})
    if not adapted:
        return state
    return {
        name.replace(_WRAPPED, "."): value
        for name, value in state.items()
        if _WRAPPED in name or not name.startswith(adapted)
    }


def base_checksum(denoiser: nn.Module) -> str:
    """SHA-256 of names, shapes and float32 values of the network without its adapters, or the one that was noted."""
    noted = getattr(denoiser, _NOTED, None)
    if noted is not None:
        return noted
    digest = hashlib.sha256()
    for name, value in sorted(base_state(denoiser).items()):
        digest.update(f"{name} {tuple(value.shape)}\n".encode())
        digest.update(value.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def note_checksum(denoiser: nn.Module) -> None:
    """Notes the checksum of now: called before the weights are held in another precision."""
    object.__setattr__(denoiser, _NOTED, base_checksum(denoiser))


def drop_checksum(denoiser: nn.Module) -> None:
    """Forgets the noted checksum: called when the weights have changed."""
    vars(denoiser).pop(_NOTED, None)


def held_in_4_bits(denoiser: nn.Module) -> bool:
    """True if some of the weights are quantised."""
    return any(getattr(parameter, "quant_state", None) is not None for parameter in denoiser.parameters())
