"""From automata over characters to automata over the bytes of UTF-8, which tokens are made of.

Byte-level tokens may begin or end in the middle of a character. Reading bytes instead of characters makes such tokens
exact: between the bytes of one character the automaton is in a state that knows what it has seen of it. Bytes that are
not UTF-8 (overlong forms and surrogates included) lead to a dead state.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diffusionlm.guidance.automata.algebra import AutomatonTooLarge, distinct_rows
from diffusionlm.guidance.automata.alphabet import NUM_CODE_POINTS, Bools, Ints
from diffusionlm.guidance.automata.language import Language

MAX_INNER_STATES = 500_000


@dataclass(frozen=True, eq=False)
class ByteAutomaton:
    """A complete deterministic automaton over bytes.

    Attributes:
        moves: (N, S) int32: the map of states under the n-th kind of byte (one row a kind, so that reading is a
            gather).
        kind: (256,) the kind of each byte.
        start: first state.
        dead: a state from which nothing is accepted.
        accepting: (S,) whether the text may end there.
        inner: states from this one on stand inside a character.
    """

    moves: NDArray[np.int32]
    kind: Ints
    start: int
    dead: int
    accepting: Bools
    inner: int

    def read(self, surface: bytes) -> NDArray[np.int32]:
        """The map (S,) of states under a run of bytes."""
        states = np.arange(len(self.accepting), dtype=np.int32)
        for byte in surface:
            states = self.moves[self.kind[byte]][states]
        return states


def to_bytes(language: Language) -> ByteAutomaton:
    """The automaton over UTF-8 bytes of the *internal* form of a language's texts.

    Internal texts carry one space before the user's text ("The Mill" is tokenised as " The Mill"), so one space at the
    very beginning is read without effect; an internal text without it is read as it is.
    """
    ascii_class = language.classes[np.searchsorted(language.cuts, np.arange(0x80), side="right") - 1]
    last_byte, group1 = _groups(language)
    wide = {lead: group1[(lead - 0xE0) * 64 :][:64].copy() for lead in range(0xE0, 0xF0)}
    wide[0xE0][:0x20] = -1  # overlong
    wide[0xED][0x20:] = -1  # surrogates
    planes = np.arange(0x100 + 16) * 64
    group2_rows = np.concatenate([np.stack(list(wide.values())), group1[planes[16:, None] + np.arange(64)]])
    first2, group2 = distinct_rows(group2_rows)
    middle_byte = group2_rows[first2]
    group2_of = np.full((5, 64), -1, dtype=np.int64)  # (lead F0..F4, second byte)
    group2_of.reshape(-1)[16 : 16 + 256] = group2[16:]
    size = language.num_states
    start, dead = size, size + 1

    def share(rows: Ints, offset: int) -> tuple[Ints, Ints]:
        """Rows (N, 64) of target states -> the distinct ones as new states, and the state of each row."""
        first, which = distinct_rows(rows)
        states = np.where((rows[first] == dead).all(axis=1), dead, offset + np.arange(len(first)))
        return rows[first], states[which]

    # A group makes a difference to few states only: those that treat some of its characters differently.
    blocks, owner, alike_of = [], [], {}
    for group in range(len(last_byte)):
        columns = tuple(np.unique(last_byte[group]).tolist())
        if columns not in alike_of:
            alike_of[columns] = distinct_rows(language.delta[:, columns])
        blocks.append(language.delta[alike_of[columns][0]][:, last_byte[group]])
        owner.append(alike_of[columns][1])
    _limit(language, sum(len(block) for block in blocks))
    table1, shared = share(np.concatenate(blocks), size + 2)
    ends = np.cumsum([0] + [len(block) for block in blocks])
    state1 = np.stack([shared[first:][which] for first, which in zip(ends, owner, strict=False)], axis=1)
    first_u, alike = distinct_rows(state1)
    _limit(language, len(first_u) * len(middle_byte))

    def follow(states: Ints, groups: Ints) -> Ints:
        padded = np.concatenate([states, np.full((len(states), 1), dead)], axis=1)  # group -1 is no character
        return padded[:, groups]

    def deeper(states: Ints, groups: Ints, offset: int) -> tuple[Ints, Ints]:
        table, shared = share(follow(states, groups).reshape(-1, 64), offset)
        return table, shared.reshape(len(states), len(groups))

    table2, state2 = deeper(state1[first_u], middle_byte, size + 2 + len(table1))
    table3, state3 = deeper(state2, group2_of, size + 2 + len(table1) + len(table2))
    delta = np.full((size + 2 + len(table1) + len(table2) + len(table3), 256), dead, dtype=np.int32)
    delta[:size, :0x80] = language.delta[:, ascii_class]
    delta[:size, 0xC2:0xE0] = state1[:, group1[2:32]]
    delta[:size, 0xE0:0xF0] = state2[:, group2[:16]][alike]
    delta[:size, 0xF0:0xF5] = state3[alike]
    delta[size + 2 :, 0x80:0xC0] = np.concatenate([table1, table2, table3])
    delta[start] = delta[0]
    delta[start, 0x20] = 0
    accepting = np.zeros(len(delta), dtype=bool)
    accepting[:size] = language.accepting
    accepting[start] = language.accepting[0]
    hopeless = np.zeros(len(delta), dtype=bool)
    hopeless[:size] = ~language.accepting & (language.delta == np.arange(size)[:, None]).all(axis=1)
    delta[hopeless[delta]] = dead  # one dead state for all reasons
    first, kind = distinct_rows(np.ascontiguousarray(delta.T))
    return ByteAutomaton(np.ascontiguousarray(delta[:, first].T), kind, start, dead, accepting, size + 2)


def _groups(language: Language) -> tuple[Ints, Ints]:
    """Groups of 64 code points share all bytes but the last; groups of 64 groups all but the last two.

    Returns:
        The distinct groups (N, 64) by class of character, and which of them each group (17,408,) is. What is one byte never
        takes part: its groups are like the next one.
    """
    first = np.arange(NUM_CODE_POINTS // 64) * 64
    alike = language.classes[np.searchsorted(language.cuts, first, side="right") - 1]
    mixed = np.zeros(len(first), dtype=bool)  # groups within which the class changes
    mixed[language.cuts[language.cuts % 64 != 0] // 64] = True
    mixed[:2] = False
    codes = first[mixed][:, None] + np.arange(64)
    rows = language.classes[np.searchsorted(language.cuts, codes, side="right") - 1]
    size = int(language.classes.max()) + 1
    distinct, which = distinct_rows(np.concatenate([np.repeat(np.arange(size)[:, None], 64, axis=1), rows]))
    group = which[alike]
    group[mixed] = which[size:]
    group[:2] = group[2]
    table = np.concatenate([np.repeat(np.arange(size)[:, None], 64, axis=1), rows])[distinct]
    used, group = np.unique(group, return_inverse=True)
    return table[used], group.reshape(-1)


def _limit(language: Language, states: int) -> None:
    if states > MAX_INNER_STATES:
        raise AutomatonTooLarge(
            f"The constraint {language.name} tells characters beyond ASCII apart in too many places ({states:,} "
            f"cases; at most {MAX_INNER_STATES:,} are allowed). Use re.ASCII, fewer character classes, or fewer "
            "phrases at once."
        )
