"""Memory of finished work, given back to the system by a process that serves many.

Each thread of a server takes large blocks from a heap of its own, and glibc keeps what was freed there: a process that has
served an hour holds the sum of what each thread once needed. Where there is no glibc nothing is done, and nothing is needed.
"""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Callable
from functools import lru_cache
from threading import Lock

PAUSE = 5.0  # seconds: what is given back has to be asked for again by the next order
_lock = Lock()
_last = -PAUSE


@lru_cache(maxsize=1)
def _trim() -> Callable[[int], int] | None:
    """``malloc_trim`` of the C library, if it has one."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        found = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):  # musl
        return None
    found.argtypes, found.restype = [ctypes.c_size_t], ctypes.c_int
    return found


def give_back(pause: float = PAUSE) -> bool:
    """Gives freed memory back to the system, at most every ``pause`` seconds; returns whether it did."""
    global _last
    trim, now = _trim(), time.monotonic()
    with _lock:
        if trim is None or now - _last < pause:
            return False
        _last = now
    trim(0)
    return True
