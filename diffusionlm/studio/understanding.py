"""Report of guidance for people: entropy, energies and KL over the steps, goals, conflicts, time and energy. HTML."""

from __future__ import annotations

from collections import defaultdict
from html import escape
from typing import Any

from diffusionlm.guidance import Guidance
from diffusionlm.studio.charts import Line, line_chart
from diffusionlm.studio.examining import with_companions
from diffusionlm.studio.writing import Outcome

PARTS = {"network": "model", "guidance": "plugins", "sampler": "solver", "encode": "reading the known text"}


def understanding(outcome: Outcome) -> str:
    """The section of the page, for a finished order."""
    return "".join(
        [
            '<div class="dl-understanding">',
            _summary(outcome),
            _charts(outcome),
            _conflicts(outcome),
            _time(outcome),
            "</div>",
        ]
    )


def _summary(outcome: Outcome) -> str:
    sentences = []
    if len(outcome.sides) == 2:
        pairs = list(zip(*(side.result.texts for side in outcome.sides if side.result), strict=True))
        moved = sum(a != b for a, b in pairs)
        sentences.append(f"Guidance changed {moved} of {len(pairs)} texts.")
    rules = [held for sample in outcome.samples[0] for held in sample["certificates"].values()]
    if rules:
        sentences.append(f"{sum(rules)} of {len(rules)} certificates hold, checked on the finished texts.")
        if len(outcome.sides) == 2:
            other = [held for sample in outcome.samples[1] for held in sample["certificates"].values()]
            sentences.append(f"Without guidance {sum(other)} would.")
    goals = [goal["reached"] for sample in outcome.samples[0] for goal in sample["goals"]]
    if goals:
        sentences.append(f"{sum(goals)} of {len(goals)} goals are reached.")
    found = [sum(len(sample["findings"]) for sample in side) for side in outcome.samples]
    if any(found):
        words = f"Plugins object to {found[0]} places"
        sentences.append(
            f"{words} in the guided texts and {found[1]} in the others." if len(found) == 2 else f"{words}."
        )
    return f'<p class="dl-summary">{escape(" ".join(sentences))}</p>' if sentences else ""


def _charts(outcome: Outcome) -> str:
    entropy = [
        Line(side.title.lower(), list(enumerate(side.entropy)), style=5 if side.title == "Unguided" else 0)
        for side in outcome.sides
    ]
    charts = [line_chart("What is still open", entropy, "entropy, nats a position")]
    for name, plugin, rows in _plugins(outcome):
        title = escape(name)
        energy = _mean(rows, "energy")
        exact = plugin is not None and plugin.how.name == "constraint"
        charts.append(line_chart(title, [Line("−log p(rules hold)" if exact else "energy", energy, 1)], "energy"))
        charts.append(
            line_chart(title, [Line("KL from the unguided model", _mean(rows, "kl"), 2)], "spent, nats a position")
        )
        goal = None if plugin is None else (plugin.below if plugin.below is not None else plugin.above)
        if goal is not None:
            charts.append(
                line_chart(title, [Line("measure", _mean(rows, "measure"), 3)], "dashed: the goal", ("goal", goal))
            )
            charts.append(line_chart(title, [Line("weight", _mean(rows, "weight"), 4)], "set by the controller"))
    note = "" if len(charts) > 1 else '<p class="dl-note">Switch a plugin on to see what it does at each step.</p>'
    return f'<div class="dl-charts">{"".join(charts)}</div>{note}'


def _plugins(outcome: Outcome) -> list[tuple[str, Guidance | None, list[dict[str, Any]]]]:
    """(name, plugin, its records); rules that always hold act as one."""
    if outcome.result.trace is None:
        return []
    by_name = {plugin.title: plugin for plugin in with_companions(outcome.order.plugins())}
    records: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in outcome.result.trace.records():
        records[record["plugin"]].append(record)
    exact = [name for name in records if name in by_name and by_name[name].how.name == "constraint"]
    found = [(name, by_name.get(name), rows) for name, rows in records.items() if name not in exact]
    if exact:
        found.insert(0, (" + ".join(exact), by_name[exact[0]], records[exact[0]]))
    return found


def _mean(rows: list[dict[str, Any]], column: str) -> list[tuple[float, float]]:
    by_step: dict[int, list[float]] = defaultdict(list)
    for row in rows:
        if row[column] is not None:
            by_step[row["step"]].append(row[column])
    return [(step, sum(values) / len(values)) for step, values in sorted(by_step.items())]


def _conflicts(outcome: Outcome) -> str:
    if outcome.result.trace is None or len(outcome.order.guidance) < 2:
        return ""
    reports = [str(report) for report in outcome.result.trace.conflicts]
    if not reports:
        return '<p class="dl-note">No two plugins pulled against each other.</p>'
    return '<ul class="dl-conflicts">' + "".join(f"<li>{escape(report)}</li>" for report in reports) + "</ul>"


def _time(outcome: Outcome) -> str:
    rows = []
    for side in outcome.sides:
        assert side.result is not None
        times = {PARTS[key]: side.result.timings[key] for key in PARTS}
        whole = sum(times.values()) or 1.0
        bars = "".join(
            f'<i class="dl-c{k}" style="flex-grow:{seconds / whole:.4f}" title="{escape(name)}: {seconds:.2f} s"></i>'
            for k, (name, seconds) in enumerate(times.items())
        )
        words = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in times.items() if seconds >= 0.005)
        rows.append(
            f'<div class="dl-time"><b>{escape(side.title)}</b><span class="dl-bar">{bars}</span>'
            f"<small>{escape(words)}</small></div>"
        )
    joules = "" if outcome.joules is None else f" · {outcome.joules:.3g} J ({escape(outcome.energy_source)})"
    return f'<div class="dl-times">{"".join(rows)}<p class="dl-note">{outcome.seconds:.1f} s in all{joules}</p></div>'
