"""Texts in which nothing of a kind occurs, where only what the spans complete counts.

An `Occurrence` is a core that is looked for, with what may stand before and behind it. Known text may hold occurrences
already: it stays as it is, byte for byte. What must not happen is that an occurrence holds a character that was
*generated*. So the automata here read an alphabet of characters with a mark, generated or known; tokens of spans are
read with one mark, known text with the other.

With B, C and A the languages of what stands before, of the core, and of what stands behind, a text u v w is forbidden if
u is in B, v in C, w in A and some character of v was generated. Each of the three is a deterministic automaton; their
concatenation is determinised (Rabin and Scott, 1959) with one bit for each active core: has it seen a generated
character?
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from diffusionlm.guidance.automata.algebra import Budget, determinise, minimise, product
from diffusionlm.guidance.automata.alphabet import Bools, Ints, classify, common_partition
from diffusionlm.guidance.automata.language import Language

_FOUND = -1


@dataclass(frozen=True)
class Occurrence:
    """What is looked for in a text.

    Attributes:
        core: the texts that count, none of them empty.
        before: what may stand before the core, all of it up to the beginning of the text; None: anything.
        behind: what may stand behind it, all of it up to the end; None: anything.
    """

    core: Language
    before: Language | None = None
    behind: Language | None = None


@dataclass(frozen=True, eq=False)
class Absence:
    """Texts without some occurrences that hold a generated character.

    Attributes:
        name: in the user's words.
        cuts, classes: partition of Unicode into C classes, as in `Language`.
        delta: (S, 2, C) transitions, for generated (0) and for known (1) characters. State 0 is the start.
        accepting: (S,) whether the text may end there.
    """

    name: str
    cuts: Ints
    classes: Ints
    delta: NDArray[np.integer]
    accepting: Bools

    @property
    def num_states(self) -> int:
        """Number of states S."""
        return len(self.delta)

    @cached_property
    def key(self) -> str:
        """Equal for equal tables."""
        digest = hashlib.sha256()
        for array in (self.cuts, self.classes, self.delta, self.accepting):
            digest.update(np.ascontiguousarray(array, dtype=np.int64).tobytes() + b"|")
        return digest.hexdigest()

    @property
    def lost(self) -> Ints:
        """States after an occurrence, from which no text is accepted any more."""
        return np.nonzero(_hopeless(self.delta, self.accepting))[0]

    @property
    def generated(self) -> Language:
        """As a language of texts of which every character was generated; not minimal, states as in ``delta``."""
        return Language(self.name, self.cuts, self.classes, self.delta[:, 0], self.accepting)

    @property
    def known(self) -> Language:
        """The same table for known characters."""
        return Language(self.name, self.cuts, self.classes, self.delta[:, 1], self.accepting)

    def accepts(self, text: str, generated: Sequence[tuple[int, int]] | None = None) -> bool:
        """Whether no occurrence in the text holds a generated character.

        Args:
            text: the text.
            generated: (start, end) in characters, what was generated; None: all of it.
        """
        mark = np.full(len(text), generated is not None, dtype=np.int64)
        for start, end in generated or ():
            mark[start:end] = 0
        state = 0
        for symbol, known in zip(classify(text, self.cuts, self.classes).tolist(), mark.tolist(), strict=True):
            state = int(self.delta[state, known, symbol])
        return bool(self.accepting[state])


def absence(
    name: str, occurrences: Sequence[Occurrence], max_states: int = 20_000, max_seconds: float = 60.0
) -> Absence:
    """Texts in which none of the occurrences holds a generated character.

    Raises:
        ValueError: if there are no occurrences, or a core may be empty.
        AutomatonTooLarge: beyond a cap.
    """
    if not occurrences:
        raise ValueError(f"{name}: there is nothing to look for; give at least one occurrence.")
    for item in occurrences:
        if item.core.accepting[0]:
            raise ValueError(f"{name}: the core {item.core.name!r} also matches the empty text, which is everywhere.")
    languages = [part for item in occurrences for part in (item.before, item.core, item.behind) if part is not None]
    cuts, classes, own = common_partition([(part.cuts, part.classes) for part in languages])
    tables = {id(part): part.delta[:, columns] for part, columns in zip(languages, own, strict=True)}
    machine = _Machine(occurrences, tables, len(own[0]))
    budget = Budget(name, max_states, max_seconds)
    delta, accepting = determinise(machine.start, machine.step, machine.accepts, budget)
    return minimal_absence(name, cuts, classes, delta.reshape(len(delta), 2, -1), accepting)


def all_absent(name: str, parts: Sequence[Absence], max_states: int = 100_000, max_seconds: float = 60.0) -> Absence:
    """Texts that obey all of several absences, as one automaton.

    Raises:
        AutomatonTooLarge: beyond a cap.
    """
    together = parts[0]
    for part in sorted(parts[1:], key=lambda part: part.num_states):  # minimal after each, so it stays small
        together = _both(name, together, part, max_states, max_seconds)
    return Absence(name, together.cuts, together.classes, together.delta, together.accepting)


def _both(name: str, one: Absence, other: Absence, max_states: int, max_seconds: float) -> Absence:
    parts = (one, other)
    cuts, classes, own = common_partition([(part.cuts, part.classes) for part in parts])
    deltas = [part.delta[:, :, columns].reshape(len(part.delta), -1) for part, columns in zip(parts, own, strict=True)]
    lost = [int(part.lost[0]) for part in parts]
    delta, states = product(deltas, [0] * len(parts), Budget(name, max_states, max_seconds), lost)
    accepting = np.ones(len(delta), dtype=bool)
    for k, part in enumerate(parts):
        accepting &= part.accepting[states[:, k]]
    return minimal_absence(name, cuts, classes, delta.reshape(len(delta), 2, -1), accepting)


class _Machine:
    """The states of the determinised concatenation: where every "before" stands, which cores are being read (with the
    bit), and what waits to be confirmed by what stands behind."""

    def __init__(self, occurrences: Sequence[Occurrence], tables: dict[int, Ints], width: int) -> None:
        self.width = width
        self.before = [
            None if item.before is None else (tables[id(item.before)].tolist(), item.before.accepting.tolist())
            for item in occurrences
        ]
        self.moves: list[list[tuple[int, ...]]] = []  # of each item, for each class and mark: the items it becomes
        self.ends: list[bool] = []  # whether an item forbids a text that ends there
        self.first: list[int] = []  # the item that begins each core
        for item in occurrences:
            self._add(item, tables)
        self.start = (tuple(0 for _ in self.before), frozenset[int]())

    def _add(self, item: Occurrence, tables: dict[int, Ints]) -> None:
        core, base = tables[id(item.core)], len(self.moves)
        size, behind_base = len(core), base + 2 * len(core)
        self.first.append(base)
        hopeless = _hopeless(core, item.core.accepting)
        done = (_FOUND,) if item.behind is None else (behind_base,)
        for state in range(size):
            for seen in (0, 1):
                row = []
                for mark in (1, 0):  # generated first, as in delta
                    for target in core[state].tolist():
                        bit = seen | mark
                        ends = done if bit and item.core.accepting[target] else ()
                        row.append(ends if hopeless[target] else (base + 2 * target + bit, *ends))
                self.moves.append(row)
                self.ends.append(False)
        if item.behind is not None:
            table, accepting = tables[id(item.behind)], item.behind.accepting
            lost = _hopeless(table, accepting)
            certain = _hopeless(table, ~accepting)
            for state in range(len(table)):
                one: list[tuple[int, ...]] = [
                    (_FOUND,) if certain[target] else () if lost[target] else (behind_base + target,)
                    for target in table[state].tolist()
                ]
                self.moves.append(one + one)
                self.ends.append(bool(accepting[state]))

    def step(self, state: tuple[tuple[int, ...], frozenset[int]]) -> list[tuple[tuple[int, ...], frozenset[int]]]:
        places, items = state
        if _FOUND in items:
            return [state] * (2 * self.width)
        active = [
            *items,
            *(
                first
                for first, before, place in zip(self.first, self.before, places, strict=True)
                if before is None or before[1][place]
            ),
        ]
        rows = [self.moves[item] for item in active]
        out: list[tuple[tuple[int, ...], frozenset[int]]] = []
        for column in range(2 * self.width):
            found = frozenset().union(*(row[column] for row in rows))
            if _FOUND in found:
                out.append(((), frozenset([_FOUND])))
            else:
                symbol = column % self.width
                moved = tuple(
                    0 if before is None else before[0][place][symbol]
                    for before, place in zip(self.before, places, strict=True)
                )
                out.append((moved, found))
        return out

    def accepts(self, state: tuple[tuple[int, ...], frozenset[int]]) -> bool:
        return _FOUND not in state[1] and not any(self.ends[item] for item in state[1])


def _hopeless(delta: Ints, accepting: Bools) -> Bools:
    """States from which no accepting one can be reached (S,)."""
    useful = accepting.copy()
    while True:
        more = useful | useful[delta].any(axis=tuple(range(1, delta.ndim)))
        if (more == useful).all():
            return ~useful
        useful = more


def minimal_absence(name: str, cuts: Ints, classes: Ints, delta: NDArray[np.integer], accepting: Bools) -> Absence:
    """An `Absence` of as few states and classes as there can be; delta (S, 2, C)."""
    flat, representative, _ = minimise(delta.reshape(len(delta), -1), accepting.astype(np.int64), 0)
    delta = flat.reshape(len(flat), 2, -1)
    columns, merged = np.unique(delta, axis=2, return_inverse=True)
    classes = merged.reshape(-1)[classes]
    keep = np.concatenate([[True], classes[1:] != classes[:-1]])
    return Absence(name, cuts[keep], classes[keep], columns, accepting[representative])
