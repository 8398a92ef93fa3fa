"""Turns of dialogues, each with the turn before it, and questions with their answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from diffusionlm.corpora.open_mix.cleaning import capitalise, close, tidy
from diffusionlm.corpora.open_mix.found import Found, lines, numbered

_SPEAKER = re.compile(r"(?:^|(?<= ))(?:A|B|User|System): ")
_ASKS = re.compile(
    r"(?:(?:ok|okay|hi|hello|hey|yes|no|well|so|oh|great|and|but)[,.!]? )*"
    r"(?:who|what|when|where|why|how|which|whose|is|are|was|were|do|does|did|can|could|will|would|should|have|has|may|any)\b",
    re.IGNORECASE,
)
_SPACE_BEFORE_MARK = re.compile(r" +(?=[.,!?;:](?:\s|$))")
_STOP_AFTER_MARK = re.compile(r"(?<=[!?])\.$")
_QUESTION = re.compile(r"(.{8,120}?\?) (.+)")
_INSIDE = re.compile(r"[.!?] ")
_ANSWER_SENTENCES = 2


def turn(text: str) -> str:
    """An utterance with capitals and an end: a question mark where a question has no mark."""
    text = _SPACE_BEFORE_MARK.sub("", tidy(text))
    if text and text.rstrip("\"')")[-1:] not in tuple(".!?") and _ASKS.match(text):
        text = text.rstrip(" ,;:-") + "?"
    return _STOP_AFTER_MARK.sub("", close(capitalise(text)))


def read_turns(path: Path, seed: str) -> Iterator[Found]:
    """Turns without a dialogue, one a line."""
    for line in lines(path):
        yield Found(turn(line))


def read_dialogues(path: Path, seed: str) -> Iterator[Found]:
    """The turns of stretches such as ``User: ... System: ...``, one a line, each with the turn before it.

    All turns of a stretch are one group.

    Raises:
        ValueError: if a line names no speaker; the message names it.
    """
    for number, line in numbered(path):
        before, *parts = _SPEAKER.split(line)
        if before.strip() or not parts:
            raise ValueError(
                f"{path}, line {number} begins with no speaker; a dialogue reads 'A: Hi. B: Hello.' (A, B, User, System)."
            )
        previous = ""
        for part in parts:
            text = turn(part)
            yield Found(text, group=f"{path.name}/{number}", previous=previous)
            previous = text


def read_answers(path: Path, seed: str) -> Iterator[Found]:
    """Questions and their answers from lines that hold both; lines that do not, and long answers, give nothing."""
    for line in lines(path):
        found = _QUESTION.fullmatch(line)
        if found and len(_INSIDE.findall(found[2])) < _ANSWER_SENTENCES:
            question = turn(found[1])
            yield Found(question, group=question)
            yield Found(turn(found[2]), group=question, previous=question)
