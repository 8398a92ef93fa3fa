"""Regular expressions in Python's own syntax to automata.

The pattern is read by Python's parser and its character classes are answered by `re` itself, so what is supported means
exactly what it means there, Unicode and letter case included. Thompson's construction (1968) makes the
non-deterministic automaton; assertions (^ $ \\A \\Z \\b \\B) are edges that look at the characters to their left and
right.
"""

import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from re import _constants as op
from re import _parser
from typing import Any, Literal

from diffusionlm.guidance.automata.algebra import AutomatonTooLarge, Budget, determinise
from diffusionlm.guidance.automata.alphabet import CharSet, matching_characters, partition, same_letter
from diffusionlm.guidance.automata.language import Language, quoted

MAX_PATTERN_SIZE = 20_000
_ADVICE = (
    "Counted repeats after an open choice, as in (a|b)*a(a|b){20}, double the states with every repeat: shorten the repeat, "
    "anchor the pattern, split it into several constraints"
)
_UNSUPPORTED = {
    op.GROUPREF: ("backreference", "a back reference: a finite automaton cannot remember what a group matched"),
    op.GROUPREF_EXISTS: ("conditional", "a conditional group"),
    op.ASSERT: ("look", "look-ahead or look-behind; combine two constraints instead (require one, forbid the other)"),
    op.ASSERT_NOT: (
        "look",
        "look-ahead or look-behind; combine two constraints instead (require one, forbid the other)",
    ),
    op.ATOMIC_GROUP: ("atomic", "an atomic group"),
    op.POSSESSIVE_REPEAT: ("possessive", "a possessive repeat"),
}
_PLACES = re.compile(
    r"(?P<look>\(\?<?[=!])|(?P<backreference>\\[1-9]|\(\?P=)|(?P<conditional>\(\?\()|(?P<atomic>\(\?>)"
    r"|(?P<possessive>(?<=[*+?}])\+)|\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|.",
    re.DOTALL,
)
_POSIX = re.compile(r"(?<!\\)\[[^\]]*(\[:\^?[a-z]+:\])")
_SAMPLE = 256  # states after which a construction whose states grow is estimated
_CATEGORIES = {
    op.CATEGORY_DIGIT: r"\d",
    op.CATEGORY_NOT_DIGIT: r"\D",
    op.CATEGORY_SPACE: r"\s",
    op.CATEGORY_NOT_SPACE: r"\S",
    op.CATEGORY_WORD: r"\w",
    op.CATEGORY_NOT_WORD: r"\W",
}
_EMPTY_TEXT_HAS_NON_BOUNDARY = re.search(r"\B", "") is not None  # differs between versions of Python


class UnsupportedPattern(ValueError):
    """A regular expression uses what no finite automaton can do, or is not valid."""


@dataclass
class _Nfa:
    """Edges of a non-deterministic automaton: state -> (set of characters | assertion | None for a free step,
    target)."""

    pattern: str
    sets: dict[CharSet, int] = field(default_factory=dict)
    reads: list[list[tuple[int, int]]] = field(default_factory=list)
    free: list[list[tuple[tuple[Any, int] | None, int]]] = field(default_factory=list)
    settled: int = 0  # mask of a state that accepts whatever follows

    def state(self) -> int:
        if len(self.reads) >= MAX_PATTERN_SIZE:
            raise AutomatonTooLarge(
                f"The regular expression {self.pattern!r} unrolls to more than {MAX_PATTERN_SIZE:,} positions. "
                "Use smaller counts in its repeats ({m,n}), or * and +."
            )
        self.reads.append([])
        self.free.append([])
        return len(self.reads) - 1

    def read(self, here: int, characters: CharSet, there: int | None = None) -> int:
        there = self.state() if there is None else there
        self.reads[here].append((self.sets.setdefault(characters, len(self.sets)), there))
        return there

    def skip(self, here: int, there: int, assertion: tuple[Any, int] | None = None) -> None:
        self.free[here].append((assertion, there))

    def add(self, nodes: Iterable[Any], here: int, flags: int) -> int:
        """Append the parsed nodes after state `here`; returns the state behind them."""
        for kind, value in nodes:
            if kind in (op.LITERAL, op.NOT_LITERAL, op.ANY, op.IN):
                here = self.read(here, _characters(kind, value, flags))
            elif kind is op.AT:
                there = self.state()
                self.skip(here, there, (value, flags & (re.MULTILINE | re.ASCII)))
                here = there
            elif kind is op.SUBPATTERN:
                _, added, removed, body = value
                here = self.add(body, here, (flags | added) & ~removed)
            elif kind is op.BRANCH:
                there = self.state()
                for branch in value[1]:
                    start = self.state()
                    self.skip(here, start)
                    self.skip(self.add(branch, start, flags), there)
                here = there
            elif kind in (op.MAX_REPEAT, op.MIN_REPEAT):
                least, most, body = value
                here = self.repeat(least, most, body, here, flags)
            else:
                raise _unsupported(self.pattern, kind)
        return here

    def repeat(self, least: int, most: Any, body: Any, here: int, flags: int) -> int:
        for _ in range(least):
            here = self.add(body, here, flags)
        if most is op.MAXREPEAT:
            loop, end = self.state(), self.state()
            self.skip(here, loop)
            self.skip(self.add(body, loop, flags), loop)
            self.skip(loop, end)
            return end
        end = self.state()
        for _ in range(most - least):
            self.skip(here, end)
            here = self.add(body, here, flags)
        self.skip(here, end)
        return end


