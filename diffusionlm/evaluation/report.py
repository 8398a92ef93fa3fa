"""The report of an evaluation: Markdown to read, and one HTML file with its plots in it."""

from __future__ import annotations

import html
import importlib.util
import io
from collections.abc import Mapping
from typing import Any

from diffusionlm.evaluation.figures import Curve, Figure, TaskResult

_PARTS = {"processor": "cpu_wh", "memory": "memory_wh", "GPU": "gpu_wh"}
NO_PLOTS = "Plots need matplotlib: pip install 'diffusionlm-toolkit[plots]', then 'diffusionlm evaluate report FOLDER'."


def facts(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Subject, date, machine and protocol of the measurement, as pairs for a table."""
    settings, machine, energy = record["settings"], record["environment"], record["energy"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    data = ", ".join(f"{key} {value}" for key, value in settings["data"].items() if value) or "none"
    lines = [
        ("model", f"{record['checkpoint']['model']} ({record['checkpoint']['sha256'][:12]})"),
        ("guidance", str(settings["guidance"] or "none")),
        (
            "samples",
            f"{settings['steps']} steps, temperature {settings['temperature']:g}, {settings['dtype']}, "
            f"seed {settings['seed']}",
        ),
        ("judge of perplexity", str(settings["judge"])),
        ("data", data),
        ("date", record["date"]),
        (
            "machine",
            f"{machine['processor']}, {machine['cores']} cores, {machine['threads']} threads, {machine['device']}",
        ),
        ("wall time", f"{record['wall_seconds'] / 60:.1f} minutes; of the processor {record['cpu_seconds'] / 60:.1f}"),
        ("versions", versions),
    ]
    if energy:
        parts = ", ".join(f"{name} {energy[key]:.3g}" for name, key in _PARTS.items())
        shown = f"{energy['wh']:.3g} Wh ({parts})"
        lines += [
            ("electricity", f"{shown}; {energy['co2_grams']:.3g} g CO2 by the mix of {energy['country']}"),
            ("how estimated", f"{energy['how']}; memory at constant power over the wall time"),
        ]
    if not record["complete"]:
        lines.append(("state", "interrupted: the same command goes on"))
    return lines


SUMMARY_HEAD = ["task", "figure", "value (95 %)", "and how it reads", "minutes"]


def summary(record: Mapping[str, Any]) -> list[list[str]]:
    """A line for each task: its first figure, what it does to perplexity where it says so, and how long it took."""
    lines = []
    for name, task in record["tasks"].items():
        if task["left_out"]:
            continue
        figures = TaskResult.from_dict(task).figures
        first = figures[0] if figures else None
        price = next((item for item in figures[1:] if item.name.startswith("perplexity ÷")), None)
        lines.append(
            [
                name,
                "" if first is None else first.name + (f" [{first.label}]" if first.label else ""),
                "" if first is None else first.shown(),
                "" if price is None else f"{price.name}: {price.shown()}",
                f"{task['wall_seconds'] / 60:.1f}",
            ]
        )
    return lines


def to_markdown(record: Mapping[str, Any]) -> str:
    """The whole report."""
    parts = [f"# Evaluation of {record['checkpoint']['model']}", ""]
    parts += [f"| {' | '.join(SUMMARY_HEAD)} |", "|---|---|---|---|---|"]
    parts += [*(f"| {' | '.join(row)} |" for row in summary(record)), "", "## What was measured, and how", ""]
    parts += ["| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in facts(record)), ""]
    for name, task in record["tasks"].items():
        parts += [f"## {name}", ""]
        if task["left_out"]:
            parts += [f"Left out: {task['left_out']}", ""]
            continue
        result = TaskResult.from_dict(task)
        parts += ["| figure | value (95 %) | better | judge |", "|---|---|---|---|"]
        parts += [f"| {' | '.join(row)} |" for row in figure_rows(result.figures)]
        for table in result.tables:
            parts += ["", table.to_markdown()]
        for curve in result.curves:
            parts += ["", f"**{curve.title}** ({curve.x}, {curve.y})", "", "| series | x | y | |", "|---|---|---|---|"]
            parts += [
                f"| {label} | {x:.4g} | {y:.4g} | {note} |"
                for label, points in curve.series.items()
                for x, y, note in points
            ]
        parts += ["", *(f"- {note}" for note in result.notes)]
        if result.samples:
            parts += ["", "Some of the texts:", "", *(f"> {text}  " for text in result.samples[:5])]
        parts += ["", _cost(task), ""]
    return "\n".join(parts)


def figure_rows(figures: list[Figure]) -> list[list[str]]:
    """Cells of a table of figures."""
    return [
        [item.name + (f" **[{item.label}]**" if item.label else ""), item.shown(), item.better, item.judge]
        for item in figures
    ]


def _cost(task: Mapping[str, Any]) -> str:
    energy = f", {task['energy']['wh']:.3g} Wh with judges" if task.get("energy") else ""
    return f"{task['wall_seconds'] / 60:.1f} minutes, {task['cpu_seconds'] / 60:.1f} of the processor{energy}."


# ---- HTML -----------------------------------------------------------------------------------------------------------

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
color: #1c1c1c; background: #fff }
table { border-collapse: collapse; margin: 1rem 0; font-size: .92rem } td, th { padding: .25rem .7rem; text-align: left;
border-bottom: 1px solid #ddd; vertical-align: top } th { border-bottom: 2px solid #888 } svg { max-width: 100%; height: auto }
.label { color: #a40000; font-weight: bold } .note { color: #555 } blockquote { margin: .3rem 0; color: #333 }
@media (prefers-color-scheme: dark) { body { color: #e6e6e6; background: #161616 } td, th { border-color: #444 }
.note, blockquote { color: #aaa } svg { background: #fff } .label { color: #ff8a80 } }
"""


def to_html(record: Mapping[str, Any]) -> str:
    """The whole report as one page: no script, no file beside it, nothing fetched."""
    title = f"Evaluation of {record['checkpoint']['model']}"
    parts = [
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>',
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>',
        f"<h1>{html.escape(title)}</h1>",
        _html_table(SUMMARY_HEAD, summary(record)),
        "<h2>What was measured, and how</h2>",
        _html_table([], [list(row) for row in facts(record)]),
    ]
    plots = importlib.util.find_spec("matplotlib") is not None
    for name, task in record["tasks"].items():
        parts.append(f"<h2>{html.escape(name)}</h2>")
        if task["left_out"]:
            parts.append(f'<p class="note">Left out: {html.escape(task["left_out"])}</p>')
            continue
        result = TaskResult.from_dict(task)
        rows = [[item.name, item.shown(), item.better, item.judge, item.label] for item in result.figures]
        parts.append(_html_table(["figure", "value (95 %)", "better", "judge", ""], rows, label=4))
        for table in result.tables:
            parts += [f"<h3>{html.escape(table.title)}</h3>", _html_table(table.head, table.rows)]
        for curve in result.curves:
            parts.append(f"<h3>{html.escape(curve.title)}</h3>")
            parts.append(to_svg(curve) if plots else f'<p class="note">{html.escape(NO_PLOTS)}</p>')
        parts += [f'<p class="note">{html.escape(note)}</p>' for note in result.notes]
        parts += [f"<blockquote>{html.escape(text)}</blockquote>" for text in result.samples[:5]]
        parts.append(f'<p class="note">{html.escape(_cost(task))}</p>')
    return "\n".join([*parts, "</body></html>\n"])


def _html_table(head: list[str], rows: list[list[Any]], label: int | None = None) -> str:
    def cell(value: Any, place: int) -> str:
        mark = ' class="label"' if place == label and value else ""
        return f"<td{mark}>{html.escape(str(value))}</td>"

    top = "<tr>" + "".join(f"<th>{html.escape(name)}</th>" for name in head) + "</tr>" if head else ""
    lines = ["<tr>" + "".join(cell(value, place) for place, value in enumerate(row)) + "</tr>" for row in rows]
    return f"<table>{top}{''.join(lines)}</table>"


def to_svg(curve: Curve) -> str:
    """A plot as an SVG element.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(6.4, 4.0), layout="constrained")
    FigureCanvasSVG(canvas)
    axes = canvas.add_subplot()
    for name, points in curve.series.items():
        xs, ys = [point[0] for point in points], [point[1] for point in points]
        axes.plot(xs, ys, marker="o", label=name)
        for x, y, note in points:
            if note:
                axes.annotate(note, (x, y), textcoords="offset points", xytext=(5, 5), fontsize=8)
    if curve.logarithmic:
        axes.set_xscale("log")
        axes.set_yscale("log")
    axes.set_xlabel(curve.x)
    axes.set_ylabel(curve.y)
    axes.margins(0.12)  # room for what is written beside the points
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    text = io.StringIO()
    canvas.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()[text.getvalue().index("<svg") :]
