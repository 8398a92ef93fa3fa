"""`MemoryCache`: memory that was encoded already, kept from call to call."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Hashable

    from torch import nn

    from diffusionlm.denoiser.memory import ContextMemory

LIMIT = 256 * 2**20


@dataclass(frozen=True)
class CacheInfo:
    """What a cache holds.

    Attributes:
        pieces: passages, concepts, images, sounds that are encoded.
        bytes: of them.
        limit: bytes at most; the longest unused go first.
        hits: how often one was there already.
        misses: how often one had to be encoded.
    """

    pieces: int
    bytes: int
    limit: int
    hits: int
    misses: int


class MemoryCache:
    """Encoded pieces by their content; emptied by itself when the weights change.

    Prompts and known text are not kept: they differ from call to call.

    Args:
        limit: bytes at most; 0 keeps nothing.

    Example:
        >>> pipe.context_cache.info()  # doctest: +SKIP
        CacheInfo(pieces=4, bytes=1105920, limit=268435456, hits=12, misses=4)
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = limit
        self._held: OrderedDict[Hashable, ContextMemory] = OrderedDict()
        self._bytes = self._hits = self._misses = 0
        self._weights: Any = None
        self._lock = Lock()

    def info(self) -> CacheInfo:
        """What it holds, and how often it helped."""
        with self._lock:
            return CacheInfo(len(self._held), self._bytes, self.limit, self._hits, self._misses)

    def clear(self) -> None:
        """Forgets all pieces, and the counts."""
        with self._lock:
            self._empty()
            self._hits = self._misses = 0

    def serves(self, network: nn.Module) -> bool:
        """Whether it can be used for a pass now; memories of other weights are forgotten first.

        Not while gradients are recorded, and not for a network with adapters, which calls switch.
        """
        if not self.limit or torch.is_grad_enabled() or getattr(network, "peft_config", None):
            return False
        if any(parameter.is_inference() for parameter in network.parameters()):  # these do not tell that they changed
            return False
        weights = tuple((p.data_ptr(), p._version, p.dtype, p.device) for p in network.parameters())
        with self._lock:
            if weights != self._weights:
                self._empty()
                self._weights = weights
        return True

    def get(self, key: Hashable) -> ContextMemory | None:
        """The memory of a piece, or None."""
        with self._lock:
            found = self._held.get(key)
            if found is None:
                self._misses += 1
            else:
                self._hits += 1
                self._held.move_to_end(key)
            return found

    def put(self, key: Hashable, memory: ContextMemory) -> None:
        """Keeps the memory (1, ...) of a piece; the longest unused go."""
        with self._lock:
            if key not in self._held:
                self._held[key] = memory
                self._bytes += _size(memory)
            while self._bytes > self.limit:
                self._bytes -= _size(self._held.popitem(last=False)[1])

    def _empty(self) -> None:
        self._held.clear()
        self._bytes = 0


def _size(memory: ContextMemory) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in (*memory.keys, *memory.values))
