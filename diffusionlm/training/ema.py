"""Exponential moving average of the weights, in float32."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Iterator


class WeightAverage:
    """Average of the parameters that learn; the decay rises to its value, so that early averages are not stuck at the start.

    Args:
        model: whose parameters.
        decay: in [0, 1).
    """

    def __init__(self, model: nn.Module, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"The decay of the weight average must lie in [0, 1), got {decay}.")
        self.decay = decay
        self.names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
        self.average = [parameter.detach().float().clone() for parameter in _learning(model)]

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Moves towards the model's weights after optimiser step ``step`` (from 0)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        current = [parameter.detach().float() for parameter in _learning(model)]
        torch._foreach_lerp_(self.average, current, 1 - decay)

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """The model carries the averaged weights inside the block, its own afterwards."""
        kept = [parameter.detach().clone() for parameter in _learning(model)]
        try:
            self._write(model, self.average)
            yield
        finally:
            self._write(model, kept)

    @torch.no_grad()
    def _write(self, model: nn.Module, values: list[Tensor]) -> None:
        for parameter, value in zip(_learning(model), values, strict=True):
            parameter.copy_(value)

    def state_dict(self) -> dict[str, Tensor]:
        """Averages by parameter name."""
        return dict(zip(self.names, self.average, strict=True))

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restores `state_dict`, on the devices the averages are on.

        Raises:
            KeyError: if an average is missing.
            ValueError: if one has another shape.
        """
        for name, value in zip(self.names, self.average, strict=True):
            if state[name].shape != value.shape:
                found, own = tuple(state[name].shape), tuple(value.shape)
                raise ValueError(f"The average of {name} has shape {found}, not {own}.")
        with torch.no_grad():
            for name, value in zip(self.names, self.average, strict=True):
                value.copy_(state[name])


def _learning(model: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]
