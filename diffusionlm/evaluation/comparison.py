"""Two evaluations beside each other: the difference of every figure, by a bootstrap over what both measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from diffusionlm.evaluation.figures import KINDS, Figure, measure


@dataclass(frozen=True)
class Difference:
    """A figure of two runs.

    Attributes:
        task: its task.
        name: of the figure.
        first: in run A.
        second: in run B.
        difference: B - A.
        low: lower end of the 95 % interval of the difference, None if it cannot be had.
        high: upper end.
        paired: whether the same items were drawn in both: same targets, same seeds.
        verdict: "better", "worse", "no difference seen", "changed" (neither direction is better), or "" without interval.
        unit: of the figure.
        label: warnings of either side.
    """

    task: str
    name: str
    first: float
    second: float
    difference: float
    low: float | None
    high: float | None
    paired: bool
    verdict: str
    unit: str = ""
    label: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def compare_results(
    first: Mapping[str, Any], second: Mapping[str, Any], resamples: int = 1000, seed: int = 0
) -> tuple[list[Difference], list[str]]:
    """Every figure that both records have, and what stands in the way of comparing them.

    Args:
        first: a record, as `diffusionlm.evaluation.harness.read_results` gives it.
        second: another.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        ValueError: the records were written by different versions, or have no figure in common.
    """
    if first["version"] != second["version"]:
        raise ValueError(
            f"A was measured by diffusionlm {first['version']}, B by {second['version']}: what a figure means may have "
            "changed. Run both with one version."
        )
    notes = []
    for key in sorted(set(first["settings"]) | set(second["settings"])):
        a, b = first["settings"].get(key), second["settings"].get(key)
        if a != b:
            notes.append(f"{key}: {a} in A, {b} in B")
    for name, record in (("A", first), ("B", second)):
        if not record.get("complete", True):
            notes.append(f"{name} was interrupted: some of its tasks are missing")
    if first["environment"].get("processor") != second["environment"].get("processor"):
        notes.append("other machines: times and electricity do not compare")
    found = []
    for task in first["tasks"]:
        if task not in second["tasks"]:
            notes.append(f"{task}: only in A")
            continue
        ours, theirs = (_figures(record["tasks"][task]) for record in (first, second))
        judged = first["settings"].get("judge") == second["settings"].get("judge")
        for name in ours:
            if name in theirs and ours[name].value is not None and theirs[name].value is not None:
                if not judged and "perplexity" in name:
                    continue  # two judges: nothing to compare
                found.append(_difference(task, ours[name], theirs[name], resamples, seed))
    notes += [f"{task}: only in B" for task in second["tasks"] if task not in first["tasks"]]
    if not found:
        raise ValueError("The two evaluations have no figure in common: run the same tasks for both.")
    return found, notes


def _figures(task: Mapping[str, Any]) -> dict[str, Figure]:
    return {item["name"]: Figure.from_dict(item) for item in task.get("figures", [])}


def _difference(task: str, a: Figure, b: Figure, resamples: int, seed: int) -> Difference:
    if a.kind and a.kind == b.kind and KINDS[a.kind].repeats_bias and len(a.items) != len(b.items):
        size = min(len(a.items), len(b.items))  # these figures grow with the number of texts: equal numbers only
        a, b = (measure(figure.name, a.kind, figure.items[:size], unit=a.unit, better=a.better) for figure in (a, b))
    assert a.value is not None
    assert b.value is not None
    paired = bool(a.pairing) and a.pairing == b.pairing and len(a.items) == len(b.items)
    low = high = None
    if a.kind and a.kind == b.kind and min(len(a.items), len(b.items)) > 1:
        kind = KINDS[a.kind]
        data = [kind.prepare(figure.items) for figure in (a, b)]
        draw = np.random.default_rng(seed)
        values = []
        for _ in range(min(resamples, kind.resamples)):
            chosen = draw.integers(len(a.items), size=len(a.items))
            other = chosen if paired else draw.integers(len(b.items), size=len(b.items))
            values.append(kind.value(data[1], other) - kind.value(data[0], chosen))
        values = [value for value in values if math.isfinite(value)]
        if values:
            low, high = (float(end) for end in np.quantile(values, [0.025, 0.975]))
    return Difference(
        task,
        a.name,
        a.value,
        b.value,
        b.value - a.value,
        low,
        high,
        paired,
        _verdict(low, high, a.better),
        a.unit,
        a.label or b.label,
    )


def _verdict(low: float | None, high: float | None, better: str) -> str:
    if low is None or high is None:
        return ""
    if low <= 0 <= high:
        return "no difference seen"
    if not better:
        return "changed"
    return "better" if (low > 0) == (better == "higher") else "worse"


def to_markdown(differences: list[Difference], notes: list[str], names: tuple[str, str]) -> str:
    """A table, and what stands in the way."""
    lines = [
        f"A: {names[0]}",
        f"B: {names[1]}",
        "",
        "| task | figure | A | B | B - A (95 %) | B is |",
        "|---|---|---|---|---|---|",
    ]
    for item in differences:
        show = (lambda value: f"{value:.1%}") if item.unit == "%" else (lambda value: f"{value:.4g}")
        ends = "" if item.low is None or item.high is None else f" ({show(item.low)} to {show(item.high)})"
        verdict = item.verdict + ("" if item.paired or not item.verdict else ", unpaired")
        label = f" [{item.label}]" if item.label else ""
        lines.append(
            f"| {item.task} | {item.name}{label} | {show(item.first)} | {show(item.second)} "
            f"| {show(item.difference)}{ends} | {verdict} |"
        )
    if notes:
        lines += ["", "What differs besides:", "", *(f"- {note}" for note in notes)]
    return "\n".join(lines)
