"""Regular expressions over parts of speech: ``DET ADJ* NOUN (AUX|VERB) .*``, as an automaton over words.

The automaton is that of Glushkov ("The abstract theory of automata", 1961): one state for each occurrence of a symbol, so
a state says of which parts of speech the word is that was read last. Occurrences that could be a mark or a word, or that
can follow both, are split, so that of every state it is known whether its word is a mark and whether the one before was.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from diffusionlm.guidance.syntax_labels import MARKS, UPOS, check_label, pointed

MAX_STATES = 600
_PIECE = re.compile(r"\s*(?:(?P<tag>[A-Za-z]+)|(?P<count>\{[^}]*\}?)|(?P<set>\[[^\]]*\]?)|(?P<sign>\S))")


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
        """States of a way through words that may have one of several parts of speech each; None if there is none."""
        reached: list[dict[int, int]] = [{0: -1}]
        for own in choices:
            now: dict[int, int] = {}
            for state in range(1, self.num_states):
                before = next((p for p in self.predecessors[state] if p in reached[-1]), None)
                if before is not None and own & self.tags[state]:
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
class _Part:
    """A sub-expression: whether it may be empty, where it may begin and end, and what follows what."""

    empty: bool
    first: list[int]
    last: list[int]


class _Builder:
    def __init__(self, text: str) -> None:
        self.text = text
        self.symbols: list[frozenset[str]] = [frozenset()]
        self.follow: list[set[int]] = [set()]

    def symbol(self, tags: frozenset[str]) -> _Part:
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
        return _Part(False, numbers, list(numbers))

    def link(self, first: _Part, second: _Part) -> _Part:
        for a in first.last:
            self.follow[a].update(second.first)
        return _Part(
            first.empty and second.empty,
            first.first + (second.first if first.empty else []),
            second.last + (first.last if second.empty else []),
        )

    def loop(self, part: _Part) -> _Part:
        for a in part.last:
            self.follow[a].update(part.first)
        return part


def parse_pattern(text: str) -> TagAutomaton:
    """The automaton of a pattern.

    Tags of Universal Dependencies, separated by spaces; ``.`` any word or mark, ``[ADJ NOUN]`` one of several, ``[^PUNCT]``
    all but these, ``( )`` groups, ``|`` or, ``* + ?`` and ``{2}``, ``{2,}``, ``{2,4}`` repetitions.

    Raises:
        ValueError: pointing at the character.
    """
    builder = _Builder(text)
    parser = _Parser(text, builder)
    part = parser.alternatives()
    if parser.at < len(parser.pieces):
        raise ValueError(pointed(text, parser.pieces[parser.at][2], "this bracket closes nothing"))
    return _automaton(builder, part)


def sequence_automaton(tags: Sequence[str | Sequence[str]]) -> TagAutomaton:
    """The automaton of exactly these parts of speech; an entry may be several, one of which the word shall have."""
    builder = _Builder("")
    part = _Part(True, [], [])
    for entry in tags:
        part = builder.link(part, builder.symbol(_set_of([entry] if isinstance(entry, str) else list(entry))))
    return _automaton(builder, part)


def wish_automaton(wishes: Mapping[int, str]) -> TagAutomaton:
    """The automaton of wishes for single words, counted from 0; all others are free, and more may follow."""
    builder = _Builder("")
    anything = frozenset(UPOS)
    part = _Part(True, [], [])
    for place in range(max(wishes) + 1):
        own = _set_of([wishes[place]]) if place in wishes else anything
        part = builder.link(part, builder.symbol(own))
    rest = builder.loop(builder.symbol(anything))
    return _automaton(builder, builder.link(part, _Part(True, rest.first, rest.last)))


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
    builder = _Builder("")
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
    part = _Part(True, [], [])
    for _ in range(first - 1):
        part = builder.link(part, builder.symbol(anything))
    rest = builder.loop(builder.symbol(anything))
    rest = _Part(True, rest.first, rest.last)
    return _automaton(builder, builder.link(part, _branches(builder, ways, rest)))


def _branches(builder: _Builder, ways: Sequence[Sequence[frozenset[str]]], rest: _Part) -> _Part:
    """Alternatives that share their beginnings; an empty set at the end means that anything may follow."""
    if any(not way for way in ways):
        return _Part(True, [], [])
    groups: dict[frozenset[str], list[Sequence[frozenset[str]]]] = {}
    for way in ways:
        groups.setdefault(way[0], []).append(way[1:])
    parts = []
    for head, tails in groups.items():
        if head == frozenset({"END"}):
            parts.append(_Part(True, [], []))
        elif not head:
            parts.append(rest)
        else:
            ends = any(not tail for tail in tails)
            tail = rest if ends else _branches(builder, tails, rest)
            parts.append(builder.link(builder.symbol(head), tail))
    return _Part(any(p.empty for p in parts), [s for p in parts for s in p.first], [s for p in parts for s in p.last])


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


class _Parser:
    """Recursive descent over the pieces of a pattern."""

    def __init__(self, text: str, builder: _Builder) -> None:
        self.text, self.builder, self.at = text, builder, 0
        self.pieces: list[tuple[str, str, int]] = []
        for match in _PIECE.finditer(text):
            kind = str(match.lastgroup)
            if kind == "sign" and match["sign"] not in "()|*+?.":
                what = f"{match['sign']!r} has no meaning here; a pattern is made of tags, ( ) | * + ? {{ }} [ ] and ."
                raise ValueError(pointed(text, match.start("sign"), what))
            self.pieces.append((kind, match[kind], match.start(kind)))

    def peek(self) -> str:
        if self.at == len(self.pieces):
            return ""
        kind, piece, _ = self.pieces[self.at]
        return piece if kind == "sign" else kind

    def alternatives(self) -> _Part:
        parts = [self.sequence()]
        while self.peek() == "|":
            self.at += 1
            parts.append(self.sequence())
        return _Part(
            any(p.empty for p in parts), [s for p in parts for s in p.first], [s for p in parts for s in p.last]
        )

    def sequence(self) -> _Part:
        part = _Part(True, [], [])
        while self.peek() not in ("", "|", ")"):
            part = self.builder.link(part, self.repeated())
        return part

    def repeated(self) -> _Part:
        begin = self.at
        part = self.atom()
        while self.peek() in ("*", "+", "?", "count"):
            kind, piece, where = self.pieces[self.at]
            if kind == "count":
                least, most = self.counts(piece, where)
                resume = self.at + 1
                part = self.copies(begin, self.at, least, most)
                self.at = resume
                continue
            self.at += 1
            if piece in "*+":
                part = self.builder.loop(part)
            if piece in "*?":
                part = _Part(True, part.first, part.last)
        return part

    def counts(self, piece: str, where: int) -> tuple[int, int | None]:
        match = re.fullmatch(r"\{\s*(\d+)\s*(,?)\s*(\d*)\s*\}", piece)
        if match is None or (match[3] and not match[2]):
            raise ValueError(pointed(self.text, where, "a number of times is written {2}, {2,} or {2,4}"))
        least = int(match[1])
        most = int(match[3]) if match[3] else None if match[2] else least
        if most is not None and most < least:
            raise ValueError(pointed(self.text, where, f"at least {least} and at most {most} times is impossible"))
        return least, most

    def copies(self, begin: int, end: int, least: int, most: int | None) -> _Part:
        """The pieces from ``begin`` to ``end``, read again for each time."""

        def once() -> _Part:
            inner = _Parser(self.text, self.builder)
            inner.pieces, inner.at = self.pieces[:end], begin
            return inner.repeated()

        part = _Part(True, [], [])
        for _ in range(least):
            part = self.builder.link(part, once())
        if most is None:
            rest = self.builder.loop(once())
            return self.builder.link(part, _Part(True, rest.first, rest.last))
        for _ in range(most - least):
            more = once()
            part = self.builder.link(part, _Part(True, more.first, more.last))
        return part

    def atom(self) -> _Part:
        kind, piece, where = self.pieces[self.at]
        self.at += 1
        if kind == "tag":
            return self.builder.symbol(frozenset({self.label(piece, where)}))
        if kind == "set":
            return self.builder.symbol(self.read_set(piece, where))
        if piece == ".":
            return self.builder.symbol(frozenset(UPOS))
        if piece == "(":
            part = self.alternatives()
            if self.peek() != ")":
                raise ValueError(pointed(self.text, where, "this bracket is never closed"))
            self.at += 1
            return part
        raise ValueError(pointed(self.text, where, f"{piece!r} repeats nothing; write a tag or a group before it"))

    def label(self, piece: str, where: int) -> str:
        try:
            return check_label(piece, "part of speech")
        except ValueError as error:
            raise ValueError(pointed(self.text, where, str(error))) from None

    def read_set(self, piece: str, where: int) -> frozenset[str]:
        if not piece.endswith("]"):
            raise ValueError(pointed(self.text, where, "this bracket is never closed"))
        inner = piece[1:-1]
        without = inner.lstrip().startswith("^")
        names = [(m[0], where + 1 + m.start()) for m in re.finditer(r"[^\s,|^]+", inner)]
        if not names:
            raise ValueError(pointed(self.text, where, "an empty choice; write tags, as in [ADJ NOUN]"))
        tags = frozenset(self.label(name, at) for name, at in names)
        return frozenset(UPOS) - tags if without else tags


def _automaton(builder: _Builder, part: _Part) -> TagAutomaton:
    """States (symbol, whether the word before is a mark), reached from the start; those without way to the end go."""
    follow = [set(own) for own in builder.follow]
    follow[0] = set(part.first)
    ends = set(part.last) | ({0} if part.empty else set())
    is_mark = [bool(own & MARKS) or k == 0 for k, own in enumerate(builder.symbols)]
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
    tags = [builder.symbols[symbol] for symbol, _ in states]
    return _trimmed(tags, arcs, [symbol in ends for symbol, _ in states], [mark for _, mark in states])


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
