"""Token automata on a canvas: known text between spans, spans that may end early, several constraints at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffusionlm.guidance.automata.algebra import Budget, distinct_rows, minimise, product
from diffusionlm.guidance.automata.alphabet import Bools, Ints
from diffusionlm.guidance.automata.bound import (
    BoundAutomaton,
    UnsatisfiableConstraint,
    literals_after,
    named,
    read_all,
)
from diffusionlm.guidance.automata.inference import ForwardBackward
from diffusionlm.guidance.automata.over_tokens import TokenAutomaton

MINIMISE_CELLS = 4_000_000
WORTH_PRUNING = 0.9


def bind(
    automata: Sequence[TokenAutomaton],
    literals: Sequence[str],
    span_index: Sequence[int] | Tensor,
    allowed: Tensor | None = None,
    *,
    max_states: int = 100_000,
    max_seconds: float = 60.0,
) -> BoundAutomaton:
    """Bind constraints, all of which must hold, to a canvas.

    The text is literal 0, span 0, literal 1, ..., span K-1, literal K. Constraints read all of it, so a pattern may
    arise neither inside a span nor across its border. Where the pad token is allowed, a span may end early: behind a
    pad in a span only pads follow. Lengths in tokens count the tokens of the spans alone.

    Args:
        automata: compiled by `compile_language` or `token_count` for the same vocabulary.
        literals: known texts between the spans in internal form (one space before the user's text), K + 1 of them.
        span_index: (L,) the span each position belongs to, ascending from 0 to K-1.
        allowed: (L, V) or (V,) bool; None: every token, pad included, is allowed at every position.
        max_states: cap on the states of all constraints together.
        max_seconds: cap on the time to combine them.

    Raises:
        UnsatisfiableConstraint: no text on this canvas satisfies the constraints; says which one by itself, if one
            does.
        AutomatonTooLarge: beyond a cap.
        ValueError: arguments that do not fit together.
    """
    spans = torch.as_tensor(span_index).cpu().numpy().astype(np.int64)
    allowed = _checked(automata, literals, spans, allowed)
    bound = _bind(
        automata, literals, spans, allowed, Budget(named([a.name for a in automata]), max_states, max_seconds)
    )
    if bound is not None:
        return bound
    raise UnsatisfiableConstraint(
        why_not(
            automata,
            len(spans),
            len(literals) - 1,
            lambda one: _bind(one, literals, spans, allowed, Budget(one[0].name, max_states)) is None,
        )
    )


def why_not(
    automata: Sequence[TokenAutomaton],
    positions: int,
    spans: int,
    impossible: Callable[[Sequence[TokenAutomaton]], bool],
) -> str:
    """The sentence that says which of the constraints cannot be met on a canvas.

    Args:
        automata: all constraints.
        positions: of the canvas.
        spans: of the canvas.
        impossible: whether some constraints alone cannot be met.
    """
    alone = [automaton.name for automaton in automata if len(automata) > 1 and impossible([automaton])]
    if alone:
        reason = f"{named(alone)} cannot be met here even by itself"
    elif len(automata) > 1:
        reason = "each constraint can be met alone, but not all together"
    else:
        reason = "no text of that length and vocabulary meets it"
    size = f"{_counted(positions, 'position')} in {_counted(spans, 'span')}"
    return (
        f"The constraint {named([a.name for a in automata])} cannot be satisfied on this canvas of {size}: "
        f"{reason}. Check the known text (constraints read it too), the "
        "lengths of the spans (of a whole text: max_length), and whether the vocabulary can spell what is required."
    )


def _checked(
    automata: Sequence[TokenAutomaton], literals: Sequence[str], spans: Ints, allowed: Tensor | None
) -> Tensor | None:
    if not automata:
        raise ValueError("bind needs at least one automaton; got none.")
    if isinstance(literals, str) or len(literals) < 1:
        raise ValueError(f"literals must be a list of K + 1 texts around K spans; got {literals!r}.")
    if spans.ndim != 1 or len(spans) == 0:
        raise ValueError(f"span_index must be a list of at least one position; got shape {spans.shape}.")
    if spans.min() < 0 or spans.max() >= len(literals) - 1 or (np.diff(spans) < 0).any():
        raise ValueError(
            f"span_index must ascend within 0 to {len(literals) - 2}, because {len(literals)} literals stand around "
            f"{len(literals) - 1} spans; got {spans.tolist()}."
        )
    size, pad = len(automata[0].token_class), automata[0].pad_id
    for automaton in automata:
        if (len(automaton.token_class), automaton.pad_id) != (size, pad):
            raise ValueError("The automata were compiled for different vocabularies; compile all of them for one.")
    if allowed is None:
        return None
    allowed = torch.as_tensor(allowed)
    allowed = allowed.unsqueeze(0) if allowed.dim() == 1 else allowed
    if allowed.dtype != torch.bool or tuple(allowed.shape) not in {(1, size), (len(spans), size)}:
        raise ValueError(
            f"allowed must be bool of shape ({size},) or ({len(spans)}, {size}); got {allowed.dtype} "
            f"{tuple(allowed.shape)}."
        )
    return allowed


@dataclass(frozen=True)
class CanvasTable:
    """All constraints of a canvas as one automaton, before it is tied to its positions. State 0 is the start.

    Attributes:
        delta: (S, C + K) target states, -1 where nothing can be accepted: C classes of tokens, then K borders of spans.
        accepting: (S,) states in which the canvas may end.
        token_class: (V,) class of each token, -1 for tokens that are never accepted.
        borders: the K positions behind which known text follows, up to the next span.
    """

    delta: Ints
    accepting: Bools
    token_class: Ints
    borders: list[int]

    @property
    def classes(self) -> int:
        """C."""
        return self.delta.shape[1] - len(self.borders)


def canvas_table(
    automata: Sequence[TokenAutomaton], literals: Sequence[str], spans: Ints, usable: Bools, budget: Budget
) -> CanvasTable | None:
    """The product of constraints on a canvas; None if a known text before the first span cannot be.

    Args:
        automata: as of `bind`.
        literals: likewise.
        spans: (L,) the span of each position.
        usable: (V,) tokens that may stand at some position.
        budget: cap.
    """
    pad = automata[0].pad_id
    # Tokens that every automaton treats alike are one class; classes of forbidden tokens and of the dead vanish.
    signature = np.stack([automaton.token_class for automaton in automata], axis=1)
    signature[~usable] = -1
    signature[pad] = -2
    first, token_class = distinct_rows(signature)
    order = np.argsort(first, kind="stable")
    rank = np.argsort(order)
    first, token_class = first[order], rank[token_class]
    keep = (signature[first] >= 0).all(axis=1)
    token_class = np.where(keep, np.cumsum(keep) - 1, -1)[token_class]
    own = signature[first[keep]]
    borders = [i for i in range(len(spans) - 1) if spans[i] != spans[i + 1]]
    columns = []
    for automaton, classes in zip(automata, own.T, strict=True):
        bridges = [read_all(automaton, literals_after(spans, literals, i)) for i in borders]
        columns.append(np.concatenate([automaton.delta[:, classes], *(b[:, None] for b in bridges)], axis=1))
    first_literals = list(literals[: spans[0] + 1])
    starts = [int(read_all(automaton, first_literals)[automaton.start]) for automaton in automata]
    if any(start == automaton.dead for start, automaton in zip(starts, automata, strict=True)):
        return None
    delta, states = product(columns, starts, budget, [automaton.dead for automaton in automata])
    accepting = np.ones(len(delta), dtype=bool)
    for k, automaton in enumerate(automata):
        ending = read_all(automaton, literals_after(spans, literals, len(spans) - 1))
        accepting &= automaton.accepting[ending][states[:, k]]
    lost = (states == [automaton.dead for automaton in automata]).all(axis=1)
    delta[lost[delta]] = -1
    classes = int(keep.sum())
    if usable[pad]:
        delta, accepting = _with_pad_tail(delta, accepting, classes)
        token_class[pad] = classes
    if delta.size <= MINIMISE_CELLS:
        delta, accepting = _merged(delta, accepting)
    return CanvasTable(delta, accepting, token_class, borders)


def _bind(
    automata: Sequence[TokenAutomaton], literals: Sequence[str], spans: Ints, allowed: Tensor | None, budget: Budget
) -> BoundAutomaton | None:
    size = len(automata[0].token_class)
    usable = np.ones(size, dtype=bool) if allowed is None else allowed.any(dim=0).cpu().numpy()
    table = canvas_table(automata, literals, spans, usable, budget)
    if table is None:
        return None
    delta, accepting, token_class, start = table.delta, table.accepting, table.token_class, 0
    classes, borders = table.classes, table.borders

    def engine() -> ForwardBackward:
        nonlocal delta, token_class, classes
        table, token_class = merged_classes(delta[:, :classes], token_class)
        delta = np.concatenate([table, delta[:, classes:]], axis=1)
        classes = table.shape[1]
        maps = {i: delta[:, classes + n].astype(np.int32) for n, i in enumerate(borders)}
        return ForwardBackward(table, token_class, start, accepting, maps, len(spans), allowed)

    if not (delta[:, :classes] >= 0).any():
        return None
    built = engine()
    live = built.live_states()
    if not live[start]:
        return None
    if live.mean() < WORTH_PRUNING:  # keep what lies on a way from the start to acceptance on this canvas
        number = np.append(np.where(live, np.cumsum(live) - 1, -1), -1).astype(np.int32)
        delta, accepting, start = number[delta[live]], accepting[live], int(number[start])
        built = engine()
    return BoundAutomaton(built, automata, literals, spans)


def _with_pad_tail(delta: Ints, accepting: Bools, classes: int) -> tuple[Ints, Bools]:
    """Add the pad token as the last class. It leads to a state in which only pads follow, up to the border; such states
    differ only in what comes behind the border."""
    size = len(delta)
    behind = np.concatenate([accepting[:, None], delta[:, classes:]], axis=1)
    first, which = distinct_rows(behind)
    hopeless = ~accepting[first] & (behind[first, 1:] < 0).all(axis=1)
    closed = np.where(hopeless, -1, size + np.arange(len(first)))
    ended = np.full((len(first), delta.shape[1]), -1, dtype=delta.dtype)
    ended[:, classes:] = behind[first, 1:]
    table = np.concatenate([delta, ended])
    pad = np.concatenate([closed[which], closed])[:, None].astype(delta.dtype)
    table = np.concatenate([table[:, :classes], pad, table[:, classes:]], axis=1)
    return table, np.concatenate([accepting, accepting[first]])


def _merged(delta: Ints, accepting: Bools) -> tuple[Ints, Bools]:
    """Minimise, with -1 for the dead state before and after; the start stays state 0."""
    size = len(delta)
    complete = np.concatenate([delta, np.full((1, delta.shape[1]), -1)])
    complete[complete < 0] = size
    accepting = np.append(accepting, False)
    delta, representative, _ = minimise(complete, accepting.astype(np.int64), 0)
    accepting = accepting[representative]
    stuck = ~accepting & (delta == np.arange(len(delta))[:, None]).all(axis=1)
    delta[stuck[delta]] = -1
    return delta, accepting


def merged_classes(delta: Ints, token_class: Ints) -> tuple[NDArray[np.int32], Ints]:
    """Merge classes of tokens whose transitions are equal, drop those that lead nowhere; keeps their order."""
    columns = np.ascontiguousarray(delta.T, dtype=np.int32)
    first, which = distinct_rows(columns)
    order = np.argsort(first)
    useful = (columns[first[order]] >= 0).any(axis=1)
    number = np.empty(len(first), dtype=np.int64)
    number[order] = np.where(useful, np.cumsum(useful) - 1, -1)
    table = np.ascontiguousarray(columns[first[order]][useful].T)
    return table, np.append(number[which], -1)[token_class]


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