def _unsupported(pattern: str, kind: Any) -> UnsupportedPattern:
    name, reason = _UNSUPPORTED.get(kind, ("", str(kind)))
    place = next((match.start() for match in _PLACES.finditer(pattern) if match.lastgroup == name), 0)
    return UnsupportedPattern(
        f"The regular expression {pattern!r} uses {reason} (at position {place}: {pattern[place : place + 12]!r}). "
        "Allowed: characters, classes, groups, |, * + ? {m,n} (greedy or lazy), ^ $ \\A \\Z \\b \\B and the flags i, "
        "m, s, x, a."
    )


def _characters(kind: Any, value: Any, flags: int) -> CharSet:
    case = flags & (re.IGNORECASE | re.ASCII)
    if kind is op.ANY:
        return matching_characters(".", flags & re.DOTALL)
    if kind is op.LITERAL:
        return same_letter(chr(value), case)
    if kind is op.NOT_LITERAL:
        return matching_characters(f"[^\\U{value:08x}]", case)
    parts = []
    for item, argument in value:
        if item is op.NEGATE:
            parts.append("^")
        elif item is op.LITERAL:
            parts.append(f"\\U{argument:08x}")
        elif item is op.RANGE:
            parts.append(f"\\U{argument[0]:08x}-\\U{argument[1]:08x}")
        else:
            parts.append(_CATEGORIES[argument])
    return matching_characters("[" + "".join(parts) + "]", case)


_Side = tuple[bool, bool, bool] | None
"""What an assertion sees of a neighbour: is it a word character, an ASCII word character, a newline; None is no
neighbour."""


def _holds(assertion: tuple[Any, int], left: _Side, right: _Side) -> bool | None:
    """Whether an assertion holds between two characters; None: only if the right one is the last character of the
    text."""
    kind, flags = assertion
    if kind is op.AT_BEGINNING_STRING or (kind is op.AT_BEGINNING and not flags & re.MULTILINE):
        return left is None
    if kind is op.AT_BEGINNING:
        return left is None or left[2]
    if kind is op.AT_END_STRING:
        return right is None
    if kind is op.AT_END:
        return right is None or (bool(right[2]) if flags & re.MULTILINE or not right[2] else None)
    word = 1 if flags & re.ASCII else 0
    differ = (left is not None and left[word]) != (right is not None and right[word])
    if kind is op.AT_BOUNDARY:
        return differ
    return not differ and (left is not None or right is not None or _EMPTY_TEXT_HAS_NON_BOUNDARY)


