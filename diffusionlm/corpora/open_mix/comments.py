"""News comments whose toxic characters were marked by several people, as runs of sentences with labels and spans.

Toxic Spans (Pavlopoulos et al. 2022, https://aclanthology.org/2022.acl-long.259): what half of the annotators marked is toxic.
Of a run in which fewer marked something, nothing is known.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from diffusionlm.corpora.open_mix.cleaning import capitalise, tidy
from diffusionlm.corpora.open_mix.found import Found, objects
from diffusionlm.corpora.open_mix.sentences import runs, sentence_ranges

TYPES = {  # as annotated -> type of the span, label of the text
    "Insult": ("INSULT", "insult"),
    "Profane/Obscene": ("OBSCENE", "obscene"),
    "Threat": ("THREAT", "threat"),
    "Identity based Attack": ("IDENTITY_ATTACK", "identity_attack"),
    "Other Toxicity": ("TOXIC", ""),
}
MAJORITY = 0.5
_EDGES = " .,;:!?\"'()[]-"
Marks = list[tuple[float, str]]  # of each character: the share of annotators who marked it, and the type most gave


def read_comments(path: Path, seed: str) -> Iterator[Found]:
    """The comments of a file; each row has ``text``, ``n_annotators`` and ``spans``."""
    for number, row in enumerate(objects(path, ("text", "n_annotators", "spans"))):
        words = _words(str(row["text"]), _marks(row))
        text, marks = "", Marks()
        for word, mark in words:
            marks += [mark if text and marks[-1] == mark else (0.0, "")] * bool(text) + [mark] * len(word)
            text += " " * bool(text) + word
        text = capitalise(text)
        for start, end in runs(sentence_ranges(text), text, f"{seed}/comment/{number}"):
            yield _found(text[start:end], marks[start:end], group=text)


def _marks(row: dict[str, Any]) -> Marks:
    counts: list[Counter[str]] = [Counter() for _ in row["text"]]
    for start, end, kind in row["spans"]:
        for position in range(max(start, 0), min(end, len(counts))):
            counts[position][TYPES.get(kind, TYPES["Other Toxicity"])[0]] += 1
    people = max(int(row["n_annotators"]), 1)
    # of types that equally many gave, the first by name
    return [
        (min(count.total() / people, 1.0), min(count, key=lambda kind: (-count[kind], kind)) if count else "")
        for count in counts
    ]


def _words(text: str, marks: Marks) -> list[tuple[str, tuple[float, str]]]:
    """The cleaned words, each with the mark of its character that most marked."""
    words = []
    for found in re.finditer(r"\S+", text):
        mark = max(marks[found.start() : found.end()])
        words += [(part, mark) for part in tidy(html.unescape(found[0])).split()]
    return words


def _found(text: str, marks: Marks, group: str) -> Found:
    surest = max((share for share, _ in marks), default=0.0)
    if 0 < surest < MAJORITY:
        return Found(text, group)
    kinds = [kind if share >= MAJORITY else "" for share, kind in marks]
    spans: list[list[Any]] = []
    for kind, start, end in _stretches(kinds):
        inner = text[start:end]
        left, right = start + len(inner) - len(inner.lstrip(_EDGES)), start + len(inner.rstrip(_EDGES))
        if left < right:
            spans.append([left, right, kind])
    toxic = int(surest >= MAJORITY)
    held = {kind for _, _, kind in spans}
    labels = {"toxicity": toxic} | {label: int(kind in held) for kind, label in TYPES.values() if label}
    return Found(text, group, ("tone[rude]" if toxic else "tone[civil]",), toxic=toxic, labels=labels, spans=spans)


def _stretches(kinds: list[str]) -> Iterator[tuple[str, int, int]]:
    start = 0
    for position in range(1, len(kinds) + 1):
        if position == len(kinds) or kinds[position] != kinds[start]:
            if kinds[start]:
                yield kinds[start], start, position
            start = position
