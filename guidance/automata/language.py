"""`Language`: a regular set of texts, held as a minimal deterministic automaton over classes of characters."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from diffusionlm.guidance.automata.algebra import Budget, determinise, minimise, product
from diffusionlm.guidance.automata.alphabet import Bools, CharSet, Ints, classify, common_partition, partition


@dataclass(frozen=True, eq=False)
class Language:
    """A regular set of texts. Build one with the functions of `diffusionlm.guidance.automata`, combine with ``&``
    (both), ``|`` (either), ``~`` (not), ``-`` (but not) and ``+`` (one after the other), compare with ``==``.

    Attributes:
        name: what it is, in the user's words; used in errors and certificates.
        cuts: (I,) first code point of each interval of characters.
        classes: (I,) class of each interval.
        delta: (S, C) transitions. State 0 is the start; the automaton is complete and minimal.
        accepting: (S,) whether a text may end there.
    """

    name: str
    cuts: Ints
    classes: Ints
    delta: Ints
    accepting: Bools

    @classmethod
    def from_arrays(
        cls, name: str, cuts: Ints, classes: Ints, delta: Ints, accepting: Bools, start: int = 0
    ) -> "Language":
        """Minimise an automaton given as arrays: delta (S, C), accepting (S,), a partition of Unicode into C
        classes."""
        delta, representative, _ = minimise(delta, accepting.astype(np.int64), start)
        columns, merged = np.unique(delta, axis=1, return_inverse=True)
        classes = merged.reshape(-1)[classes]
        keep = np.concatenate([[True], classes[1:] != classes[:-1]])
        cuts, classes = cuts[keep], classes[keep]
        order = np.unique(classes, return_index=True)[1]  # number the classes by first appearance: a canonical form
        rank = np.empty(len(order), dtype=np.int64)
        rank[np.argsort(order)] = np.arange(len(order))
        delta = columns[:, np.argsort(order)]
        delta, canonical, _ = minimise(delta, accepting[representative].astype(np.int64), 0)
        return cls(name, cuts, rank[classes], delta, accepting[representative][canonical])

    @cached_property
    def key(self) -> str:
        """Hash of the set of texts itself: equal languages have equal keys, however they were written."""
        digest = hashlib.sha256()
        for array in (self.cuts, self.classes, self.delta, self.accepting.astype(np.int64)):
            digest.update(np.ascontiguousarray(array, dtype=np.int64).tobytes() + b"|")
        return digest.hexdigest()

    @property
    def num_states(self) -> int:
        """Number of states S."""
        return len(self.delta)

    def accepts(self, text: str) -> bool:
        """Whether the text belongs to the language."""
        state = 0
        for symbol in classify(text, self.cuts, self.classes).tolist():
            state = self.delta[state, symbol]
        return bool(self.accepting[state])

    def accepts_each(self, texts: Sequence[str]) -> Bools:
        """`accepts` for many texts at once -> (len(texts),)."""
        lengths = np.array([len(text) for text in texts], dtype=np.int64)
        symbols = classify("".join(texts), self.cuts, self.classes)
        first = np.concatenate([[0], np.cumsum(lengths)[:-1]]) if len(texts) else lengths
        state = np.zeros(len(texts), dtype=np.int64)
        for position in range(int(lengths.max(initial=0))):
            live = np.nonzero(lengths > position)[0]
            state[live] = self.delta[state[live], symbols[first[live] + position]]
        return self.accepting[state]

    def is_empty(self) -> bool:
        """Whether no text at all belongs to the language."""
        return not self.accepting.any()

    def shortest(self) -> str | None:
        """One of the shortest texts of the language, None if there is none."""
        return self._shortest

    @cached_property
    def _shortest(self) -> str | None:
        sample = np.zeros(self.delta.shape[1], dtype=np.int64)
        sample[self.classes[::-1]] = self.cuts[::-1]
        printable = np.arange(126, 31, -1)
        sample[self.classes[np.searchsorted(self.cuts, printable, side="right") - 1]] = printable
        reached = {0: ""}
        queue = [0]
        for state in queue:
            if self.accepting[state]:
                return reached[state]
            for symbol, target in enumerate(self.delta[state].tolist()):
                if target not in reached:
                    reached[target] = reached[state] + chr(int(sample[symbol]))
                    queue.append(target)
        return None

    def renamed(self, name: str) -> "Language":
        """The same language under another name."""
        return Language(name, self.cuts, self.classes, self.delta, self.accepting)

    def __invert__(self) -> "Language":
        return Language(f"not ({self.name})", self.cuts, self.classes, self.delta, ~self.accepting)

    def __and__(self, other: "Language") -> "Language":
        return intersection([self, other])

    def __or__(self, other: "Language") -> "Language":
        return union([self, other])

    def __sub__(self, other: "Language") -> "Language":
        return combine([self, other], lambda ends: ends[:, 0] & ~ends[:, 1], f"({self.name}) but not ({other.name})")

    def __add__(self, other: "Language") -> "Language":
        return concatenation([self, other])

    def __eq__(self, other: object) -> bool:
        return self.key == other.key if isinstance(other, Language) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return f"Language({self.name!r}, states={self.num_states})"


def combine(
    languages: Sequence[Language],
    accepts: Callable[[Bools], Bools],
    name: str,
    max_states: int = 100_000,
    max_seconds: float = 20.0,
) -> Language:
    """Run languages side by side; `accepts` maps which of them accept, (S, K) bool, to (S,) bool."""
    if not languages:
        raise ValueError("A combination of languages needs at least one language; none was given.")
    cuts, classes, own = common_partition([(language.cuts, language.classes) for language in languages])
    deltas = [language.delta[:, columns] for language, columns in zip(languages, own, strict=True)]
    delta, states = product(deltas, [0] * len(languages), Budget(name, max_states, max_seconds))
    ends = np.stack([language.accepting[states[:, k]] for k, language in enumerate(languages)], axis=1)
    return Language.from_arrays(name, cuts, classes, delta, accepts(ends))


def intersection(languages: Sequence[Language], name: str | None = None, **caps: float) -> Language:
    """Texts that belong to all languages. `caps`: max_states, max_seconds."""
    return combine(languages, lambda ends: np.asarray(ends.all(axis=1)), name or _joined(languages, " and "), **caps)  # type: ignore[arg-type]


def union(languages: Sequence[Language], name: str | None = None, **caps: float) -> Language:
    """Texts that belong to at least one language. `caps`: max_states, max_seconds."""
    return combine(languages, lambda ends: np.asarray(ends.any(axis=1)), name or _joined(languages, " or "), **caps)  # type: ignore[arg-type]


def concatenation(
    languages: Sequence[Language], name: str | None = None, max_states: int = 20_000, max_seconds: float = 20.0
) -> Language:
    """Texts that can be cut into a text of the first language, one of the second, and so on."""
    if not languages:
        raise ValueError("A concatenation needs at least one language; none was given.")
    name = name or _joined(languages, " then ")
    cuts, classes, own = common_partition([(language.cuts, language.classes) for language in languages])
    offset = np.cumsum([0] + [language.num_states for language in languages])
    dead: set[int] = set()
    rows: list[list[int]] = []
    follow: dict[int, int] = {}  # a state that may end its part -> the start of the next part
    for k, (language, columns) in enumerate(zip(languages, own, strict=True)):
        rows += (language.delta[:, columns] + offset[k]).tolist()
        stuck = ~language.accepting & (language.delta == np.arange(language.num_states)[:, None]).all(axis=1)
        dead |= {int(offset[k]) + int(state) for state in np.nonzero(stuck)[0]}
        if k + 1 < len(languages):
            follow |= {int(offset[k]) + int(state): int(offset[k + 1]) for state in np.nonzero(language.accepting)[0]}
    finals = {int(offset[-2]) + int(state) for state in np.nonzero(languages[-1].accepting)[0]}

    def closed(states: Iterable[int]) -> frozenset[int]:
        found = set()
        for state in states:
            while state not in found and state not in dead:
                found.add(state)
                state = follow.get(state, state)
        return frozenset(found)

    delta, accepting = determinise(
        closed([0]),
        lambda states: (
            [closed(column) for column in zip(*(rows[s] for s in states), strict=True)]
            if states
            else [states] * len(own[0])
        ),
        lambda states: not finals.isdisjoint(states),
        Budget(name, max_states, max_seconds),
    )
    return Language.from_arrays(name, cuts, classes, delta, accepting)


def one_of_classes(name: str, sets: Sequence[CharSet], build: Callable[[Bools], tuple[Ints, Bools]]) -> Language:
    """A language over the partition made by `sets`; `build` gets member (len(sets), C) and returns delta, accepting."""
    cuts, classes, member = partition(sets)
    delta, accepting = build(member)
    return Language.from_arrays(name, cuts, classes, delta, accepting)


def _joined(languages: Sequence[Language], word: str) -> str:
    return word.join(f"({language.name})" for language in languages) if len(languages) > 1 else languages[0].name


def quoted(text: str) -> str:
    """A pattern or phrase in quotes, for the names of rules: backslashes as they were written, line breaks as \\n."""
    return repr(text).replace("\\\\", "\\")
