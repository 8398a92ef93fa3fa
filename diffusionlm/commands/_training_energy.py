"""Electricity of a training run: one line for each call of ``diffusionlm train``, and their sum for the model's card."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffusionlm.evaluation.electricity import EnergyMeter

ENERGY_FILE = "energy.jsonl"
_SUMS = ("wh", "cpu_wh", "memory_wh", "gpu_wh", "co2_grams", "seconds")


@contextmanager
def measured(trainer: Any, meter: EnergyMeter | None, folder: Path) -> Iterator[None]:
    """Measures what the block trains and appends it to ``energy.jsonl``, also where the block is interrupted.

    Args:
        trainer: whose ``step`` tells from where to where.
        meter: None measures nothing.
        folder: of the run.
    """
    if meter is None:
        yield
        return
    began = trainer.step
    try:
        with meter.measure() as energy:
            yield
    finally:
        line = {"from_step": began, "to_step": trainer.step, "date": datetime.now(UTC).isoformat(timespec="seconds")}
        folder.mkdir(parents=True, exist_ok=True)
        place = folder / ENERGY_FILE
        torn = place.is_file() and not place.read_bytes().endswith(
            b"\n"
        )  # half a line of a killed call stays by itself
        with place.open("a", encoding="utf-8") as file:
            file.write("\n" * torn + json.dumps(line | energy.to_dict()) + "\n")


def measured_so_far(folder: Path) -> dict[str, Any] | None:
    """The sum over all calls, with the steps that were measured; None where nothing was.

    Steps that a killed call lost and the next one made again count twice, as their electricity does; a call that was killed
    has left no line.
    """
    file = folder / ENERGY_FILE
    if not file.is_file():
        return None
    lines = []
    for line in file.read_text(encoding="utf-8").splitlines():
        with suppress(ValueError):  # half a line, or none
            lines.append(json.loads(line))
    if not lines:
        return None
    return {
        **{name: sum(line[name] for line in lines) for name in _SUMS},
        "steps": sum(line["to_step"] - line["from_step"] for line in lines),
        "country": ", ".join(dict.fromkeys(line["country"] for line in lines)),
        "how": "; ".join(dict.fromkeys(line["how"] for line in lines)),
    }


def told(energy: dict[str, Any]) -> str:
    """One line for people."""
    return (
        f"Electricity of {energy['steps']:,} steps: {energy['wh']:.3g} Wh (processor {energy['cpu_wh']:.3g}, memory "
        f"{energy['memory_wh']:.3g}, GPU {energy['gpu_wh']:.3g}), {energy['co2_grams']:.3g} g CO2 by the mix of "
        f"{energy['country']}; {energy['how']}; memory at constant power over the wall time"
    )
