"""Many phrases in any order, without a state for every set of them.

All of n phrases at once need a state for each set of phrases seen, 2^n times the places in the phrases. A text that holds
all of them holds them in some order, though, and for one order the automaton is a chain: n phrases one after the other,
each with the states of its own small automaton. So every row of a batch has an order (chosen elsewhere), and inference is
exact for that order. What is accepted always holds every phrase.

A stage of the chain runs the automaton of one phrase. Where that is found, the next one begins, in the state it had reached
meanwhile: phrases may touch and overlap. That state is the least that all texts leading there have in common, so the chain
never believes more than is true.

Shapes: L positions, n phrases, N states of all phrases side by side, T of them with pads, C classes of tokens, U
labels (sets of classes), E edges.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from threading import RLock
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffusionlm.guidance.automata.algebra import distinct_rows
from diffusionlm.guidance.automata.alphabet import Bools, Ints
from diffusionlm.guidance.automata.bound import literals_after, read_all
from diffusionlm.guidance.automata.over_tokens import TokenAutomaton
from diffusionlm.guidance.automata.pairs import least_of, met_together
from diffusionlm.guidance.automata.scaled import RowGraph, incidence
from diffusionlm.guidance.automata.token_classes import TokenClasses

MAX_ORDERS = 256  # whose chains are kept


@dataclass
class Stage:
    """The automaton of one phrase on a canvas.

    Attributes:
        delta: (S, C) targets; `lost` and `found` are states of it.
        after: the map (S,) of states under the known text behind each span (by its last position).
        start, found, lost: states; found: the phrase has occurred.
        accepting: (S,).
        offset: number of its first state in the chain.
    """

    delta: Ints
    after: Mapping[int, Ints]
    start: int
    found: int
    lost: int
    accepting: Bools
    offset: int

    @cached_property
    def below(self) -> Bools:
        """(S, S): whether all that is accepted from one state is accepted from the other."""
        columns = np.concatenate(
            [np.unique(self.delta, axis=1), *(own[:, None] for own in self.after.values())], axis=1
        )
        below = ~(self.accepting[:, None] & ~self.accepting)
        while True:
            more = below & below[columns[:, None], columns[None]].all(axis=2)
            if (more == below).all():
                return below
            below = more


@dataclass
class PhraseChain:
    """The automata of phrases, ready to be put into any order on a canvas.

    Args:
        automata: one for each phrase; each accepts exactly the texts that hold it.
        literals: known texts in internal form.
        spans: (L,) span of each position.
        usable: (V,) tokens that may stand at some position.
    """

    automata: Sequence[TokenAutomaton]
    literals: Sequence[str]
    spans: Ints
    usable: Bools
    labels: list[Ints] = field(default_factory=list)
    _label_of: dict[bytes, int] = field(default_factory=dict, repr=False)
    _pairs: dict[tuple[int, int], tuple[Ints, Ints, Ints, Ints]] = field(default_factory=dict, repr=False)
    _graphs: OrderedDict[tuple[int, ...], RowGraph] = field(default_factory=OrderedDict, repr=False)
    _members: tuple[int, Tensor] | None = field(default=None, repr=False)
    _lock: Any = field(default_factory=RLock, repr=False)  # chains are kept, and several threads may ask for orders

    def __post_init__(self) -> None:
        pad = self.automata[0].pad_id
        signature = np.stack([automaton.token_class for automaton in self.automata], axis=1)
        signature[~self.usable] = -1
        signature[pad] = -1
        first, token_class = distinct_rows(signature)
        keep = (signature[first] >= 0).all(axis=1)
        for k, automaton in enumerate(self.automata):
            keep &= ~(automaton.delta[:, np.maximum(signature[first][:, k], 0)] == automaton.dead).all(axis=0)
        # Classes that one phrase alone tells apart stand side by side, so that labels share blocks of them.
        order = np.lexsort(signature[first[keep]].T)
        rank = np.argsort(order)
        self.token_class = np.where(keep, rank[np.maximum(np.cumsum(keep) - 1, 0)] if keep.any() else -1, -1)[
            token_class
        ]
        self.own = signature[first[keep]][order]
        self.pad_class = int(keep.sum()) if self.usable[pad] else -1
        self.num_classes = int(keep.sum()) + (self.pad_class >= 0)
        self.token_class[pad] = self.pad_class
        self.borders = [i for i in range(len(self.spans) - 1) if self.spans[i] != self.spans[i + 1]]
        self.places = [*self.borders, len(self.spans) - 1]
        self.stages: list[Stage] = []
        offset = 0
        for automaton, classes in zip(self.automata, self.own.T, strict=True):
            after = {i: read_all(automaton, literals_after(self.spans, self.literals, i)) for i in self.places}
            start = int(read_all(automaton, list(self.literals[: self.spans[0] + 1]))[automaton.start])
            found = int(np.nonzero(automaton.accepting & _absorbing(automaton))[0][0])
            delta = automaton.delta[:, classes].astype(np.int64)
            reached = _reachable([*delta.T, *(after[i] for i in self.borders)], start)
            delta[~reached] = automaton.dead
            self.stages.append(Stage(delta, after, start, found, automaton.dead, automaton.accepting, offset))
            offset += automaton.num_states
        self.done = offset
        self.num_open = offset + 1
        self.num_states = self.num_open + (self.num_open if self.borders else 1)

    def _label(self, classes: Ints) -> int:
        key = classes.tobytes()
        if key not in self._label_of:
            self._label_of[key] = len(self.labels)
            self.labels.append(classes)
        return self._label_of[key]

    def _labelled(self, source: Ints, column: Ints, target: Ints) -> tuple[Ints, Ints, Ints]:
        """Transitions (source, class, target) as edges: source, target, label."""
        if not len(source):
            return source, target, column
        order = np.lexsort((column, target, source))
        source, column, target = source[order], column[order], target[order]
        begin = np.nonzero(np.concatenate([[True], (np.diff(source) != 0) | (np.diff(target) != 0)]))[0]
        labels = [self._label(own) for own in np.split(column, begin[1:])]
        return source[begin], target[begin], np.array(labels)

    @cached_property
    def within(self) -> tuple[Ints, Ints, Ints]:
        """Edges that stay in a stage, of pads, and of the state behind all stages: source, target, label."""
        parts = []
        for stage in self.stages:
            delta = stage.delta
            moves = (delta != stage.found) & (delta != stage.lost)
            moves[[stage.found, stage.lost]] = False
            state, column = np.nonzero(moves)
            parts.append((state + stage.offset, column, delta[state, column].astype(np.int64) + stage.offset))
        every = np.arange(self.num_classes - (self.pad_class >= 0))
        parts.append((np.full(len(every), self.done), every, np.full(len(every), self.done)))
        if self.pad_class >= 0 and self.borders:
            open_states = np.arange(self.num_open)
            for source in (open_states, open_states + self.num_open):
                parts.append((source, np.full(self.num_open, self.pad_class), open_states + self.num_open))
        elif self.pad_class >= 0:
            closed = np.array([self.num_open])
            parts.append((closed, np.array([self.pad_class]), closed))
        source, column, target = (np.concatenate(own) for own in zip(*parts, strict=True))
        return self._labelled(source, column, target)

    def common(self, k: int, follower: int) -> Ints:
        """The state (S_k,) of the automaton of `follower` where that of k is in a state: the least of all that are
        possible, -1 where there is no least one or the state cannot be reached."""
        return self._pair(k, follower)[3]

    def _pair(self, k: int, follower: int) -> tuple[Ints, Ints, Ints, Ints]:
        if (k, follower) not in self._pairs:
            one, two = self.stages[k], self.stages[follower]
            least = least_of(self._met(k, follower), two.below)
            ends, column = np.nonzero(one.delta == one.found)
            entry = least[ends]
            into = np.where(entry >= 0, two.delta[np.maximum(entry, 0), column], two.lost)
            good = (into != two.lost) & (into != two.found) & (ends != one.found)
            edges = self._labelled(ends[good] + one.offset, column[good], into[good].astype(np.int64) + two.offset)
            self._pairs[k, follower] = (*edges, least)
        return self._pairs[k, follower]

    def _met(self, k: int, follower: int) -> Bools:
        """(S_k, S_follower) states in which the two automata can be at the same time."""
        one, two = self.stages[k], self.stages[follower]
        width = int(self.own[:, follower].max(initial=0)) + 1
        both = self.own[:, k].astype(np.int64) * width + self.own[:, follower]
        own = np.unique(both, return_index=True)[1]
        maps = [
            np.concatenate([s.delta[:, own], *(s.after[i][:, None] for i in self.borders)], axis=1) for s in (one, two)
        ]
        return met_together(maps, (one.start, two.start), (one.lost, two.lost))

    def _last(self, k: int) -> tuple[Ints, Ints, Ints]:
        if (k, -1) not in self._pairs:
            stage = self.stages[k]
            state, column = np.nonzero(stage.delta == stage.found)
            good = state != stage.found
            end = np.full(int(good.sum()), self.done)
            self._pairs[k, -1] = (*self._labelled(state[good] + stage.offset, column[good], end), end)
        return self._pairs[k, -1][:3]

    def in_order(self, order: Sequence[int]) -> RowGraph:
        """The chain of an order of the phrases; the last ones are kept."""
        order = tuple(order)
        with self._lock:
            if order not in self._graphs:
                self._graphs[order] = self._graph(order)
                while len(self._graphs) > MAX_ORDERS:
                    self._graphs.popitem(last=False)
            self._graphs.move_to_end(order)
            return self._graphs[order]

    def _graph(self, order: tuple[int, ...]) -> RowGraph:
        parts = [self.within, *(self._pair(a, b)[:3] for a, b in itertools.pairwise(order)), self._last(order[-1])]
        after = {i: self._read(order, i) for i in self.places}
        ends = np.zeros(self.num_open, dtype=bool)
        ends[self.done] = True
        last = self.stages[order[-1]]
        ends[last.offset : last.offset + len(last.accepting)] = last.accepting
        reached = after[self.places[-1]]
        final = (reached >= 0) & ends[np.maximum(reached, 0)]
        if self.borders:
            accepting = np.concatenate([final, final])
        else:
            accepting = np.append(final, True)
            if self.pad_class >= 0:
                state = np.nonzero(final)[0]
                pads = np.full(len(state), self._label(np.array([self.pad_class])))
                parts.append((state, np.full(len(state), self.num_open), pads))
        source, target, label = (np.concatenate(own) for own in zip(*parts, strict=True))
        start = self._go_on(order, lambda k: self.stages[k].start)
        bridges = {i: np.concatenate([after[i], after[i]]) for i in self.borders}
        return RowGraph(source, target, label, self.num_states, start, accepting, bridges)

    def _read(self, order: Sequence[int], place: int) -> NDArray[np.int64]:
        """The map (N,) of states under the known text behind a position; -1 where nothing is accepted any more."""
        if self._unchanged[place]:
            out = np.arange(self.num_open)
            out[[stage.offset + stage.lost for stage in self.stages]] = -1
            return out
        out = np.full(self.num_open, -1)
        out[self.done] = self.done
        place_of = {k: n for n, k in enumerate(order)}
        for k in order:
            stage = self.stages[k]
            target = stage.after[place].astype(np.int64)
            own = np.where(target == stage.lost, -1, target + stage.offset)
            for state in np.nonzero(target == stage.found)[0]:
                own[state] = self._go_on(order[place_of[k] + 1 :], partial(self._moved_to, k, int(state), place))
            out[stage.offset : stage.offset + len(own)] = own
        return out

    @cached_property
    def _unchanged(self) -> dict[int, bool]:
        """Whether no known text stands behind a position."""
        return {i: not any(literals_after(self.spans, self.literals, i)) for i in self.places}

    def _moved_to(self, k: int, state: int, place: int, follower: int) -> int:
        return self._moved(k, follower, state, place)

    def _moved(self, k: int, follower: int, state: int, place: int) -> int:
        """The state of a follower behind known text, where phrase k was in a state before it."""
        entry = int(self.common(k, follower)[state])
        return self.stages[follower].lost if entry < 0 else int(self.stages[follower].after[place][entry])

    def _go_on(self, rest: Sequence[int], state_of: Callable[[int], int]) -> int:
        """The state of the chain in the first of the remaining phrases that is not found yet."""
        for k in rest:
            state = state_of(k)
            if state != self.stages[k].found:
                return -1 if state == self.stages[k].lost else state + self.stages[k].offset
        return self.done

    @cached_property
    def tokens(self) -> TokenClasses:
        """Sums from tokens into classes and back."""
        return TokenClasses(self.token_class, self.num_classes)

    @property
    def members(self) -> Tensor:
        """(C, U) 1.0 where a class is in a label; made anew where an order brought new labels."""
        with self._lock:
            if self._members is None or self._members[0] != len(self.labels):
                self._members = len(self.labels), incidence(self.labels, self.num_classes)
            return self._members[1]

    def hold(self, ids: Sequence[int]) -> bool:
        """Whether a canvas of token ids (L,) holds all phrases; read by the automaton of each."""
        for automaton in self.automata:
            state = int(read_all(automaton, list(self.literals[: self.spans[0] + 1]))[automaton.start])
            for i, token in enumerate(ids):
                if token != automaton.pad_id:
                    state = int(automaton.delta[state, automaton.token_class[token]])
                if known := literals_after(self.spans, self.literals, i):
                    state = int(read_all(automaton, known)[state])
            if not automaton.accepting[state]:
                return False
        return True

    @property
    def live(self) -> Tensor:
        """(V,) bool: tokens that can be accepted somewhere."""
        return torch.from_numpy(self.token_class >= 0)


def _reachable(maps: Sequence[Ints], start: int) -> Bools:
    reached = np.zeros(len(maps[0]), dtype=bool)
    reached[start] = True
    while True:
        more = reached.copy()
        for own in maps:
            more[own[reached]] = True
        if (more == reached).all():
            return reached
        reached = more


def _absorbing(automaton: TokenAutomaton) -> Bools:
    """States that only lead to themselves or to the dead state."""
    same = automaton.delta == np.arange(automaton.num_states)[:, None]
    return (same | (automaton.delta == automaton.dead)).all(axis=1) & (
        np.arange(automaton.num_states) != automaton.dead
    )
