"""Data for the result component of the page: JSON for ``assets/viewer.js``."""

from __future__ import annotations

import json
from typing import Any

from diffusionlm.studio.examining import Side
from diffusionlm.studio.writing import Outcome


def live(sides: list[Side], steps: int) -> str:
    """The last step of each side."""
    now = [{"title": side.title, "now": side.frames[side.step if side.result is None else -1]} for side in sides]
    return _pack({"state": "live", "step": sides[0].step, "steps": steps, "sides": now})


def done(outcome: Outcome) -> str:
    """All steps, and the finished texts with their marks."""
    sides = [
        {"title": side.title, "frames": side.frames[:-1], "samples": samples}
        for side, samples in zip(outcome.sides, outcome.samples, strict=True)
    ]
    return _pack({"state": "done", "steps": outcome.order.steps, "sides": sides})


def message(text: str) -> str:
    """A sentence in place of texts, and apart from it what it quotes in indented lines, to point at a character."""
    lines = text.splitlines()
    said = " ".join(line for line in lines if not line.startswith("    "))
    quoted = "\n".join(line[4:] for line in lines if line.startswith("    "))
    data = {"state": "error", "message": said[:1].upper() + said[1:], "quoted": quoted}
    return json.dumps(data, ensure_ascii=False)


def _pack(data: dict[str, Any]) -> str:
    side = data["sides"][0]
    data["count"] = len(side["now"] if "now" in side else side["samples"])
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))
