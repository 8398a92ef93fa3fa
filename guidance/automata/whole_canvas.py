"""`WholeCanvas`: constraints on a canvas that is written block by block, each block from the state in which the last one ended.

The constraints become one automaton on the whole canvas. A backward pass over all its positions finds the states at the end of
each block from which a text that obeys can still be written in the positions behind it. A block is then an automaton of its own
positions alone: it starts in the state that the tokens before it lead to, and may end in any of these states. So what a block
costs does not depend on how long the canvas is, and the rules hold over all of it, whatever the borders.

Shape letters: L positions of the whole canvas, V vocabulary, S states, C classes of tokens, P patterns of allowed tokens.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from diffusionlm.guidance.automata.algebra import Budget, distinct_rows, product
from diffusionlm.guidance.automata.alphabet import Bools, Ints
from diffusionlm.guidance.automata.binding import canvas_table, merged_classes, why_not
from diffusionlm.guidance.automata.bound import BoundAutomaton, UnsatisfiableConstraint, named
from diffusionlm.guidance.automata.inference import ForwardBackward
from diffusionlm.guidance.automata.over_tokens import TokenAutomaton

MAX_STATES = 100_000
MAX_SECONDS = 60.0
MAX_REMEMBERED = 256


class BlockTable(NamedTuple):
    """Constraints on one block.

    Attributes:
        delta: (S, C) target states, -1 where nothing can be accepted.
        token_class: (V,) class of each token, -1 for tokens that are never accepted.
        start: the first state.
        accepting: (S,) states from which what stands behind the block can still be met.
    """

    delta: NDArray[np.int32]
    token_class: Ints
    start: int
    accepting: Bools


class WholeCanvas:
    """Constraints on a canvas that is written in blocks.

    Args:
        automata: as of `bind`.
        literals: known texts between the spans in internal form.
        span_index: (L,) the span of each position.
        patterns: (P, V) bool, the sets of tokens that positions allow.
        pattern_of: (L,) the set of each position.
        ends: the position behind each block, ascending; the last one is L.
        ascii_tokens: (V,) bool, tokens that are whole characters and pad; given where tokens are bytes, so that a block ends
            between two characters where it can: no rule about text reads on from the middle of one with an ASCII character.

    Raises:
        UnsatisfiableConstraint: if no text on the canvas obeys, naming the constraint.
        AutomatonTooLarge: if the product is too large.
    """

    def __init__(
        self,
        automata: Sequence[TokenAutomaton],
        literals: Sequence[str],
        span_index: Tensor,
        patterns: Tensor,
        pattern_of: Tensor,
        ends: Sequence[int],
        ascii_tokens: Tensor | None = None,
    ) -> None:
        self.automata, self.literals = tuple(automata), tuple(literals)
        self._spans = span_index.cpu().numpy().astype(np.int64)
        self._patterns, self._pattern_of = patterns.cpu().numpy(), pattern_of.tolist()
        self.ends = list(ends)
        self._ascii = None if ascii_tokens is None else ascii_tokens.cpu().numpy()
        if not self._prepare(self.automata):
            raise UnsatisfiableConstraint(
                why_not(automata, len(self._spans), len(literals) - 1, lambda one: not self._prepare(tuple(one)))
            )
        self._walked: OrderedDict[tuple[int, ...], int] = OrderedDict({(): 0})

    def _prepare(self, automata: tuple[TokenAutomaton, ...]) -> bool:
        """Builds the automaton and finds what can still be met behind each block; whether all of it can be met."""
        budget = Budget(named([a.name for a in automata]), MAX_STATES, MAX_SECONDS)
        usable = np.asarray(self._patterns.any(0))
        table = canvas_table(automata, self.literals, self._spans, usable, budget)
        if table is None:
            return False
        bridges = table.delta[:, table.classes :]
        self._delta, self._token_class = merged_classes(table.delta[:, : table.classes], table.token_class)
        self._bridges = {position: bridges[:, n] for n, position in enumerate(table.borders)}
        self._possible = [
            np.unique(own[own >= 0]) for own in (self._token_class[pattern] for pattern in self._patterns)
        ]
        self._steps: dict[int, tuple[Ints, NDArray[np.int32]]] = {}  # of each pattern: number of each state's, targets
        self._live: dict[int, Bools] = {}  # states behind each block from which the rest can be met
        self._between_characters: dict[int, Bools] = {}  # of these, where an ASCII character may follow
        return bool(self._sweep(table.accepting)[0])

    def _sweep(self, accepting: Bools) -> Bools:
        """States (S,) before the first position from which the canvas can be met; keeps those behind each block."""
        live, wanted, length = accepting, set(self.ends), len(self._spans)
        behind = live  # of the position that follows
        for i in reversed(range(length)):
            if i in self._bridges:
                live = np.append(live, False)[self._bridges[i]]
            if i + 1 in wanted:
                self._live[i + 1] = live
                if self._ascii is not None and i + 1 < length and i not in self._bridges:
                    own = self._token_class[self._patterns[self._pattern_of[i + 1]] & self._ascii]
                    leads_on = np.append(behind, False)[self._delta[:, np.unique(own[own >= 0])]].any(1)
                    self._between_characters[i + 1] = live & leads_on
            same = i + 1 < length and self._pattern_of[i] == self._pattern_of[i + 1] and i not in self._bridges
            if same and np.array_equal(behind, live):
                continue  # one step back changes nothing, nor did the last one
            behind = live
            live = self._step_back(live, self._pattern_of[i])
        return live

    def _step_back(self, live: Bools, pattern: int) -> Bools:
        """States (S,) that some allowed token leads into ``live``; each distinct step of a state is looked at once."""
        if pattern not in self._steps:
            moves = np.sort(self._delta[:, self._possible[pattern]], axis=1)
            fresh = moves >= 0
            fresh[:, 1:] &= moves[:, 1:] != moves[:, :-1]
            self._steps[pattern] = fresh.sum(1), moves[fresh]
        counts, targets = self._steps[pattern]
        out = np.zeros(len(live), dtype=bool)
        some = counts > 0
        if some.any():
            out[some] = np.logical_or.reduceat(live[targets], np.cumsum(counts[some]) - counts[some])
        return out

    def state_after(self, ids: tuple[int, ...]) -> int:
        """The state before position ``len(ids)``, when ``ids`` stand before it (pads behind the end of a span included); -1
        where they obey no longer."""
        known = next(
            end for end in (*reversed([e for e in self.ends if e <= len(ids)]), 0) if ids[:end] in self._walked
        )
        state = self._walked[ids[:known]]
        for i in range(known, len(ids)):
            label = self._token_class[ids[i]]
            state = int(self._delta[state, label]) if state >= 0 and label >= 0 else -1
            if state >= 0 and i in self._bridges:
                state = int(self._bridges[i][state])
        self._walked[ids] = state
        while len(self._walked) > MAX_REMEMBERED:
            self._walked.popitem(last=False)
        self._walked.setdefault((), 0)
        return state

    def table(self, ids: tuple[int, ...], end: int) -> BlockTable:
        """The automaton of the positions from ``len(ids)`` to ``end``, one of `ends`, behind the tokens ``ids``.

        Raises:
            UnsatisfiableConstraint: if nothing that can stand in the block leaves a text that obeys.
        """
        begin, start = len(ids), self.state_after(ids)
        for accepting in (self._between_characters.get(end), self._live[end]):
            live = None if accepting is None else self._states(start, begin, end, accepting)
            if live is not None:
                break
        else:
            raise UnsatisfiableConstraint(_no_longer(self.automata, begin))
        assert accepting is not None
        number = np.append(np.where(live, np.cumsum(live) - 1, -1), -1).astype(np.int32)
        delta, token_class = merged_classes(number[self._delta[live]], self._token_class)
        return BlockTable(delta, token_class, int(number[start]), accepting[live])

    def _states(self, start: int, begin: int, end: int, accepting: Bools) -> Bools | None:
        """States (S,) on a way through the block to one that accepts; None if there is no way."""
        if start < 0:
            return None
        size = len(self._delta)
        reached = [np.zeros(size, dtype=bool)]
        reached[0][start] = True
        for i in range(begin, end):
            after = np.zeros(size + 1, dtype=bool)
            after[self._delta[np.ix_(reached[-1], self._possible[self._pattern_of[i]])]] = True
            reached.append(after[:-1])
        useful = reached[-1] & accepting
        if not useful.any():
            return None
        union = useful.copy()
        for i, before in zip(reversed(range(begin, end)), reversed(reached[:-1]), strict=True):
            useful = before & self._step_back(useful, self._pattern_of[i])
            union |= useful
        return union


def bind_block(
    wholes: Sequence[WholeCanvas], ids: tuple[int, ...], end: int, allowed: Tensor, most: int = MAX_STATES
) -> BoundAutomaton:
    """Constraints on the positions from ``len(ids)`` to ``end`` behind the tokens ``ids``, those of several canvases together.

    What is one `WholeCanvas` can be met together behind the block; of several each can be met by itself.

    Args:
        wholes: the constraints.
        ids: all tokens before the block.
        end: position behind it.
        allowed: (end - len(ids), V) bool.
        most: cap on the states of all together.

    Raises:
        UnsatisfiableConstraint: if nothing that can stand in the block leaves a text that obeys.
        AutomatonTooLarge: beyond the cap.
    """
    automata = [automaton for whole in wholes for automaton in whole.automata]
    found = [whole.table(ids, end) for whole in wholes]
    table = found[0]
    if len(found) > 1:
        first, token_class = distinct_rows(np.stack([own.token_class for own in found], axis=1))
        classes = np.stack([own.token_class[first] for own in found])
        keep = (classes >= 0).all(axis=0)
        columns = []  # the last state of each is dead
        for own, label in zip(found, classes[:, keep], strict=True):
            moves = np.vstack([own.delta[:, label], np.full((1, int(keep.sum())), -1)])
            columns.append(np.where(moves < 0, len(own.delta), moves))
        dead = [len(own.delta) for own in found]
        budget = Budget(named([a.name for a in automata]), most, MAX_SECONDS)
        delta, states = product(columns, [own.start for own in found], budget, dead)
        lost = (states == dead).all(axis=1)
        delta[lost[delta]] = -1
        accepting = np.asarray(
            np.stack([np.append(own.accepting, False)[states[:, k]] for k, own in enumerate(found)]).all(axis=0)
        )
        merged, token_class = merged_classes(delta, np.where(keep, np.cumsum(keep) - 1, -1)[token_class])
        table = BlockTable(merged, token_class, 0, accepting)
    length = end - len(ids)
    engine = ForwardBackward(table.delta, table.token_class, table.start, table.accepting, {}, length, allowed.cpu())
    if len(found) > 1:
        live = engine.live_states()
        if not live[table.start]:
            raise UnsatisfiableConstraint(_no_longer(automata, len(ids)))
        number = np.append(np.where(live, np.cumsum(live) - 1, -1), -1).astype(np.int32)
        kept, token_class = merged_classes(number[table.delta[live]], table.token_class)
        start, accepting = int(number[table.start]), table.accepting[live]
        engine = ForwardBackward(kept, token_class, start, accepting, {}, length, allowed.cpu())
    return BoundAutomaton(engine, automata, ("", ""), np.zeros(length, dtype=np.int64))


def _no_longer(automata: Sequence[TokenAutomaton], begin: int) -> str:
    return (
        f"The constraint {named([a.name for a in automata])} can no longer be met behind the first {begin} tokens of this "
        "text. Ask for a longer text or for fewer rules at once."
    )


def block_ends(spans: Sequence[int], most: int) -> list[int]:
    """Positions behind blocks of at most ``most`` positions, none of which holds positions of two spans; as even as can be.

    Args:
        spans: (L,) the span of each position, ascending.
        most: positions of a block.
    """
    borders = [0, *(i for i in range(1, len(spans)) if spans[i] != spans[i - 1]), len(spans)]
    ends: list[int] = []
    for first, last in pairwise(borders):
        count = -(-(last - first) // most)
        ends += [first + -(-(last - first) * n // count) for n in range(1, count + 1)]
    return ends
