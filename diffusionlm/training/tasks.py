"""The tasks a span model learns from one text: write it whole, continue it, fill its gaps, with or without a prompt.

A task lays a text out as known tokens (the memory) and span tokens (the targets). A span is *closed* (its length is
given) or *open* (it may use up to a number of positions and fills its tail with pad). The limit of an open span is
drawn before the text, so that the number of positions tells the model nothing about the text but that it fits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

WHOLE, PREFIX, INFILL = "whole", "prefix", "infill"
TASKS = (WHOLE, PREFIX, INFILL)


@dataclass(frozen=True)
class Layout:
    """One text laid out for training.

    Attributes:
        known_ids: (K,) tokens the model sees.
        known_positions: (K,).
        span_ids: (L,) tokens it must write, pads in open tails among them.
        span_positions: (L,).
        open_mask: (L,) bool.
    """

    known_ids: np.ndarray
    known_positions: np.ndarray
    span_ids: np.ndarray
    span_positions: np.ndarray
    open_mask: np.ndarray


def lay_out(ids: np.ndarray, spans: list[tuple[int, int, int]], pad_id: int) -> Layout:
    """Cuts ``spans`` out of a text.

    Args:
        ids: (n,) the text.
        spans: (start, end, slack) in order, not overlapping; slack -1 for a closed span, else its pads.
        pad_id: the pad token.

    Returns:
        The layout; text after an open span stands behind all positions the span may use.
    """
    known, known_at, target, target_at, opened = [], [], [], [], []
    cursor = shift = 0
    for start, end, slack in spans:
        pads = max(slack, 0)
        known.append(ids[cursor:start])
        known_at.append(np.arange(cursor, start) + shift)
        target.append(np.concatenate((ids[start:end], np.full(pads, pad_id, ids.dtype))))
        target_at.append(np.arange(start, end + pads) + shift)
        opened.append(np.full(end - start + pads, slack >= 0))
        cursor, shift = end, shift + pads
    known.append(ids[cursor:])
    known_at.append(np.arange(cursor, len(ids)) + shift)
    return Layout(*map(np.concatenate, (known, known_at, target, target_at, opened)))


def draw_whole(ids: np.ndarray, limit: int, pad_id: int) -> Layout:
    """The whole text as one open span of ``limit`` positions."""
    return lay_out(ids, [(0, len(ids), limit - len(ids))], pad_id)


def draw_prefix(ids: np.ndarray, limit: int, share: float, pad_id: int) -> Layout:
    """The first ``share`` of the text is known, the rest is one open span that ends at position ``limit``."""
    cut = min(int(np.clip(round(share * len(ids)), 1, max(1, len(ids) - 1))), limit - 1)  # something is left to write
    return lay_out(ids, [(cut, len(ids), limit - len(ids))], pad_id)


def draw_infill(
    ids: np.ndarray,
    share: float,
    pad_id: int,
    rng: np.random.Generator,
    max_spans: int = 4,
    open_share: float = 0.3,
    max_slack: int = 12,
) -> Layout:
    """One to ``max_spans`` gaps that take a ``share`` of the text; some of the gaps are open, with a random slack."""
    n = len(ids)
    total = int(np.clip(round(share * n), 1, n))
    count = int(rng.integers(1, min(max_spans, total) + 1))
    # lengths of the gaps, and of the known stretches around them, as random compositions
    gaps = np.diff(np.concatenate(([0], np.sort(rng.choice(np.arange(1, total), count - 1, replace=False)), [total])))
    rest = n - total
    stretches = np.diff(np.concatenate(([0], np.sort(rng.integers(0, rest + 1, count)), [rest])))
    spans: list[tuple[int, int, int]] = []
    cursor = 0
    for stretch, gap in zip(stretches[:-1].tolist(), gaps.tolist(), strict=True):
        cursor += stretch
        slack = int(rng.integers(0, max_slack + 1)) if rng.random() < open_share else -1
        if spans and cursor == spans[-1][1] and spans[-1][2] < 0 and slack < 0:
            spans[-1] = (spans[-1][0], cursor + gap, -1)  # two closed gaps that touch are one
        else:
            spans.append((cursor, cursor + gap, slack))
        cursor += gap
    return lay_out(ids, spans, pad_id)
