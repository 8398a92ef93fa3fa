"""One picture of a run from its log: the bound on held-out text, the loss, and what it wrote on the way."""

from __future__ import annotations

import json
import textwrap
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from diffusionlm.training.reporting import MEASURED

PLOT_FILE = "training.png"
_SHOWN = 5  # moments whose samples are shown
_WIDTH = 92  # characters


def can_plot() -> bool:
    """True if matplotlib is installed (extra ``plots``)."""
    return find_spec("matplotlib") is not None


def plot_run(log: Path, target: Path) -> bool:
    """Draws the log of a run; returns whether there was anything to draw.

    Args:
        log: ``log.jsonl`` of the run.
        target: the picture; its ending decides the format.
    """
    entries = _entries(log)
    losses = [(e["step"], e["loss"]) for e in entries if "loss" in e]
    held_out = next((name for name in MEASURED if any(name in e for e in entries)), "valid_bound")
    bounds = [(e["step"], e[held_out]) for e in entries if held_out in e]
    samples = [(e["step"], e["samples"]) for e in entries if e.get("samples")]
    if not (losses or bounds):
        return False
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 8.5), layout="constrained")
    FigureCanvasAgg(figure)
    top, bottom = figure.subplots(2, 1, height_ratios=(1, 1.2))
    if losses:
        adapts = " (the schedule adapts to it)" * (held_out == "valid_bound")
        top.plot(*zip(*losses, strict=True), color="0.75", linewidth=1, label=f"training loss{adapts}")
    if bounds:
        top.plot(*zip(*bounds, strict=True), "o-", color="C0", label=f"{MEASURED[held_out]}, on held-out text")
    top.set(xlabel="step", ylabel="nats per token")
    top.legend(frameon=False)
    top.spines[["top", "right"]].set_visible(False)
    bottom.axis("off")
    bottom.text(0, 1, _told(samples), family="monospace", fontsize=8, va="top", transform=bottom.transAxes)
    draft = target.with_name(f".draft_{target.name}")
    try:
        with warnings.catch_warnings():  # a young byte model writes characters that no font has: boxes in the picture
            warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
            figure.savefig(draft, format=target.suffix.removeprefix("."), dpi=110)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    return True


def _told(samples: list[tuple[int, list[str]]]) -> str:
    """Samples of the first, the last and some moments between, two of each."""
    if not samples:
        return ""
    last = len(samples) - 1
    chosen = sorted({round(i * last / (_SHOWN - 1)) for i in range(_SHOWN)})
    parts = []
    for number in chosen:
        step, texts = samples[number]
        lines = [textwrap.shorten(text.replace("$", r"\$"), 2 * _WIDTH, placeholder="...") for text in texts[:2]]
        wrapped = [textwrap.fill(line, _WIDTH, initial_indent="  ", subsequent_indent="    ") for line in lines]
        parts.append("\n".join([f"step {step:,}", *wrapped]))
    return "\n".join(parts)


def _entries(log: Path) -> list[dict[str, Any]]:
    found = []
    for line in log.read_text(encoding="utf-8").splitlines() if log.is_file() else ():
        try:
            entry = json.loads(line)
        except ValueError:  # a line that a kill cut short
            continue
        if isinstance(entry, dict) and "step" in entry:
            found.append(entry)
    return found
