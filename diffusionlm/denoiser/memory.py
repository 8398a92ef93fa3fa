"""`ContextMemory`: what the spans may look at, as cached keys and values of every block."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from diffusionlm.denoiser.copy_bias import CopyBias
    from diffusionlm.denoiser.experts import RouterStatistics


@dataclass(frozen=True)
class BlockMemory:
    """The memory as one block sees it.

    Attributes:
        keys: (B, H, M, head_dim).
        values: likewise.
        room: two tensors (B, H, M + L, head_dim) to join into, shared by all blocks of a pass, so that not every block
            allocates its own; None where gradients are recorded, for then every block's keys are needed later.
    """

    keys: Tensor
    values: Tensor
    room: tuple[Tensor, Tensor] | None = None

    def join(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Own keys and values (B, H, L, head_dim) behind those of the memory: (B, H, M + L, head_dim)."""
        keys, values = (self.keys.to(key.dtype), key), (self.values.to(value.dtype), value)
        if self.room is None or self.room[0].dtype != key.dtype:
            return torch.cat(keys, dim=2), torch.cat(values, dim=2)
        return torch.cat(keys, dim=2, out=self.room[0]), torch.cat(values, dim=2, out=self.room[1])


@dataclass(frozen=True)
class ContextMemory:
    """Keys and values of encoded context; made by ``SpanDenoiser.encode_context``.

    Attributes:
        keys: one tensor (B, H, M, head_dim) a block, rotated already.
        values: likewise.
        mask: (B, M) bool, True where a position may be attended.
        position_ids: (B, M) float or int, for ALiBi.
        sequence_length: length that RoPE's frequencies were fitted to; None unless the RoPE type depends on it.
        routers: what the routers did while encoding, for the training loss; empty for a dense network.
        copies: pairs of tokens that become likelier beside each other, each with the rows (B,) that they are for.
    """

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    mask: Tensor
    position_ids: Tensor
    sequence_length: int | None = None
    routers: tuple[RouterStatistics, ...] = ()
    copies: tuple[tuple[CopyBias, Tensor], ...] = ()

    @property
    def batch_size(self) -> int:
        """B, the number of rows."""
        return self.mask.shape[0]

    @property
    def length(self) -> int:
        """M, the number of memory positions."""
        return self.mask.shape[1]

    def blocks(self, own_length: int, dtype: torch.dtype) -> list[BlockMemory]:
        """The memory of each block, for a pass over ``own_length`` span positions in ``dtype``."""
        room = None
        if not torch.is_grad_enabled() and not torch.compiler.is_compiling():
            batch, heads, length, size = self.keys[0].shape
            shape = (batch, heads, length + own_length, size)
            room = (self.keys[0].new_empty(shape, dtype=dtype), self.keys[0].new_empty(shape, dtype=dtype))
        return [BlockMemory(key, value, room) for key, value in zip(self.keys, self.values, strict=True)]

    def repeat(self, n: int) -> ContextMemory:
        """Each sample ``n`` times in a row: (B, ...) -> (B n, ...), for several generations of one input.

        The repeats of a single sample share its storage: they cost no memory and no copy.

        Raises:
            ValueError: if ``n`` is less than 1.
        """
        if n < 1:
            raise ValueError(f"A memory is repeated at least once, got {n}.")
        if n == 1:
            return self
        if self.batch_size == 1:
            return self._map(lambda tensor: tensor.expand(n, *tensor.shape[1:]))
        return self._map(lambda tensor: tensor.repeat_interleave(n, dim=0))

    def select(self, rows: Tensor) -> ContextMemory:
        """The samples at ``rows`` (N,) in that order; used when candidates are resampled."""
        return self._map(lambda tensor: tensor.index_select(0, rows))

    def head(self, length: int) -> ContextMemory:
        """The first ``length`` positions: (B, M, ...) -> (B, length, ...)."""
        if length >= self.length:
            return self
        return replace(
            self,
            keys=tuple(key[:, :, :length] for key in self.keys),
            values=tuple(value[:, :, :length] for value in self.values),
            mask=self.mask[:, :length],
            position_ids=self.position_ids[:, :length],
        )

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> ContextMemory:
        """Moves the memory; ``dtype`` acts on keys and values only."""
        return replace(
            self,
            keys=tuple(key.to(device=device, dtype=dtype) for key in self.keys),
            values=tuple(value.to(device=device, dtype=dtype) for value in self.values),
            mask=self.mask.to(device=device),
            position_ids=self.position_ids.to(device=device),
            copies=tuple((bias, rows.to(device=device)) for bias, rows in self.copies),
        )

    @staticmethod
    def concat(memories: Sequence[ContextMemory]) -> ContextMemory:
        """Several sources side by side along M.

        Raises:
            ValueError: if there are none, or they differ in batch size, blocks or the length RoPE was fitted to.
        """
        if not memories:
            raise ValueError("ContextMemory.concat needs at least one memory.")
        kinds = [(memory.batch_size, len(memory.keys), memory.sequence_length) for memory in memories]
        if len(set(kinds)) > 1:
            raise ValueError(f"Memories must agree in batch size, number of blocks and sequence length, got {kinds}.")
        if len(memories) == 1:
            return memories[0]
        blocks = range(len(memories[0].keys))
        return ContextMemory(
            tuple(torch.cat([memory.keys[i] for memory in memories], dim=2) for i in blocks),
            tuple(torch.cat([memory.values[i] for memory in memories], dim=2) for i in blocks),
            torch.cat([memory.mask for memory in memories], dim=1),
            torch.cat([memory.position_ids.float() for memory in memories], dim=1),
            memories[0].sequence_length,
            tuple(statistics for memory in memories for statistics in memory.routers),
            tuple(pair for memory in memories for pair in memory.copies),
        )

    @staticmethod
    def stack(memories: Sequence[ContextMemory | None]) -> ContextMemory:
        """Rows (1, ...) of different length as one batch, padded behind; None is a row without memory.

        Raises:
            ValueError: if there is no memory among them.
        """
        held = [memory for memory in memories if memory is not None]
        if not held:
            raise ValueError("ContextMemory.stack needs at least one memory.")
        longest, first = max(memory.length for memory in held), held[0]

        def padded(parts: Sequence[Tensor | None], like: Tensor, axis: int) -> Tensor:
            shape = list(like.shape)
            shape[0], shape[axis] = len(parts), longest
            out = like.new_zeros(shape)
            for row, part in enumerate(parts):
                if part is not None:
                    out[row].narrow(axis - 1, 0, part.shape[axis]).copy_(part[0])
            return out

        def each(get: Callable[[ContextMemory], Tensor]) -> list[Tensor | None]:
            return [None if memory is None else get(memory) for memory in memories]

        blocks = range(len(first.keys))
        return ContextMemory(
            tuple(padded(each(lambda memory, i=i: memory.keys[i]), first.keys[i], 2) for i in blocks),  # type: ignore[misc]
            tuple(padded(each(lambda memory, i=i: memory.values[i]), first.values[i], 2) for i in blocks),  # type: ignore[misc]
            padded(each(lambda memory: memory.mask), first.mask, 1),
            padded(each(lambda memory: memory.position_ids.float()), first.position_ids.float(), 1),
            first.sequence_length,
        )

    def _map(self, function: Callable[[Tensor], Tensor]) -> ContextMemory:
        return replace(
            self,
            keys=tuple(map(function, self.keys)),
            values=tuple(map(function, self.values)),
            mask=function(self.mask),
            position_ids=function(self.position_ids),
            copies=tuple((bias, function(rows)) for bias, rows in self.copies),
        )
