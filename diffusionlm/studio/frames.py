"""View of a denoising step: known text and the likeliest tokens with their certainty, as plain data.

A frame of a sample is a list of pieces ``[text, certainty]``; certainty is a percentage, or -1 for known text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from diffusionlm.generation.results import GenerationResult, StepState
from diffusionlm.spans import CanvasLayout

Piece = list[Any]
KNOWN = -1


def frames_of(state: StepState, rows: Sequence[int]) -> list[list[Piece]]:
    """The pieces of some rows after a step."""
    tokens, certainty = state.best_tokens()
    return [pieces(state.layouts[row], tokens[row], certainty[row]) for row in rows]


def finished_frames(result: GenerationResult, last: Sequence[StepState]) -> tuple[list[list[Piece]], list[int]]:
    """The pieces of the finished texts, their tokens with the certainty of the last step; and which step that was.

    Args:
        result: of one input.
        last: the last steps; more than one where texts were written again. Of several candidates for a text (attempts,
            particles) the one is taken that makes it likeliest.
    """
    strings = last[0].tokenizer.vocabulary.strings
    found, places = [], []
    for number, sample in enumerate(result.samples[0]):
        candidates = [(place, state, row) for place, state in enumerate(last) for row in rows_of(state, number)]
        _, state, row = candidates[0]
        layout = state.layouts[row]
        ids = torch.tensor(_on_canvas(layout, sample.token_ids, state.tokenizer.pad_id))
        scores = [
            (state.log_probs[row, : layout.length].cpu().gather(-1, ids[:, None]).squeeze(-1), place)
            for place, state, row in candidates
        ]
        own, place = max(scores, key=lambda score: float(score[0].sum()))
        found.append(pieces(layout, [strings[i] for i in ids.tolist()], own.exp().tolist()))
        places.append(place)
    return found, places


def rows_of(state: StepState, number: int) -> range:
    """Rows of a batch that write a sample: none, one, or as many as there are particles."""
    if number not in state.samples:
        return range(0)
    each = len(state.layouts) // len(state.samples)
    first = state.samples.index(number) * each
    return range(first, first + each)


def _on_canvas(layout: CanvasLayout, spans: Sequence[Sequence[int]], pad_id: int) -> list[int]:
    lengths = torch.bincount(layout.span_index, minlength=len(spans)).tolist()
    return [i for span, length in zip(spans, lengths, strict=True) for i in [*span, *[pad_id] * (length - len(span))]]


def pieces(layout: CanvasLayout, tokens: Sequence[str], certainty: Sequence[float]) -> list[Piece]:
    """Known text and tokens in reading order; a span ends at its first empty token.

    Args:
        layout: the canvas.
        tokens: text of each span position, "" for padding.
        certainty: probability of each.
    """
    literals = layout.canvas.literals
    found: list[Piece] = [[literals[0], KNOWN]] if literals[0] else []
    ended, first = False, True
    spans = layout.span_index.tolist()
    for place, (token, sure) in enumerate(zip(tokens, certainty, strict=True)):
        ended |= not token
        if not ended:
            given = literals[spans[place]]
            own_space = first and (given.endswith(" ") or (spans[place] == 0 and not given))
            found.append([token.removeprefix(" ") if own_space else token, round(100 * min(max(sure, 0.0), 1.0))])
        first = False
        if place + 1 == len(spans) or spans[place + 1] != spans[place]:
            after = literals[spans[place] + 1]
            if after:
                found.append([after, KNOWN])
            ended, first = False, True
    return found


def text_of(frame: Sequence[Piece]) -> str:
    """The text of a frame."""
    return "".join(piece[0] for piece in frame)
