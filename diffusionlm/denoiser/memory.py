"""`ContextMemory`: what the spans may look at, as cached keys and values of every block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class ContextMemory:
    """Keys and values of encoded context; made by ``SpanDenoiser.encode_context``.

    Attributes:
        keys: one tensor (B, H, M, head_dim) a block, rotated already.
        values: likewise.
        mask: (B, M) bool, True where a position may be attended.
        position_ids: (B, M) float or int, for ALiBi.
    """

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    mask: Tensor
    position_ids: Tensor

    @property
    def batch_size(self) -> int:
        """B."""
        return self.mask.shape[0]

    @property
    def length(self) -> int:
        """M."""
        return self.mask.shape[1]

    def repeat(self, n: int) -> ContextMemory:
        """Each sample ``n`` times in a row: (B, ...) -> (B n, ...), for several generations of one input."""
        if n < 1:
            raise ValueError(f"A memory is repeated at least once, got {n}.")
        return self if n == 1 else self._map(lambda tensor: tensor.repeat_interleave(n, dim=0))

    def select(self, rows: Tensor) -> ContextMemory:
        """The samples at ``rows`` (N,) in that order; used when candidates are resampled."""
        return self._map(lambda tensor: tensor.index_select(0, rows))

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> ContextMemory:
        """Moves the memory; ``dtype`` acts on keys and values only."""
        return ContextMemory(
            tuple(key.to(device=device, dtype=dtype) for key in self.keys),
            tuple(value.to(device=device, dtype=dtype) for value in self.values),
            self.mask.to(device=device),
            self.position_ids.to(device=device),
        )

    @staticmethod
    def concat(memories: Sequence[ContextMemory]) -> ContextMemory:
        """Several sources side by side along M.

        Raises:
            ValueError: if there are none, or their batch sizes or blocks differ.
        """
        if not memories:
            raise ValueError("ContextMemory.concat needs at least one memory.")
        if len({(memory.batch_size, len(memory.keys)) for memory in memories}) > 1:
            shapes = [(memory.batch_size, len(memory.keys)) for memory in memories]
            raise ValueError(f"Memories must agree in batch size and number of blocks, got {shapes}.")
        if len(memories) == 1:
            return memories[0]
        blocks = range(len(memories[0].keys))
        return ContextMemory(
            tuple(torch.cat([memory.keys[i] for memory in memories], dim=2) for i in blocks),
            tuple(torch.cat([memory.values[i] for memory in memories], dim=2) for i in blocks),
            torch.cat([memory.mask for memory in memories], dim=1),
            torch.cat([memory.position_ids.float() for memory in memories], dim=1),
        )

    def _map(self, function) -> ContextMemory:  # noqa: ANN001
        return ContextMemory(
            tuple(map(function, self.keys)),
            tuple(map(function, self.values)),
            function(self.mask),
            function(self.position_ids),
        )
