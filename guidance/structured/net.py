"""`Net`: languages put together as a graph and determinised once.

Concatenating or uniting a hundred small languages one by one would determinise and minimise a hundred times; a net embeds
their automata in one non-deterministic automaton (Thompson, 1968) and makes it deterministic in the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from diffusionlm.guidance.automata import Language
from diffusionlm.guidance.automata.algebra import Budget
from diffusionlm.guidance.automata.alphabet import Ints, classify, common_partition, partition

MAX_STATES = 60_000
MAX_SECONDS = 60.0
MAX_EMBEDDED = 400_000


class Net:
    """A graph whose edges read nothing, a fixed text, or any text of a language.

    Attributes:
        start: the first state.
        end: the state in which a text may end.
    """

    def __init__(self) -> None:
        self._free: list[set[int]] = []
        self._texts: list[tuple[int, str, int]] = []
        self._languages: list[tuple[int, Language, int]] = []
        self.start, self.end = self.state(), self.state()

    def state(self) -> int:
        """A new state."""
        self._free.append(set())
        return len(self._free) - 1

    def skip(self, here: int, there: int) -> None:
        """``there`` is reached from ``here`` without reading."""
        self._free[here].add(there)

    def text(self, here: int, text: str, there: int | None = None) -> int:
        """``text`` leads from ``here`` to ``there`` (a new state if None), which is returned."""
        there = self.state() if there is None else there
        if text:
            self._texts.append((here, text, there))
        else:
            self.skip(here, there)
        return there

    def language(self, here: int, language: Language, there: int | None = None) -> int:
        """Any text of ``language`` leads from ``here`` to ``there`` (a new state if None), which is returned."""
        there = self.state() if there is None else there
        self._languages.append((here, language, there))
        return there

    def one_of(self, here: int, texts: Iterable[str], there: int | None = None) -> int:
        """Each of ``texts`` leads from ``here`` to ``there`` (a new state if None), which is returned."""
        there = self.state() if there is None else there
        for text in texts:
            self.text(here, text, there)
        return there

    def determinised(self, name: str, max_states: int = MAX_STATES, max_seconds: float = MAX_SECONDS) -> Language:
        """The language of all texts that lead from the start to the end.

        Raises:
            AutomatonTooLarge: beyond a cap.
        """
        budget = Budget(name, max_states, max_seconds)
        budget.check(sum(language.num_states for _, language, _ in self._languages) // (MAX_EMBEDDED // max_states))
        cuts, classes, width, rows, closures = self._tables()
        number: dict[frozenset[int], int] = {}
        queue: list[frozenset[int]] = []

        def numbered(states: frozenset[int]) -> int:
            if states not in number:
                number[states] = len(queue)
                queue.append(states)
            return number[states]

        single: dict[int, int] = {}
        numbered(closures[self.start])
        delta = []
        for states in queue:  # grows while it is read
            reading = sorted(state for state in states if state in rows)
            table = np.stack([rows[state] for state in reading]) if reading else np.full((1, width), -1)
            if len(table) == 1:
                targets, place = np.unique(table[0], return_inverse=True)
                found = []
                for target in targets.tolist():
                    if target not in single:
                        single[target] = numbered(closures[target] if target >= 0 else frozenset())
                    found.append(single[target])
            else:
                columns, place = np.unique(table, axis=1, return_inverse=True)
                found = [
                    numbered(frozenset().union(*(closures[t] for t in column if t >= 0)))
                    for column in columns.T.tolist()
                ]
            delta.append(np.array(found)[place.reshape(-1)])
            if len(delta) % 64 == 0:
                budget.check(len(queue))
        budget.check(len(queue))
        accepting = np.array([self.end in states for states in queue])
        return Language.from_arrays(name, cuts, classes, np.stack(delta), accepting)

    def _tables(self) -> tuple[Ints, Ints, int, dict[int, Ints], dict[int, frozenset[int]]]:
        """Cuts and classes of characters; how many classes C; the moves (C,) of each state that reads, -1 for none; what each
        state reaches by skipping."""
        letters = sorted({letter for _, text, _ in self._texts for letter in text})
        own_cuts, own_classes, _ = partition([((ord(letter), ord(letter) + 1),) for letter in letters])
        distinct = {id(language): language for _, language, _ in self._languages}
        parts = [(own_cuts, own_classes), *((one.cuts, one.classes) for one in distinct.values())]
        cuts, classes, columns = common_partition(parts)
        width = len(columns[0])
        tables = {key: one.delta[:, own] for (key, one), own in zip(distinct.items(), columns[1:], strict=True)}
        free = [set(targets) for targets in self._free]
        rows: dict[int, Ints] = {}
        symbol = {letter: int(classify(letter, cuts, classes)[0]) for letter in letters}
        for here, text, there in self._texts:
            for place, letter in enumerate(text):
                if place + 1 < len(text):
                    free.append(set())
                    target = len(free) - 1
                else:
                    target = there
                if place == 0:  # a state of its own reads, so that several edges may leave one state
                    free.append(set())
                    free[here].add(len(free) - 1)
                    here = len(free) - 1
                rows[here] = np.full(width, -1, dtype=np.int64)
                rows[here][symbol[letter]] = target
                here = target
        for here, language, there in self._languages:
            table = tables[id(language)]
            offset = len(free)
            free[here].add(offset)
            stuck = ~language.accepting & (table == np.arange(len(table))[:, None]).all(axis=1)
            moved = np.where(stuck[table], -1, table + offset)
            free += [{there} if accepts else set() for accepts in language.accepting.tolist()]
            rows |= {offset + state: row for state, row in enumerate(moved) if not stuck[state]}
        return cuts, classes, width, rows, _Closures(free)


class _Closures(dict[int, frozenset[int]]):
    """What each state reaches without reading, found when it is first asked for."""

    def __init__(self, free: Sequence[set[int]]) -> None:
        super().__init__()
        self._free = free

    def __missing__(self, state: int) -> frozenset[int]:
        found, stack = {state}, [state]
        while stack:
            for target in self._free[stack.pop()]:
                if target not in found:
                    found.add(target)
                    stack.append(target)
        self[state] = frozenset(found)
        return self[state]


def one_of_languages(languages: Sequence[Language], name: str) -> Language:
    """Texts of any of the languages."""
    if len(languages) == 1:
        return languages[0].renamed(name)
    net = Net()
    for language in languages:
        net.language(net.start, language, net.end)
    return net.determinised(name)


def one_of_texts(texts: Iterable[str], name: str) -> Language:
    """Just these texts."""
    net = Net()
    net.one_of(net.start, texts, net.end)
    return net.determinised(name)


def nothing(name: str) -> Language:
    """The language without texts."""
    return one_of_texts([], name)
