"""Temperatures: one for all calls, or one for each of some numbers of steps and what lies between."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

LOWEST, HIGHEST = 1e-6, 1e6


def check_temperature(value: Any) -> float:
    """A positive, finite number as Python's own.

    Raises:
        ValueError: if it is none.
    """
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not (number and 0 < value < math.inf):
        raise ValueError(f"temperature must be positive and finite, got {value!r}; 1 samples the model as it is.")
    if not LOWEST <= value <= HIGHEST:  # its reciprocal scales logarithms in single precision
        shown = f"{value:.3g}" if value < 1e300 else "a larger one"
        raise ValueError(f"temperature must lie in {LOWEST:g}..{HIGHEST:g}, got {shown}; 1 samples the model as it is.")
    return float(value)


def read_temperatures(value: Any) -> dict[int, float]:
    """Temperatures by number of steps, from a number or a mapping (with strings for keys where it comes from JSON).

    Raises:
        ValueError: for anything but positive, finite temperatures of whole numbers of steps.
    """
    if not isinstance(value, Mapping):
        check_temperature(value)
        return {32: float(value)}
    found = {}
    for steps, temperature in value.items():
        check_temperature(temperature)
        if not str(steps).isdecimal() or int(steps) < 1:
            raise ValueError(f"temperature maps numbers of steps, such as 16, to temperatures; got the key {steps!r}.")
        found[int(steps)] = float(temperature)
    if not found:
        raise ValueError("temperature is an empty mapping; give a number, or at least one number of steps.")
    return found


def interpolate(temperatures: Mapping[int, float], steps: int) -> float:
    """The temperature for a number of steps: linear in log(steps) between those given, constant outside."""
    known = sorted(temperatures)
    return float(np.interp(math.log(steps), [math.log(n) for n in known], [temperatures[n] for n in known]))
