"""Times that hold on a shared machine: calls take turns, each has its wall time and the processor's, ratios within a round."""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class Timing:
    """Times of a call, one for each round.

    Attributes:
        wall: seconds that passed.
        cpu: seconds of processor time of this process, all threads together.
    """

    wall: tuple[float, ...]
    cpu: tuple[float, ...]

    @property
    def median_wall(self) -> float:
        """Median of the wall times, in seconds."""
        return statistics.median(self.wall)

    @property
    def median_cpu(self) -> float:
        """Median of the processor times, in seconds."""
        return statistics.median(self.cpu)

    def to_dict(self) -> dict[str, Any]:
        """Medians and all times."""
        return {"wall": self.median_wall, "cpu": self.median_cpu, "walls": list(self.wall), "cpus": list(self.cpu)}


def take_turns(calls: Mapping[str, Callable[[], Any]], rounds: int = 3, warm: bool = True) -> dict[str, Timing]:
    """Times of every call, made in turns, so that what else the machine does hits all alike.

    Args:
        calls: by name.
        rounds: how often each is made.
        warm: make each once before, uncounted.

    Raises:
        ValueError: no calls, or no rounds.
    """
    if not calls or rounds < 1:
        raise ValueError(f"take_turns needs a call and a round or more, got {len(calls)} calls and {rounds} rounds.")
    wall: dict[str, list[float]] = {name: [] for name in calls}
    cpu: dict[str, list[float]] = {name: [] for name in calls}
    if warm:
        for call in calls.values():
            call()
    for _ in range(rounds):
        for name, call in calls.items():
            began, used = time.perf_counter(), time.process_time()
            call()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            wall[name].append(time.perf_counter() - began)
            cpu[name].append(time.process_time() - used)
    return {name: Timing(tuple(wall[name]), tuple(cpu[name])) for name in calls}


@dataclass(frozen=True)
class TimeRatio:
    """Ratio of the times of two calls: median over the rounds, with quartiles."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


def ratio_of(slow: Timing, quick: Timing, clock: str = "cpu") -> TimeRatio:
    """Time of the first ÷ that of the second, round by round.

    Args:
        slow: the call above the line.
        quick: the call below it.
        clock: "cpu" or "wall".

    Raises:
        ValueError: they were not timed in the same rounds.
    """
    above, below = getattr(slow, clock), getattr(quick, clock)
    if len(above) != len(below):
        raise ValueError(f"Ratios are taken within a round; got {len(above)} and {len(below)} rounds.")
    ratios = [a / b for a, b in zip(above, below, strict=True)]
    low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
    return TimeRatio(float(middle), float(low), float(high))


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """k of seconds = c sizes^k, by least squares on logarithms: 0 is constant, 1 linear, 2 quadratic.

    Raises:
        ValueError: fewer than two sizes, or one that is not positive.
    """
    if len(set(sizes)) < 2 or min(*sizes, *seconds) <= 0:
        raise ValueError(f"An exponent needs two positive sizes or more, got {list(sizes)} and {list(seconds)}.")
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def peak_memory() -> dict[str, float]:
    """Highest memory of the process so far, in MiB; of the GPU too, where there is one. NaN where it cannot be read."""
    try:
        import resource

        unit = 2**20 if sys.platform == "darwin" else 2**10
        found = {"process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20}
    except ImportError:  # no such module on Windows
        found = {"process": math.nan}
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.max_memory_allocated() / 2**20
    return found
