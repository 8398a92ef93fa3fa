"""Texts that may be named although they are personal data: put aside before anything is looked for.

An allowed text counts where it stands by itself, not as part of a longer datum: "lee@example.org" does not allow
"ann.lee@example.org", nor "555-0199" the number "+1 212 555-0199". So neither letters, digits nor the signs of
addresses may join it to a word, and what begins (ends) with a digit may not be joined to digits before (behind) it by
characters that are neither letters nor digits. Only behind it a comma or stop with a blank sets a number apart: "call
555-0199, 7 days a week".

Twice, over plain texts (`pii.folding`): `Allowances` reads characters, `allowing` makes an automaton of the same rule.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache

import numpy as np

from diffusionlm.guidance.automata import regex
from diffusionlm.guidance.automata.algebra import Budget, determinise
from diffusionlm.guidance.automata.alphabet import Bools, Ints, classify, common_partition, partition, same_letter
from diffusionlm.guidance.automata.occurrences import Absence, minimal_absence
from diffusionlm.guidance.pii.folding import OPAQUE, plain
from diffusionlm.guidance.pii.harmless import S, T

_JOINT = r"[.+%&@/\\=~:#?\-]"
_JOINT_BEFORE = r"[.+%&@/\\=~:#?!$'*^|{}\-]"  # all that the name of an address may hold (RFC 5322, atext)
_BEFORE_WORD = rf"\w|\w{_JOINT_BEFORE}+"
_BEFORE = {False: _BEFORE_WORD, True: rf"{_BEFORE_WORD}|[0-9]{S}|\+{S}"}
_BEHIND_WORD = rf"\w|{_JOINT}+\w"
_BEHIND = {False: _BEHIND_WORD, True: rf"{_BEHIND_WORD}|{T}[0-9]"}
"""What joins an allowed text to what stands before or behind it, by whether it begins or ends in a digit."""


def _edges(text: str) -> tuple[bool, bool]:
    """Whether the first and the last letter or digit of a plain text is a digit."""
    inner = [one for one in text if one.isalnum()]
    return (inner[0] in "0123456789", inner[-1] in "0123456789") if inner else (False, False)


class Allowances:
    """Puts aside texts that may be named, in any case and plain form.

    Args:
        texts: what may be named.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = tuple(dict.fromkeys(plain(text).text for text in texts))
        self._of: dict[Hashable, Allowances] = {}
        self._each = [
            (re.compile(f"(?={re.escape(text)})", re.IGNORECASE), len(text), _edges(text)) for text in self.texts
        ]

    def of(self, kind: Hashable, is_one: Callable[[str], bool]) -> Allowances:
        """Those of the texts that are of a kind by themselves; the others are nothing to it, so that "March 1985" does not
        let "12 March 1985" out.

        Args:
            kind: under which the answer is kept.
            is_one: whether a plain text is of the kind.
        """
        if kind not in self._of:
            self._of[kind] = Allowances([text for text in self.texts if is_one(text)])
        return self._of[kind]

    def find(self, text: str) -> list[tuple[int, int]]:
        """Where an allowed text stands by itself in a plain text: (start, end), in order."""
        candidates = [
            (match.start(), match.start() + length, edges)
            for seeker, length, edges in self._each
            for match in seeker.finditer(text)
        ]
        found: list[tuple[int, int]] = []
        for start, end, (first, last) in sorted(candidates):
            since = max((until for _, until in found if until <= start), default=0)
            if _joined_before(first).search(text[since:start]) or _joined_behind(last).match(text, end):
                continue
            found.append((start, end))
        return found

    def hide(self, text: str) -> str:
        """A plain text of the same length in which allowed texts are put aside."""
        places = self.find(text)
        if not places:
            return text
        shown = list(text)
        for start, end in places:
            shown[start:end] = OPAQUE * (end - start)
        return "".join(shown)


@lru_cache(maxsize=2)
def _joined_before(digit: bool) -> re.Pattern[str]:
    return re.compile(rf"(?:{_BEFORE[digit]})\Z")


@lru_cache(maxsize=2)
def _joined_behind(digit: bool) -> re.Pattern[str]:
    return re.compile(_BEHIND[digit])


Item = tuple[int, tuple[int, int], int, tuple[bool, int] | None]
"""State of the absence; states of what is joined before, for both sorts of text; node of the allowed texts, 0 outside
them; and behind an allowed text: the sort of its end and the state of what may join it, None once that is settled."""


