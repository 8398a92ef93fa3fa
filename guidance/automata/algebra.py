"""Algebra of deterministic finite automata held as arrays: subset construction, product and minimisation, with caps.

Why not greenery or interegular, which do this algebra too: both search every new state through a list of all states
(quadratic), neither lets a cap on states or time interrupt an exponential construction, and their pattern languages
differ from `re` (no anchors or word boundaries, ASCII-only classes). greenery is the independent reference in our
tests.
"""

import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from diffusionlm.guidance.automata.alphabet import Bools, Ints

MANY = 128  # states of an automaton that is refined from distances first
MAX_TABLE = 20_000_000  # numbers of combinations beyond this are searched for instead of looked up

Metastate = TypeVar("Metastate", bound=Hashable)


class AutomatonTooLarge(ValueError):
    """A pattern or a combination of patterns needs more states or time than the cap allows.

    Example:
        >>> from diffusionlm.guidance.testing.toy import toy_vocabulary
        >>> Regex(match="(a|b)*a(a|b){20}").bind(toy_vocabulary())  # doctest: +SKIP
        Traceback (most recent call last):
        diffusionlm.guidance.automata.algebra.AutomatonTooLarge: ...
    """


@dataclass
class Budget:
    """Cap on the states and the seconds that one construction may take.

    Args:
        what: what is being built, in the user's words; the error begins with it.
        states: largest number of states.
        seconds: largest time of this thread's processor, from the creation of the budget: a busy machine refuses no more.
        advice: what to do, the beginning of a sentence that the error ends with.
    """

    what: str
    states: int = 20_000
    seconds: float = 20.0
    advice: str = "Ask for fewer or simpler rules at once, for shorter ones, or for narrower ranges"
    started: float = field(default_factory=time.thread_time)

    @property
    def spent(self) -> float:
        """Seconds of the processor so far."""
        return time.thread_time() - self.started

    def check(self, states: int) -> None:
        """Raise AutomatonTooLarge if `states` or the elapsed time are beyond the cap."""
        if states > self.states:
            raise AutomatonTooLarge(
                f"{self.what} needs more than {self.states:,} automaton states (reached {states:,}). {self.advice}, or raise "
                "max_states where you make the automaton yourself."
            )
        if self.spent > self.seconds:
            raise AutomatonTooLarge(
                f"{self.what} took longer than {self.seconds:g} s to turn into an automaton ({states:,} states so "
                f"far). {self.advice}, or raise max_seconds where you make the automaton yourself."
            )

    def foresee(self, longer: float) -> None:
        """Raise AutomatonTooLarge if the whole, which takes `longer` times the time so far, would be beyond the cap."""
        if self.spent * longer > self.seconds:
            raise AutomatonTooLarge(
                f"{self.what} would take some {self.spent * longer:.0f} s to turn into an automaton, at most "
                f"{self.seconds:g} s are allowed. {self.advice}, or raise max_seconds where you make the automaton yourself."
            )


def determinise(
    start: Metastate,
    step: Callable[[Metastate], Sequence[Metastate]],
    accepts: Callable[[Metastate], bool],
    budget: Budget,
) -> tuple[Ints, Bools]:
    """Subset construction (Rabin and Scott, 1959) over any hashable description of a set of states.

    Args:
        start: description of the first state.
        step: the successors of a state, one for each of the C classes.
        accepts: whether a state accepts.
        budget: cap.

    Returns:
        delta (S, C) and accepting (S,); state 0 is the start.

    Raises:
        AutomatonTooLarge: beyond the cap.
    """
    number: dict[Metastate, int] = {start: 0}
    rows: list[list[int]] = []
    queue = [start]
    for state in queue:  # grows while it is read
        row = []
        for successor in step(state):
            index = number.get(successor)
            if index is None:
                index = number[successor] = len(queue)
                queue.append(successor)
            row.append(index)
        rows.append(row)
        if len(rows) % 64 == 0:
            budget.check(len(queue))
    budget.check(len(queue))
    return np.array(rows, dtype=np.int64), np.array([accepts(state) for state in queue], dtype=bool)


