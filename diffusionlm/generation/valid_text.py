"""Repair of spans whose bytes are no UTF-8: the nearest valid ones by the model's own posterior, under an automaton.

Each span must be whole characters, for what stands around it is. The automaton is table 3-7 of the Unicode Standard
(well-formed byte sequences); a Viterbi pass finds the valid span that changes the fewest tokens, and of those the likeliest.

Shape letters: L span positions, V vocabulary, S states.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

    from diffusionlm.spans import CanvasLayout
    from diffusionlm.text.vocabulary import Vocabulary

_WHOLE, _DEAD, _END = 0, 8, 9  # between characters; no way on; behind the first pad
_KEPT = 1e4  # nats that a token is worth which stays as it was written
_FLOOR = -1e3  # of tokens that the posterior excludes by itself: decided ones leave their position no other


@lru_cache(maxsize=1)
def _bytes() -> tuple[tuple[int, ...], ...]:
    """Next state (8 states, 256 bytes). 1 to 3: so many continuation bytes; 4 to 7: after E0, ED, F0, F4."""
    table = [[_DEAD] * 256 for _ in range(8)]

    def edges(state: int, first: int, last: int, after: int) -> None:
        table[state][first : last + 1] = [after] * (last - first + 1)

    edges(_WHOLE, 0x00, 0x7F, _WHOLE)
    edges(_WHOLE, 0xC2, 0xDF, 1)
    edges(_WHOLE, 0xE1, 0xEF, 2)
    edges(_WHOLE, 0xF1, 0xF3, 3)
    for state, lead, first, last, after in (
        (4, 0xE0, 0xA0, 0xBF, 1),
        (5, 0xED, 0x80, 0x9F, 1),
        (6, 0xF0, 0x90, 0xBF, 2),
    ):
        edges(_WHOLE, lead, lead, state)
        edges(state, first, last, after)
    edges(_WHOLE, 0xF4, 0xF4, 7)
    edges(7, 0x80, 0x8F, 2)
    for state in (1, 2, 3):
        edges(state, 0x80, 0xBF, state - 1)
    return tuple(tuple(row) for row in table)


@lru_cache(maxsize=4)
def _tokens(vocabulary: Vocabulary) -> Tensor:
    """Next state (S, V) of each token; pads lead from whole characters to the end, other special tokens nowhere."""
    table, out = _bytes(), torch.full((_END + 1, len(vocabulary)), _DEAD)
    for token, surface in enumerate(vocabulary.surfaces):
        if token in vocabulary.special_ids:
            continue
        for start in range(_DEAD):
            state = start
            for byte in surface:
                state = _DEAD if state == _DEAD else table[state][byte]
            out[start, token] = state
    out[_WHOLE, vocabulary.pad_id] = out[_END, vocabulary.pad_id] = _END
    return out


def repair(ids: Tensor, log_probs: Tensor, layout: CanvasLayout, vocabulary: Vocabulary) -> Tensor:
    """Tokens (L,) whose spans are all UTF-8: those given where they are so already.

    Args:
        ids: (L,), as written.
        log_probs: posterior (>= L, V).
        layout: the canvas.
        vocabulary: of the tokens.
    """
    spans = layout.span_ids(ids.tolist(), vocabulary.pad_id)
    broken = [number for number, span in enumerate(spans) if not _valid(span, vocabulary)]
    if not broken:
        return ids
    ids, allowed = ids.clone(), layout.allowed(vocabulary).to(ids.device)
    for number in broken:
        at = (layout.span_index == number).nonzero().flatten().to(ids.device)
        ends = (ids[at] == vocabulary.pad_id).cumsum(0) > 0
        ids[at] = ids[at].masked_fill(ends, vocabulary.pad_id)  # what stands behind the first pad is not read
        score = log_probs[at].double().clamp_min(_FLOOR)
        score = score.scatter_add(1, ids[at][:, None], torch.full_like(score[:, :1], _KEPT))
        score = score.masked_fill(~allowed[at], -torch.inf)
        ids[at] = _best(score.cpu(), vocabulary).to(ids.device)
    return ids


def repair_rows(ids: Tensor, log_probs: Tensor, layouts: list[CanvasLayout], vocabulary: Vocabulary) -> Tensor:
    """`repair` for each row of ids (B, L) under its posterior (B, L, V)."""
    out = ids.clone()
    for row, layout in enumerate(layouts):
        out[row, : layout.length] = repair(ids[row, : layout.length], log_probs[row], layout, vocabulary)
    return out


def _valid(span: list[int], vocabulary: Vocabulary) -> bool:
    try:
        b"".join(vocabulary.surfaces[token] for token in span).decode()
    except UnicodeDecodeError:
        return False
    return True


class _Edges(NamedTuple):
    """Transitions of the automaton with tokens that it treats alike as one class.

    Attributes:
        members: for each of C classes its tokens.
        sources, classes: (S, E) of each state the edges that lead into it; rows are filled with edges of `missing`.
        missing: (S, E) bool, where there is no edge.
    """

    members: tuple[Tensor, ...]
    sources: NDArray[np.int64]
    classes: NDArray[np.int64]
    missing: NDArray[np.bool_]


@lru_cache(maxsize=4)
def _edges(vocabulary: Vocabulary) -> _Edges:
    following = _tokens(vocabulary)
    columns, class_of = torch.unique(following, dim=1, return_inverse=True)
    into: list[list[tuple[int, int]]] = [[] for _ in range(len(following))]
    for state, row in enumerate(columns.tolist()):
        for number, target in enumerate(row):
            if target != _DEAD:
                into[target].append((state, number))
    shape = len(into), max(map(len, into))
    sources, classes, missing = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64), np.ones(shape, bool)
    for target, edges in enumerate(into):
        for place, (state, number) in enumerate(edges):
            sources[target, place], classes[target, place], missing[target, place] = state, number, False
    members = tuple((class_of == number).nonzero().flatten() for number in range(columns.shape[1]))
    return _Edges(members, sources, classes, missing)


def _best(score: Tensor, vocabulary: Vocabulary) -> Tensor:
    """The best accepted sequence (N,) by scores (N, V): by Viterbi's algorithm over classes of tokens."""
    edges = _edges(vocabulary)
    best = [score[:, tokens].double().max(1) for tokens in edges.members]
    values = torch.stack([own.values for own in best], 1).numpy()  # (N, C)
    tokens = torch.stack([own[found.indices] for own, found in zip(edges.members, best, strict=True)], 1)
    value = np.full(len(edges.sources), -np.inf)
    value[_WHOLE] = 0.0
    came, states = [], np.arange(len(value))
    for row in values:
        reached = np.where(edges.missing, -np.inf, value[edges.sources] + row[edges.classes])
        came.append(reached.argmax(1))
        value = reached[states, came[-1]]
    state = max((_WHOLE, _END), key=lambda end: float(value[end]))
    assert value[state] > -np.inf  # spaces fill every span
    out = []
    for number in reversed(range(len(values))):
        edge = came[number][state]
        out.append(int(tokens[number, edges.classes[state, edge]]))
        state = int(edges.sources[state, edge])
    return torch.tensor(out[::-1])