@lru_cache(maxsize=128)
def allowing(absence: Absence, texts: tuple[str, ...], max_states: int = 50_000, max_seconds: float = 600.0) -> Absence:
    """Plain texts that obey a rule once what may be named is put aside.

    Args:
        absence: what must not occur, over plain texts.
        texts: what may be named.
    """
    if not texts:
        return absence
    texts = Allowances(texts).texts
    letters = {letter: same_letter(letter, re.IGNORECASE) for letter in sorted(set("".join(texts)))}
    own_cuts, own_classes, member = partition(list(letters.values()))
    before = [regex(rf"(?:.|\n)*(?:{_BEFORE[digit]})") for digit in (False, True)]
    behind = [regex(rf"(?:{_BEHIND[digit]})(?:.|\n)*") for digit in (False, True)]
    languages = [*before, *behind]
    cuts, classes, columns = common_partition(
        [(absence.cuts, absence.classes), (own_cuts, own_classes), *((one.cuts, one.classes) for one in languages)]
    )
    table = absence.delta[:, :, columns[0]].tolist()
    member = member[:, columns[1]]
    moves = [one.delta[:, own].tolist() for one, own in zip(languages, columns[2:], strict=True)]
    joined = [one.accepting.tolist() for one in before]
    settled = [_never(one.delta, one.accepting).tolist() for one in behind]
    bad = [one.accepting.tolist() for one in behind]
    symbols = {letter: np.nonzero(row)[0].tolist() for letter, row in zip(letters, member, strict=True)}
    tree = _Tree(symbols)
    for text in texts:
        tree.add(text)
    hidden = absence.delta[:, 0, classify(OPAQUE, absence.cuts, absence.classes)[0]].tolist()
    width = len(columns[0])
    lost = set(absence.lost.tolist())

    def outside(item: Item, mark: int, c: int) -> list[Item]:
        s, left, _, right = item
        if right is not None:
            sort, state = right
            state = moves[2 + sort][state][c]
            if bad[sort][state]:
                return []
            right = None if settled[sort][state] else (sort, state)
        after = (moves[0][left[0]][c], moves[1][left[1]][c])
        found: list[Item] = [(table[s][mark][c], after, 0, right)]
        if right is None:
            for digit in (False, True):
                if not joined[digit][left[digit]] and (node := tree.next[tree.roots[digit]].get(c)) is not None:
                    found += inside(s, node)
        return found

    def inside(s: int, node: int) -> list[Item]:
        """What reaching a node of the tree comes to."""
        return [(s, (0, 0), node, None), *((hidden[s], (0, 0), 0, (sort, 0)) for sort in tree.ends[node])]

    cached: dict[Item, list[tuple[Item, ...]]] = {}

    def row(item: Item) -> list[tuple[Item, ...]]:
        if item not in cached:
            s, _, node, _ = item
            out = []
            for mark in (0, 1):
                for c in range(width):
                    if node:
                        follow = tree.next[node].get(c)
                        found = [] if follow is None else inside(s, follow)
                    else:
                        found = outside(item, mark, c)
                    out.append(tuple(one for one in found if one[0] not in lost))
            cached[item] = out
        return cached[item]

    sets: dict[tuple[Item, ...], frozenset[Item]] = {}

    def step(items: frozenset[Item]) -> list[frozenset[Item]]:
        rows = [row(item) for item in items]
        out = []
        for column in range(2 * width):
            merged = sum((own[column] for own in rows), ())
            if merged not in sets:
                sets[merged] = frozenset(merged)
            out.append(sets[merged])
        return out

    def accepts(items: frozenset[Item]) -> bool:
        return any(node == 0 and absence.accepting[s] for s, _, node, _ in items)

    start: frozenset[Item] = frozenset([(0, (0, 0), 0, None)])
    made, accepting = determinise(start, step, accepts, Budget(absence.name, max_states, max_seconds))
    return minimal_absence(absence.name, cuts, classes, made.reshape(len(made), 2, -1), accepting)


def _never(delta: Ints, accepting: Bools) -> Bools:
    """States from which no accepting one can be reached (S,)."""
    useful = accepting.copy()
    while not ((more := useful | useful[delta].any(axis=1)) == useful).all():
        useful = more
    return ~useful


class _Tree:
    """Allowed texts as a tree of classes of characters, with a root for those that begin with a digit and one for others.

    Attributes:
        next: of each node, the node behind each class.
        ends: of each node, whether texts that end there end in a digit; empty where none ends.
        roots: the nodes where texts begin, by whether that is with a digit.
    """

    def __init__(self, symbols: dict[str, list[int]]) -> None:
        self.symbols = symbols
        self.next: list[dict[int, int]] = [{}, {}, {}]
        self.ends: list[set[bool]] = [set(), set(), set()]
        self.roots = {False: 1, True: 2}

    def add(self, text: str) -> None:
        """Adds a text; every class of a letter leads to the same node."""
        first, last = _edges(text)
        node = self.roots[first]
        for letter in text:
            target = self.next[node].get(self.symbols[letter][0])
            if target is None:
                target = len(self.next)
                self.next.append({})
                self.ends.append(set())
                for symbol in self.symbols[letter]:
                    self.next[node][symbol] = target
            node = target
        self.ends[node].add(last)
