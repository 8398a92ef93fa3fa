"""Marks in finished texts: words that guidance changed, and what plugins object to, with their reasons.

A plugin offers reasons by a method ``highlight(text)``, or ``highlight(text, tokenizer)``. It gives the places, or an object
with the places as ``words``; each is an object or mapping with ``start``, ``end`` and ``reason`` (or ``label``, ``kind``),
or a tuple (start, end, reason or score). Positions are in characters, scores between 0 and 1.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise
from typing import Any

from diffusionlm.guidance import Guidance

OBJECTION = 0.5  # scores below say nothing against a word
_WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")


@dataclass(frozen=True)
class Finding:
    """A place in a text that a plugin objects to.

    Attributes:
        start: first character.
        end: behind the last.
        reason: in words.
        plugin: which one says so.
    """

    start: int
    end: int
    reason: str
    plugin: str


def changed_words(text: str, other: str) -> list[tuple[int, int]]:
    """Character ranges of the words of ``text`` that ``other`` does not have in their place."""
    own, theirs = list(_WORD.finditer(text)), list(_WORD.finditer(other))
    matcher = SequenceMatcher(a=[m[0] for m in theirs], b=[m[0] for m in own], autojunk=False)
    ranges = []
    for kind, _, _, first, last in matcher.get_opcodes():
        if kind in ("replace", "insert") and last > first:
            ranges.append((own[first].start(), own[last - 1].end()))
    return ranges


def findings(text: str, plugins: Iterable[Guidance], tokenizer: Any = None) -> list[Finding]:
    """Objections of plugins to a text.

    Args:
        text: a finished text.
        plugins: those without a method ``highlight`` say nothing.
        tokenizer: given to those that ask for it.
    """
    found = []
    for plugin in plugins:
        highlight = getattr(plugin, "highlight", None)
        if callable(highlight):
            asks = len(inspect.signature(highlight).parameters) > 1
            items = highlight(text, tokenizer) if asks else highlight(text)
            found += [
                finding for item in getattr(items, "words", items) if (finding := _read(item, plugin.title, text))
            ]
    return sorted({item for item in found if item.end > item.start}, key=lambda item: (item.start, item.end))


def _read(item: Any, plugin: str, text: str) -> Finding | None:
    if isinstance(item, Sequence):
        start, end, *said = item
    else:
        values: Mapping[str, Any] = item if isinstance(item, Mapping) else _attributes(item)
        start, end = values["start"], values["end"]
        said = [values[key] for key in ("reason", "label", "kind", "category", "name") if values.get(key)][:1]
        said += [values[key] for key in ("score", "probability") if values.get(key) is not None][:1]
    scores = [value for value in said if isinstance(value, float)]
    if scores and max(scores) < OBJECTION:
        return None
    reason = " ".join(f"{value:.2f}" if isinstance(value, float) else str(value) for value in said)
    return Finding(max(0, int(start)), min(len(text), int(end)), reason or "objects to this", plugin)


def _attributes(item: Any) -> dict[str, Any]:
    names = ("start", "end", "reason", "label", "kind", "category", "name", "score", "probability")
    return {name: getattr(item, name) for name in names if hasattr(item, name)}


def marked(
    pieces: Sequence[Sequence[Any]], changes: Sequence[tuple[int, int]], found: Sequence[Finding]
) -> list[dict[str, Any]]:
    """Cuts a frame where a mark begins or ends.

    Returns:
        Mappings with "t" (text), "c" (certainty), and where it applies "d" (changed) and "f" (index of a finding).
    """
    cuts = {place for pair in changes for place in pair} | {p for item in found for p in (item.start, item.end)}
    out, position = [], 0
    for text, certainty in pieces:
        edges = [0, *sorted(cut - position for cut in cuts if 0 < cut - position < len(text)), len(text)]
        for first, last in pairwise(edges):
            start, end = position + first, position + last
            part: dict[str, Any] = {"t": text[first:last], "c": certainty}
            if any(a <= start and end <= b for a, b in changes) and part["t"].strip():
                part["d"] = 1
            inside = [k for k, item in enumerate(found) if item.start <= start and end <= item.end]
            if inside:
                part["f"] = inside[0]
            out.append(part)
        position += len(text)
    return out
