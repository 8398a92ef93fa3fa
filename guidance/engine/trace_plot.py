"""The plot of a trace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from diffusionlm.guidance.engine.trace import Trace

PANELS = (
    ("measure", "measure"),
    ("weight", "weight"),
    ("kl", "KL of the plugin, nats per position"),
    ("entropy", "entropy of the guided posterior, nats per position"),
)


def plot(trace: Trace) -> Any:
    """Four panels over the steps; one line for each plugin, shaded between the 10th and 90th percentile of the samples.

    Raises:
        ImportError: if matplotlib is not installed, saying how to install it.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ImportError("The plot of a trace needs matplotlib: pip install 'diffusionlm-toolkit[plots]'.") from error

    records = trace.records()
    figure = Figure(figsize=(11, 7), layout="constrained")
    for axes, (column, title) in zip(figure.subplots(2, 2).flat, PANELS, strict=True):
        for name in dict.fromkeys(record["plugin"] for record in records):
            by_step: dict[int, list[float]] = {}
            for record in records:
                if record["plugin"] == name and record[column] is not None:
                    by_step.setdefault(record["step"], []).append(record[column])
            if not by_step:
                continue
            steps = sorted(by_step)
            axes.plot(steps, [np.mean(by_step[step]) for step in steps], label=name)
            low, high = (np.array([np.percentile(by_step[step], q) for step in steps]) for q in (10, 90))
            axes.fill_between(steps, low, high, alpha=0.2)
        axes.set_title(title)
        axes.set_xlabel("step")
        if axes.has_data():
            axes.legend()
    return figure