def regex(
    pattern: str,
    mode: Literal["matches", "contains", "excludes"] = "matches",
    flags: int = 0,
    *,
    max_states: int = 10_000,
    max_seconds: float = 20.0,
) -> Language:
    """The language of a regular expression in the syntax of Python's `re`.

    Args:
        pattern: the expression. Not supported: back references, look-around, atomic groups, possessive repeats.
        mode: "matches": the whole text matches (`re.fullmatch`); "contains": it is found somewhere (`re.search`);
            "excludes": it is found nowhere.
        flags: flags of `re`: IGNORECASE, MULTILINE, DOTALL, VERBOSE, ASCII.
        max_states: cap on the automaton before minimisation.
        max_seconds: cap on the time.

    Raises:
        UnsupportedPattern: invalid or unsupported syntax, with its position.
        AutomatonTooLarge: beyond a cap.
    """
    if mode not in ("matches", "contains", "excludes"):
        raise ValueError(f'mode={mode!r} is not known; use "matches", "contains" or "excludes".')
    if not isinstance(pattern, str):
        raise TypeError(f"A regular expression is a str; got {type(pattern).__name__}.")
    if posix := _POSIX.search(pattern):
        raise UnsupportedPattern(
            f"The regular expression {pattern!r} has {posix[1]}, a class of POSIX, which `re` reads as those letters one by "
            "one; name the characters, as in [A-Za-z], or write \\d, \\s, \\w."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # [[a] means what it did
            tree = _parser.parse(pattern, flags)
    except (re.error, OverflowError, RecursionError) as error:
        raise UnsupportedPattern(f"The regular expression {pattern!r} is not valid: {error}.") from error
    flags = tree.state.flags
    nfa = _Nfa(pattern)
    start = nfa.state()
    final = nfa.add(tree if mode == "matches" else _least_at_edges(list(tree)), start, flags)
    if mode != "matches":
        anything = matching_characters(".", re.DOTALL)
        first, last = nfa.state(), nfa.state()
        nfa.read(first, anything, first)
        nfa.skip(first, start)
        nfa.skip(final, last)
        nfa.read(last, anything, last)
        start, final = first, last
        nfa.settled = 1 << last
    budget = Budget(f"The regular expression {pattern!r}", max_states, max_seconds, _ADVICE)
    language = _determinise(nfa, start, final, budget)
    verb = {"matches": "matches", "contains": "contains", "excludes": "contains nowhere"}[mode]
    return (~language if mode == "excludes" else language).renamed(f"{verb} {quoted(pattern)}")


def _least_at_edges(nodes: list[Any]) -> list[Any]:
    """Nodes that are found in the same texts: repeats at the beginning and the end need no more than their least count."""
    for place in {0, len(nodes) - 1} if nodes else ():
        kind, value = nodes[place]
        if kind in (op.MAX_REPEAT, op.MIN_REPEAT):
            nodes[place] = (kind, (value[0], value[0], value[2]))
    return nodes


def _determinise(nfa: _Nfa, start: int, final: int, budget: Budget) -> Language:
    asserting = any(assertion for edges in nfa.free for assertion, _ in edges)
    context = [matching_characters(r"\w"), matching_characters(r"\w", re.ASCII), ((10, 11),)] if asserting else []
    cuts, classes, member = partition([*nfa.sets, *context])
    width = member.shape[1]
    sides: list[_Side] = [None] * width
    if asserting:
        sides = [(bool(word), bool(ascii_word), bool(newline)) for word, ascii_word, newline in member[-3:].T]
    classes_of = [[c for c in range(width) if member[s, c]] for s in range(len(nfa.sets))]
    moves = [[(c, 1 << there) for s, there in edges for c in classes_of[s]] for edges in nfa.reads]
    closures: dict[tuple[int, _Side, _Side], tuple[int, int]] = {}

    def closure(state: int, left: _Side, right: _Side) -> tuple[int, int]:
        """States reached without reading: surely, and if the next character (a newline) is the last one."""
        if (state, left, right) not in closures:
            found = {(state, False)}
            stack = [(state, False)]
            while stack:
                here, ends = stack.pop()
                for assertion, there in nfa.free[here]:
                    holds = True if assertion is None else _holds(assertion, left, right)
                    item = (there, ends or holds is None)
                    if holds is not False and item not in found:
                        found.add(item)
                        stack.append(item)
            masks = [sum(1 << s for s, ends in found if ends is flag) for flag in (False, True)]
            closures[state, left, right] = (masks[0], masks[1])
        return closures[state, left, right]

    read, work = 0, 0  # states of the result, and states of ours that they hold

    def step(state: tuple[_Side, int, int]) -> list[tuple[_Side, int, int]]:
        nonlocal read, work
        left, active, _ = state  # states that demanded the end of the text do not survive another character
        read, work = read + 1, work + active.bit_count()
        if read == _SAMPLE and work > read * read // 4:  # they hold one more each time: so it goes on
            budget.foresee(len(nfa.reads) ** 2 / 2 / work)
        going, ending = [0] * width, [0] * width
        for right in set(sides):
            sure = last = 0
            for s in _bits(active):
                more, more_last = closure(s, left, right)
                sure, last = sure | more, last | more_last
            for mask, targets in ((sure, going), (last, ending)):
                for s in _bits(mask):
                    for c, target in moves[s]:
                        if sides[c] == right:
                            targets[c] |= target
        if nfa.settled:
            ending = [0 if mask & nfa.settled else end for mask, end in zip(going, ending, strict=True)]
            going = [nfa.settled if mask & nfa.settled else mask for mask in going]
        return [(sides[c] if going[c] or ending[c] else None, going[c], ending[c]) for c in range(width)]

    def accepts(state: tuple[_Side, int, int]) -> bool:
        left, active, ended = state
        return any(closure(s, left, None)[0] >> final & 1 for s in _bits(active | ended))

    begin: tuple[_Side, int, int] = (None, 1 << start, 0)
    delta, accepting = determinise(begin, step, accepts, budget)
    return Language.from_arrays("", cuts, classes, delta, accepting)


def _bits(mask: int) -> Iterable[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low
