"""Line charts as inline SVG: nothing to load, colours from the page's style sheet, readable in dark and light."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 320, 130
LEFT, RIGHT, TOP, BOTTOM = 40, 8, 8, 20


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Attributes:
        name: for the legend.
        points: (x, y), x rising.
        style: number of its colour, from 0.
    """

    name: str
    points: Sequence[tuple[float, float]]
    style: int = 0


def line_chart(title: str, lines: Sequence[Line], unit: str = "", level: tuple[str, float] | None = None) -> str:
    """A figure with title, axes and legend.

    Args:
        title: above the chart.
        lines: at least one with points.
        unit: of y, behind the title.
        level: (name, y) of a horizontal line, a goal.
    """
    values = [y for line in lines for _, y in line.points] + ([level[1]] if level else [])
    last = max(x for line in lines for x, _ in line.points)
    low, high = _bounds(values)

    def place(x: float, y: float) -> tuple[float, float]:
        across = (WIDTH - LEFT - RIGHT) * (x / last if last else 0.5)
        up = (HEIGHT - TOP - BOTTOM) * (y - low) / (high - low)
        return round(LEFT + across, 1), round(HEIGHT - BOTTOM - up, 1)

    parts = []
    for y in (low, (low + high) / 2, high):
        at = place(0, y)[1]
        parts.append(f'<line class="dl-grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at}" y2="{at}"/>')
        parts.append(f'<text x="{LEFT - 5}" y="{at + 3.5}" text-anchor="end">{_number(y)}</text>')
    parts.append(f'<text x="{LEFT}" y="{HEIGHT - 5}">step 1</text>')
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 5}" text-anchor="end">{last + 1:g}</text>')
    if level:
        at = place(0, level[1])[1]
        parts.append(
            f'<line class="dl-level" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at}" y2="{at}">'
            f"<title>{escape(level[0])}</title></line>"
        )
    for line in lines:
        path = " ".join("{},{}".format(*place(x, y)) for x, y in line.points)
        parts.append(f'<polyline class="dl-line dl-c{line.style % 6}" points="{path}"/>')
        for x, y in line.points:
            cx, cy = place(x, y)
            tip = f"{escape(line.name)}, step {x + 1:g}: {_number(y)}"
            parts.append(
                f'<circle class="dl-dot dl-c{line.style % 6}" cx="{cx}" cy="{cy}" r="5"><title>{tip}</title></circle>'
            )
    legend = "".join(f'<span class="dl-c{line.style % 6}">{escape(line.name)}</span>' for line in lines)
    summary = "; ".join(
        f"{line.name} from {_number(line.points[0][1])} to {_number(line.points[-1][1])}" for line in lines
    )
    unit = f" <small>{escape(unit)}</small>" if unit else ""
    return (
        f'<figure class="dl-chart"><figcaption>{escape(title)}{unit}</figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(f"{title}: {summary}", quote=True)}">'
        f'{"".join(parts)}</svg><div class="dl-names">{legend}</div></figure>'
    )


def _bounds(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(0.0, *values), max(0.0, *values)
    if math.isclose(low, high, abs_tol=1e-9):
        return low, low + 1.0
    return low, high


def _number(value: float) -> str:
    return "0" if abs(value) < 1e-9 else f"{value:.3g}"
