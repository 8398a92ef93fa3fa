"""`Kept`: what was compiled last, by key, within a number of bytes; several threads may ask."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import RLock
from typing import Any, Generic, TypeVar

import numpy as np
import torch

T = TypeVar("T")
MEGABYTES = 256


class Kept(Generic[T]):
    """The last things that were made, so that asking for them again costs nothing.

    Automata differ in size by five orders of magnitude, so bytes are counted and not things. The newest always stays,
    however large it is.

    Args:
        megabytes: of arrays that are kept at most.

    Example:
        >>> squares = Kept(megabytes=1)
        >>> squares.get(3, lambda: 9), squares.get(3, lambda: 0)
        (9, 9)
    """

    def __init__(self, megabytes: float = MEGABYTES) -> None:
        self.limit = int(megabytes * 2**20)
        self._things: OrderedDict[Hashable, tuple[T, int]] = OrderedDict()
        self._bytes = 0
        self._lock = RLock()

    def __len__(self) -> int:
        return len(self._things)

    @property
    def bytes(self) -> int:
        """Bytes of arrays in what is kept."""
        return self._bytes

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The thing of a key, made if it is not there. Two threads that ask at once may both make it; one of the two is kept.

        Args:
            key: what it depends on.
            make: makes it; what it raises is passed on, and nothing is kept.
        """
        with self._lock:
            if key in self._things:
                self._things.move_to_end(key)
                return self._things[key][0]
        made = make()
        size = array_bytes(made)
        with self._lock:
            if key in self._things:
                return self._things[key][0]
            self._things[key] = (made, size)
            self._bytes += size
            while self._bytes > self.limit and len(self._things) > 1:
                self._bytes -= self._things.popitem(last=False)[1][1]
        return made

    def clear(self) -> None:
        """Forgets everything."""
        with self._lock:
            self._things.clear()
            self._bytes = 0


def array_bytes(thing: Any) -> int:
    """Bytes of the arrays and tensors that a thing holds, in attributes and containers too; each is counted once."""
    seen: set[int] = set()
    waiting, total = [thing], 0
    while waiting:
        item = waiting.pop()
        if id(item) in seen or isinstance(item, str | bytes | int | float | bool | type | None):
            continue
        seen.add(id(item))
        if isinstance(item, np.ndarray | torch.Tensor):
            total += item.nbytes
        elif isinstance(item, dict):
            waiting.extend(item.values())
        elif isinstance(item, list | tuple | set | frozenset):
            waiting.extend(item)
        elif type(item).__module__.startswith("diffusionlm."):
            waiting.extend(vars(item).values() if hasattr(item, "__dict__") else ())
    return total
