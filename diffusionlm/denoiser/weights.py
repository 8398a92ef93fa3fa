"""Checks of loaded weights: complete, undamaged, finite."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def check_finite(model: nn.Module) -> None:
    """Makes sure that every parameter of ``model`` is finite.

    Raises:
        ValueError: naming the first parameter with NaN or infinite values, and how many there are.
    """
    for name, parameter in model.named_parameters():
        finite = torch.isfinite(parameter.detach())
        if not finite.all():
            bad = int((~finite).sum())
            raise ValueError(
                f"The weights are damaged: {bad} of {parameter.numel()} values of {name!r} are NaN or infinite. "
                "Load another checkpoint, or train from one saved before the loss diverged."
            )


@contextmanager
def damaged_files_named(source: Any) -> Iterator[None]:
    """Turns safetensors' errors inside the block into an `OSError` that says which checkpoint is damaged."""
    try:
        yield
    except SafetensorError as error:
        raise OSError(
            f"The weights in {str(source)!r} are cut off or altered ({error}): copy or download the checkpoint again."
        ) from error


def check_complete(
    info: Mapping[str, Any], source: str, allow_missing: bool = False, ignore_shapes: bool = False
) -> None:
    """Makes sure that a checkpoint held the model's parameters, no fewer and no others.

    Args:
        info: transformers' loading info.
        source: where the checkpoint came from.
        allow_missing: accept parameters that the checkpoint lacks.
        ignore_shapes: accept parameters of another shape, which are initialised.

    Raises:
        ValueError: naming what is missing, unknown or of another shape.
    """
    missing, unknown = sorted(info["missing_keys"]), sorted(info["unexpected_keys"])
    misshapen = [f"{name} {tuple(given)}, not {tuple(wanted)}" for name, given, wanted in info["mismatched_keys"]]
    if misshapen and not ignore_shapes:
        raise ValueError(
            f"The checkpoint {source!r} does not fit its configuration ({_some(sorted(misshapen))}): "
            "check config.json against the weights."
        )
    if missing and not allow_missing:
        raise ValueError(
            f"The checkpoint {source!r} lacks {len(missing)} parameters of this configuration ({_some(missing)}): "
            "check config.json, or pass allow_missing=True to initialise them."
        )
    if unknown:
        raise ValueError(
            f"The checkpoint {source!r} holds {len(unknown)} parameters that this configuration does not know "
            f"({_some(unknown)}): check config.json against the weights."
        )


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