def distinct_rows(table: NDArray[np.integer]) -> tuple[Ints, Ints]:
    """Equal rows of an integer table (N, K), found by a 64-bit hash that is then checked, so the answer is exact.

    Returns:
        first (U,): a row for each distinct value; which (N,): the distinct value of every row.
    """
    random = np.random.default_rng(0x5EED)
    rows = max(1, 2**20 // max(1, table.shape[1]))
    chunks = [slice(i, i + rows) for i in range(0, len(table), rows)]
    while True:
        weights = random.integers(1, 2**63, size=(2, table.shape[1]), dtype=np.uint64) | np.uint64(1)
        hashed = np.empty(len(table), dtype=np.uint64)
        for chunk in chunks:
            values = table[chunk].astype(np.uint64)
            hashed[chunk] = ((values ^ weights[1]) * (values + weights[0])).sum(axis=1)
        _, first, which = np.unique(hashed, return_index=True, return_inverse=True)
        which = which.reshape(-1)
        if all(np.array_equal(table[first[which[chunk]]], table[chunk]) for chunk in chunks):
            return first.astype(np.int64), which.astype(np.int64)


def minimise(delta: Ints, colour: Ints, start: int) -> tuple[Ints, Ints, Ints]:
    """Merge states that no continuation tells apart (Moore's partition refinement), drop unreachable ones and number
    the rest breadth-first, so that equal languages over equal alphabets get equal arrays.

    Args:
        delta: (S, C) transitions.
        colour: (S,) what tells two states apart at once; for an acceptor, whether they accept.
        start: the first state.

    Returns:
        delta (S', C), representative (S',) old states, and which (S,): the new state of each old one, -1 if unreachable
        from the start. State 0 is the start.
    """
    block: Ints = np.unique(colour, return_inverse=True)[1].reshape(-1).astype(np.int64)
    blocks = int(block.max()) + 1
    if (
        len(delta) > MANY and 1 < blocks <= 4
    ):  # a chain of n states, refined step by step, would take n rounds over all of it
        first, block = distinct_rows(_distances(delta, [block == k for k in range(blocks)]))
        blocks = len(first)
    while True:
        first, refined = distinct_rows(np.concatenate([block[:, None], block[delta]], axis=1))
        if len(first) == blocks:
            break
        block, blocks = refined, len(first)
    quotient = refined[delta[first]]
    order = _breadth_first(quotient, int(refined[start]))
    rank = np.full(len(first), -1, dtype=np.int64)
    rank[order] = np.arange(len(order))
    return rank[quotient[order]], first[order], rank[refined]


def _distances(delta: Ints, colours: Sequence[Bools]) -> Ints:
    """Numbers (S, K + 1) that are the same of states that no continuation tells apart: the fewest steps to each colour (S
    where there is no way), and the most steps while more than one colour can still be reached (S if there is no end)."""
    size, width = delta.shape
    order = np.argsort(delta, axis=None, kind="stable")
    begins = np.searchsorted(delta.reshape(-1)[order], np.arange(size + 1))
    sources = order // width

    def before(states: Ints) -> Ints:
        """What leads to some states, once for each way."""
        counts = begins[states + 1] - begins[states]
        offsets = np.repeat(begins[states] - np.cumsum(counts) + counts, counts)
        return sources[offsets + np.arange(counts.sum())]

    columns = []
    for reached in colours:
        found = np.where(reached, 0, size).astype(np.int64)
        frontier: Ints = np.nonzero(reached)[0]
        while len(frontier):
            near = np.unique(before(frontier))
            near = near[found[near] == size]
            found[near] = found[frontier[0]] + 1
            frontier = near
        columns.append(found)
    open_ = (np.stack(columns) < size).sum(0) > 1
    ways = open_[delta].sum(axis=1)
    height = np.full(size, size, dtype=np.int64)
    frontier, steps = np.nonzero(open_ & (ways == 0))[0], 0
    while len(frontier):
        height[frontier] = steps
        near, counts = np.unique(before(frontier), return_counts=True)
        ways[near] -= counts
        frontier, steps = near[open_[near] & (ways[near] == 0)], steps + 1
    return np.stack([*columns, height], axis=1)


def _breadth_first(delta: Ints, start: int) -> Ints:
    seen = np.zeros(len(delta), dtype=bool)
    seen[start] = True
    frontier: Ints = np.array([start], dtype=np.int64)
    layers = [frontier]
    while len(frontier):
        reached, position = np.unique(delta[frontier].reshape(-1), return_index=True)
        fresh = ~seen[reached]
        frontier = reached[fresh][np.argsort(position[fresh], kind="stable")]
        seen[frontier] = True
        layers.append(frontier)
    return np.concatenate(layers)


def product(
    deltas: Sequence[NDArray[np.integer]], starts: Sequence[int], budget: Budget, dead: Sequence[int] | None = None
) -> tuple[Ints, Ints]:
    """The automaton that runs several automata over one alphabet side by side (only states reachable from the start).

    Args:
        deltas: one (S_k, C) table for each automaton.
        starts: their first states.
        budget: cap on reachable combinations.
        dead: a state of each automaton from which nothing is accepted. If given, combinations in which any automaton is
            dead become one state.

    Returns:
        delta (S, C) and states (S, K): which state of each automaton a state stands for. State 0 is the start.
    """
    sizes = [len(delta) for delta in deltas]
    if np.prod([float(size) for size in sizes]) >= 2**62:
        raise AutomatonTooLarge(
            f"{budget.what}: the combination of {sizes} states cannot be numbered. Use fewer at once."
        )
    strides = np.cumprod([1, *sizes[:-1]]).astype(np.int64)
    all_dead = int(np.dot(strides, dead)) if dead is not None else -1
    frontier: Ints = np.array([int(np.dot(strides, starts))], dtype=np.int64)
    codes = _Codes(int(np.prod(sizes)) if np.prod([float(size) for size in sizes]) <= MAX_TABLE else None)
    codes.add(frontier)
    moves = []
    while len(frontier):
        target = np.zeros((len(frontier), deltas[0].shape[1]), dtype=np.int64)
        lost = np.zeros(target.shape, dtype=bool)
        for k, (delta, stride, size) in enumerate(zip(deltas, strides, sizes, strict=True)):
            part = delta[(frontier // stride) % size]
            target += stride * part
            if dead is not None:
                lost |= part == dead[k]
        target[lost] = all_dead
        frontier = codes.new(target)
        codes.add(frontier)
        moves.append(target if codes.table is None else codes.table[target])
        budget.check(codes.count)
    known = np.concatenate(codes.known)
    if codes.table is None:
        order = np.argsort(known).astype(np.int32)
        moves = [order[np.searchsorted(known, target, sorter=order)] for target in moves]
    states = np.stack([(known // stride) % size for stride, size in zip(strides, sizes, strict=True)], axis=1)
    return np.concatenate(moves), states


class _Codes:
    """Numbers given to combinations of states in the order of their discovery; by a table where it is small enough."""

    def __init__(self, size: int | None) -> None:
        self.table = None if size is None else np.full(size, -1, dtype=np.int32)
        self.known: list[Ints] = []
        self.count = 0

    def add(self, codes: Ints) -> None:
        self.known.append(codes)
        if self.table is not None:
            self.table[codes] = np.arange(self.count, self.count + len(codes))
        self.count += len(codes)

    def new(self, codes: Ints) -> Ints:
        """The distinct ones of `codes` that have no number yet."""
        if self.table is None:
            reached = np.unique(codes)
            return reached[~np.isin(reached, np.concatenate(self.known))]
        reached = np.zeros(len(self.table), dtype=bool)
        reached[codes] = True
        return np.nonzero(reached & (self.table < 0))[0]
