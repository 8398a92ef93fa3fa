"""`TagAutomaton`: an automaton over words by their parts of speech, from parts, sequences, wishes and places.

It is that of Glushkov ("The abstract theory of automata", 1961): one state for each occurrence of a symbol, so a state says of
which parts of speech the word is that was read last. Occurrences that could be a mark or a word, or that can follow both, are
split, so that of every state it is known whether its word is a mark and whether the one before was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from diffusionlm.guidance.syntax.labels import MARKS, UPOS, check_label

MAX_STATES = 600
_ANY_WORD = frozenset(UPOS) - MARKS


@dataclass(frozen=True)
class TagAutomaton:
    """Sequences of parts of speech. State 0 is before the first word.

    Attributes:
        tags: of each state, the parts of speech its word may have; empty for state 0.
        previous: of each state, those of the word before; "START" among them where it may be the first.
        following: of each state, those of the word behind; "END" among them where it may be the last.
        predecessors: of each state.
        accepting: of each state, whether the text may end there.
        previous_is_mark: of each state, whether the word before is a mark (or there is none).
    """

    tags: tuple[frozenset[str], ...]
    previous: tuple[frozenset[str], ...]
    following: tuple[frozenset[str], ...]
    predecessors: tuple[tuple[int, ...], ...]
    accepting: tuple[bool, ...]
    previous_is_mark: tuple[bool, ...]

    @property
    def num_states(self) -> int:
        """State 0 counted."""
        return len(self.tags)

    def two_before(self, state: int) -> frozenset[str]:
        """Parts of speech of the word before the previous one, "START" where there is none."""
        own = [self.previous[p] if p else frozenset({"START"}) for p in self.predecessors[state]]
        return frozenset().union(*own)

    def two_behind(self, state: int) -> frozenset[str]:
        """Parts of speech of the word behind the next one, "END" where there is none."""
        own = [self.following[k] for k, before in enumerate(self.predecessors) if state in before]
        return frozenset().union(*own, {"END"} if self.accepting[state] else ())

    def accepts(self, sequence: Sequence[str]) -> bool:
        """Whether a sequence of parts of speech is one of them."""
        return self.nearest([{tag} for tag in sequence]) is not None

    def nearest(self, choices: Sequence[set[str]]) -> list[int] | None:
        """States of a way through words that may have one of several parts of speech each; None if there is none.

        A word of which no part of speech is known (an empty set) stands only where any word may.
        """
        reached: list[dict[int, int]] = [{0: -1}]
        for own in choices:
            now: dict[int, int] = {}
            for state in range(1, self.num_states):
                before = next((p for p in self.predecessors[state] if p in reached[-1]), None)
                if before is not None and (own & self.tags[state] if own else self.tags[state] >= _ANY_WORD):
                    now[state] = before
            reached.append(now)
        last = next((s for s in reached[-1] if self.accepting[s]), None)
        if last is None:
            return None
        way = []
        for now in reversed(reached[1:]):
            way.append(last)
            last = now[last]
        return way[::-1]


@dataclass
class Part:
    """A sub-expression: whether it may be empty, where it may begin and end, and what follows what."""

    empty: bool
    first: list[int]
    last: list[int]


class Builder:
    """Symbols and what may follow them, from which an automaton is made."""

    def __init__(self) -> None:
        self.symbols: list[frozenset[str]] = [frozenset()]
        self.follow: list[set[int]] = [set()]

    def symbol(self, tags: frozenset[str]) -> Part:
        """One word; marks and words are different symbols."""
        own = [part for part in (tags & MARKS, tags - MARKS) if part]
        numbers = []
        for part in own:
            self.symbols.append(frozenset(part))
            self.follow.append(set())
            numbers.append(len(self.symbols) - 1)
        if len(self.symbols) > MAX_STATES:
            raise ValueError(
                f"The pattern has more than {MAX_STATES} parts once its repetitions are written out; use smaller numbers "
                "in braces, or * and +."
            )
        return Part(False, numbers, list(numbers))

    def link(self, first: Part, second: Part) -> Part:
        """One behind the other."""
        for a in first.last:
            self.follow[a].update(second.first)
        return Part(
            first.empty and second.empty,
            first.first + (second.first if first.empty else []),
            second.last + (first.last if second.empty else []),
        )

    def loop(self, part: Part) -> Part:
        """Once or more often."""
        for a in part.last:
            self.follow[a].update(part.first)
        return part

    def automaton(self, part: Part) -> TagAutomaton:
        """States (symbol, whether the word before is a mark), reached from the start; those without way to the end go."""
        follow = [set(own) for own in self.follow]
        follow[0] = set(part.first)
        ends = set(part.last) | ({0} if part.empty else set())
        is_mark = [bool(own & MARKS) or k == 0 for k, own in enumerate(self.symbols)]
        states: dict[tuple[int, bool], int] = {(0, True): 0}
        arcs: list[tuple[int, int]] = []
        queue = [(0, True)]
        while queue:
            state = queue.pop(0)
            for target in sorted(follow[state[0]]):
                key = (target, is_mark[state[0]])
                if key not in states:
                    states[key] = len(states)
                    queue.append(key)
                arcs.append((states[state], states[key]))
        tags = [self.symbols[symbol] for symbol, _ in states]
        return _trimmed(tags, arcs, [symbol in ends for symbol, _ in states], [mark for _, mark in states])


def sequence_automaton(tags: Sequence[str | Sequence[str]]) -> TagAutomaton:
    """The automaton of exactly these parts of speech; an entry may be several, one of which the word shall have."""
    builder = Builder()
    part = Part(True, [], [])
    for entry in tags:
        part = builder.link(part, builder.symbol(_set_of([entry] if isinstance(entry, str) else list(entry))))
    return builder.automaton(part)


def wish_automaton(wishes: Mapping[int, str]) -> TagAutomaton:
    """The automaton of wishes for single words, counted from 0; all others are free, and more may follow."""
    builder = Builder()
    anything = frozenset(UPOS)
    part = Part(True, [], [])
    for place in range(max(wishes) + 1):
        own = _set_of([wishes[place]]) if place in wishes else anything
        part = builder.link(part, builder.symbol(own))
    rest = builder.loop(builder.symbol(anything))
    return builder.automaton(builder.link(part, Part(True, rest.first, rest.last)))


def place_automaton(first: int, runs: Sequence[tuple[str, Sequence[str], str]]) -> TagAutomaton:
    """The automaton of texts with one of several runs of tags at a place.

    Args:
        first: words before the run.
        runs: tag before it ("START" if ``first`` is 0, "" for any), its tags ("" for any), tag behind it ("END", or "" for
            any).

    Raises:
        ValueError: if the runs do not fit the place, or there are none.
    """
    if not runs:
        raise ValueError("place_automaton needs a run of tags.")
    builder = Builder()
    anything = frozenset(UPOS)
    ways: list[list[frozenset[str]]] = []
    for before, tags, behind in runs:
        if (before == "START") != (first == 0) and before:
            raise ValueError(f"A run behind {before!r} cannot begin at word {first}.")
        way = [] if first == 0 else [frozenset({before}) if before else anything]
        way += [frozenset({tag}) if tag else anything for tag in tags]
        ways.append(
            [*way, frozenset({"END"})] if behind == "END" else [*way, frozenset({behind}) if behind else frozenset()]
        )
    part = Part(True, [], [])
    for _ in range(first - 1):
        part = builder.link(part, builder.symbol(anything))
    rest = builder.loop(builder.symbol(anything))
    rest = Part(True, rest.first, rest.last)
    return builder.automaton(builder.link(part, _branches(builder, ways, rest)))


def _branches(builder: Builder, ways: Sequence[Sequence[frozenset[str]]], rest: Part) -> Part:
    """Alternatives that share their beginnings; an empty set at the end means that anything may follow."""
    if any(not way for way in ways):
        return Part(True, [], [])
    groups: dict[frozenset[str], list[Sequence[frozenset[str]]]] = {}
    for way in ways:
        groups.setdefault(way[0], []).append(way[1:])
    parts = []
    for head, tails in groups.items():
        if head == frozenset({"END"}):
            parts.append(Part(True, [], []))
        elif not head:
            parts.append(rest)
        else:
            ends = any(not tail for tail in tails)
            tail = rest if ends else _branches(builder, tails, rest)
            parts.append(builder.link(builder.symbol(head), tail))
    return Part(any(p.empty for p in parts), [s for p in parts for s in p.first], [s for p in parts for s in p.last])


def intersect(a: TagAutomaton, b: TagAutomaton) -> TagAutomaton:
    """The sequences that both accept.

    Raises:
        ValueError: if there are none, or the automaton would be too large.
    """
    after_a, after_b = _successors(a), _successors(b)
    pairs: dict[tuple[int, int], int] = {(0, 0): 0}
    arcs: list[tuple[int, int]] = []
    queue = [(0, 0)]
    while queue:
        here = queue.pop()
        for k in after_a[here[0]]:
            for m in after_b[here[1]]:
                if not a.tags[k] & b.tags[m]:
                    continue
                if (k, m) not in pairs:
                    pairs[(k, m)] = len(pairs)
                    queue.append((k, m))
                    if len(pairs) > 4 * MAX_STATES:
                        raise ValueError(f"These rules together need more than {4 * MAX_STATES} states; ask for less.")
                arcs.append((pairs[here], pairs[(k, m)]))
    tags = [a.tags[k] & b.tags[m] for k, m in pairs]
    accepting = [a.accepting[k] and b.accepting[m] for k, m in pairs]
    marks = [a.previous_is_mark[k] for k, _ in pairs]
    return _trimmed(tags, arcs, accepting, marks)


def _successors(automaton: TagAutomaton) -> list[list[int]]:
    after: list[list[int]] = [[] for _ in automaton.tags]
    for k, own in enumerate(automaton.predecessors):
        for p in own:
            after[p].append(k)
    return after


def _set_of(labels: Sequence[str]) -> frozenset[str]:
    return frozenset(check_label(label, "part of speech") for label in labels)


def _trimmed(
    tags: Sequence[frozenset[str]], arcs: Sequence[tuple[int, int]], accepting: Sequence[bool], marks: Sequence[bool]
) -> TagAutomaton:
    """The automaton of its states and arcs, without states from which there is no way to the end.

    Raises:
        ValueError: if nothing is left.
    """
    before: list[list[int]] = [[] for _ in tags]
    for a, b in arcs:
        before[b].append(a)
    useful = {k for k, end in enumerate(accepting) if end}
    queue = list(useful)
    while queue:
        for a in before[queue.pop()]:
            if a not in useful:
                useful.add(a)
                queue.append(a)
    if 0 not in useful:
        raise ValueError("No sequence of parts of speech obeys these rules together.")
    kept = sorted(useful)
    number = {old: new for new, old in enumerate(kept)}
    links = sorted({(number[a], number[b]) for a, b in arcs if a in useful and b in useful})
    previous: list[set[str]] = [set() for _ in kept]
    following: list[set[str]] = [{"END"} if accepting[old] else set() for old in kept]
    predecessors: list[list[int]] = [[] for _ in kept]
    for a, b in links:
        previous[b] |= tags[kept[a]] if a else {"START"}
        following[a] |= tags[kept[b]]
        predecessors[b].append(a)
    return TagAutomaton(
        tuple(tags[old] for old in kept),
        tuple(map(frozenset, previous)),
        tuple(map(frozenset, following)),
        tuple(map(tuple, predecessors)),
        tuple(bool(accepting[old]) for old in kept),
        tuple(marks[old] for old in kept),
    )
