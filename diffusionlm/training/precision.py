"""Which of float32 and bfloat16 a machine is fast in: two matrix products are timed once, when somebody asks."""

from __future__ import annotations

import time
from functools import lru_cache

import torch

_SIZE = 256


def faster_dtype(device: torch.device | str = "cpu") -> torch.dtype:
    """``torch.bfloat16`` where products in it are faster on ``device`` than in float32, else ``torch.float32``."""
    device = torch.device(device)
    if device.type != "cpu":
        return torch.bfloat16
    return torch.bfloat16 if matrix_rate(torch.bfloat16) > matrix_rate(torch.float32) else torch.float32


@lru_cache
def matrix_rate(dtype: torch.dtype, seconds: float = 0.05) -> float:
    """Floating-point operations a second that this process reaches in products of square matrices on the CPU."""
    a, b = torch.ones(2, _SIZE, _SIZE, dtype=dtype).unbind()
    torch.mm(a, b)
    best, end = float("inf"), time.perf_counter() + seconds
    while True:
        began = time.perf_counter()
        torch.mm(a, b)
        best = min(best, time.perf_counter() - began)
        if time.perf_counter() > end:
            return 2 * _SIZE**3 / best
