"""What a denoising step looks like: known text and the likeliest tokens with their certainty, as plain data.

A frame of a sample is a list of pieces ``[text, certainty]``; certainty is a percentage, or -1 for known text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from diffusionlm.results import GenerationResult, StepState
from diffusionlm.spans import CanvasLayout

Piece = list[Any]
KNOWN = -1


def frames_of(state: StepState, rows: Sequence[int]) -> list[list[Piece]]:
    """The pieces of some rows after a step."""
    tokens, certainty = state.best_tokens()
    return [pieces(state.layouts[row], tokens[row], certainty[row]) for row in rows]


def finished_frames(result: GenerationResult, last: StepState, rows: Sequence[int]) -> list[list[Piece]]:
    """The pieces of the finished texts: their tokens, with the certainty of the last step.

    Args:
        result: of one input.
        last: the last step.
        rows: the row that became each sample.
    """
    strings = last.tokenizer.vocabulary.strings
    found = []
    for sample, row in zip(result.samples[0], rows, strict=True):
        layout = last.layouts[row]
        ids = _on_canvas(layout, sample.token_ids, last.tokenizer.pad_id)
        own = last.log_probs[row, : layout.length].gather(-1, torch.tensor(ids, device=last.log_probs.device)[:, None])
        found.append(pieces(layout, [strings[i] for i in ids], own.squeeze(-1).exp().tolist()))
    return found


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
