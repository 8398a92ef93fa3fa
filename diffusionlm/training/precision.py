"""The faster of float32 and bfloat16 on a machine: two matrix products are timed, once for each process and device."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache

import torch

_SIZE = {"cpu": 256}  # of the square matrices; accelerators need larger ones
_LARGE = 4096
_SECONDS = 0.05
_CLEARLY = 1.2  # times faster, so that two timings of one machine choose alike


@dataclass(frozen=True)
class Precision:
    """A precision to train in, and the reason.

    Attributes:
        half: bfloat16 (autocast) rather than float32.
        reason: for people, half a sentence.
    """

    half: bool
    reason: str


def choose_precision(asked: str, device: torch.device) -> Precision:
    """The precision of a run: what was ``asked`` for ("no", "bf16"), or with "auto" what is clearly faster on ``device``."""
    if asked != "auto":
        return Precision(asked == "bf16", "asked for")
    full, half = (matrix_rate(dtype, device) for dtype in (torch.float32, torch.bfloat16))
    return Precision(half > _CLEARLY * full, f"{half / 1e9:,.3g} GFLOP/s in bfloat16, {full / 1e9:,.3g} in float32")


def faster_dtype(device: torch.device) -> torch.dtype:
    """``torch.bfloat16`` where matrix products in it are faster on ``device`` than in float32, else ``torch.float32``."""
    return torch.bfloat16 if choose_precision("auto", device).half else torch.float32


@lru_cache
def matrix_rate(dtype: torch.dtype, device: torch.device = torch.device("cpu")) -> float:  # noqa: B008
    """Floating-point operations a second that products of square matrices reach on ``device``: the best of a few."""
    size = _SIZE.get(device.type, _LARGE)
    one, other = torch.ones(2, size, size, dtype=dtype, device=device).unbind()
    best, end = float("inf"), None
    while end is None or time.perf_counter() < end:
        _finish(device)
        began = time.perf_counter()
        torch.mm(one, other)
        _finish(device)
        if end is None:  # the first one warms up
            end = time.perf_counter() + _SECONDS
        else:
            best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best if best < float("inf") else 2 * size**3 / max(time.perf_counter() - began, 1e-9)


def _finish(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
