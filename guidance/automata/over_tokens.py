"""Automata over the tokens of a vocabulary, with tokens that do the same merged into classes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from diffusionlm.guidance.automata.algebra import AutomatonTooLarge, distinct_rows
from diffusionlm.guidance.automata.alphabet import Bools, Ints
from diffusionlm.guidance.automata.kept import Kept
from diffusionlm.guidance.automata.language import Language
from diffusionlm.guidance.automata.over_bytes import ByteAutomaton, to_bytes
from diffusionlm.guidance.automata.shapes import check_range
from diffusionlm.guidance.automata.spelling import SpellingVocabulary, reading_pieces

MAX_CELLS = 150_000_000
_kept: Kept["TokenAutomaton"] = Kept()


class TokenSurfaces(Protocol):
    """What is needed of a vocabulary: token surfaces, the pad token and a fingerprint that identifies both."""

    @property
    def surfaces(self) -> tuple[bytes, ...]:
        """UTF-8 bytes of each token; b"" for special tokens."""

    @property
    def pad_id(self) -> int:
        """The token that fills the tail of a span."""

    @property
    def fingerprint(self) -> str:
        """Equal for equal vocabularies."""


@dataclass(frozen=True, eq=False)
class TokenAutomaton:
    """A complete deterministic automaton over tokens. The pad token stands outside of it: it changes nothing, anywhere.

    Attributes:
        name: the constraint in the user's words.
        delta: (S, C) int32 transitions of states under classes of tokens.
        token_class: (V,) the class of each token. The entry of the pad token means nothing.
        pad_id: the pad token.
        start: first state.
        dead: a state from which nothing is accepted.
        accepting: (S,) whether the whole text may end there.
        reader: how known text between the spans is read; None where it does not matter (lengths in tokens).
        language: the texts allowed, where the constraint is about texts.
        key: identifies the rule where there is no language; None: its tables do.
    """

    name: str
    delta: NDArray[np.int32]
    token_class: Ints
    pad_id: int
    start: int
    dead: int
    accepting: Bools
    reader: ByteAutomaton | None = None
    language: Language | None = None
    key: str | None = None

    @property
    def num_states(self) -> int:
        """Number of states S."""
        return len(self.delta)

    @property
    def num_classes(self) -> int:
        """Number of classes of tokens C."""
        return self.delta.shape[1]

    def read(self, literal: str) -> NDArray[np.int32]:
        """The map (S,) of states under known text (internal form)."""
        if self.reader is None or not literal:
            return np.arange(self.num_states, dtype=np.int32)
        return self.reader.read(literal.encode("utf-8"))[: self.num_states]


def compile_language(
    language: Language, vocabulary: TokenSurfaces, partial_characters: bool | None = None
) -> TokenAutomaton:
    """Carry a language over to the tokens of a vocabulary; cached by (language key, vocabulary fingerprint).

    The transition of a token is the composition of the maps of its bytes, computed for all states at once along a trie
    of the surfaces. Tokens without surface (special ones) lead to the dead state, except for pad, which changes
    nothing. Bytes that are not UTF-8 lead to the dead state.

    Args:
        language: the texts allowed (the user's text, without the leading space of the internal form).
        vocabulary: token surfaces.
        partial_characters: whether a token may end inside a UTF-8 character. True is exact for every text, but adds
            states for the bytes in between; False sends such tokens to the dead state, so a constrained span never
            uses a character that the vocabulary cannot write in whole tokens, but for those that a
            `SpellingVocabulary` names. None: True if all tokens are single bytes.

    Raises:
        AutomatonTooLarge: more than 150 million transitions (states x classes of tokens).
    """
    if partial_characters is None:
        partial_characters = only_bytes(vocabulary)
    key = (language.key, vocabulary.fingerprint, partial_characters)
    compiled = _kept.get(key, lambda: over_tokens(to_bytes(language), vocabulary, language.name, partial_characters))
    return replace(compiled, name=language.name, language=language)


def only_bytes(vocabulary: TokenSurfaces) -> bool:
    """Whether all tokens are single bytes."""
    return not any(len(surface) > 1 for surface in vocabulary.surfaces)


def over_tokens(
    reader: ByteAutomaton, vocabulary: TokenSurfaces, name: str, partial_characters: bool
) -> TokenAutomaton:
    """An automaton over bytes, over tokens; it also reads known text. See `compile_language`."""
    if isinstance(vocabulary, SpellingVocabulary):
        reader = reading_pieces(reader, vocabulary.in_pieces)
    states = len(reader.accepting) if partial_characters else reader.inner
    delta, token_class = token_maps(reader, vocabulary.surfaces, states, name)
    accepting = reader.accepting[:states]
    return TokenAutomaton(name, delta, token_class, vocabulary.pad_id, reader.start, reader.dead, accepting, reader)


def token_maps(
    reader: ByteAutomaton, surfaces: Sequence[bytes], states: int, name: str
) -> tuple[NDArray[np.int32], Ints]:
    """delta (S, C) and token_class (V,), in one pass over all tokens for each place in a surface.

    Tokens whose beginnings do the same share a map of states, so a map is computed once for each distinct (map, kind of
    byte) and not for each token: a vocabulary of 126,000 takes as many maps as there are things that tokens can do. The
    class of what is never accepted is 0; the others are numbered by their maps, so neighbours do similar things.
    """
    kinds, lengths = surface_bytes(tuple(surfaces))
    identity = np.arange(len(reader.accepting), dtype=np.int32)
    maps = identity[None, :states].copy()  # of the beginnings that are still going on
    current = np.zeros(len(lengths), dtype=np.int64)  # of each token, among these
    final = np.full(len(lengths), -1, dtype=np.int64)
    ended = [np.full((1, states), reader.dead, dtype=np.int32)]
    count = 1
    final[lengths == 0] = 0
    alive = np.nonzero(lengths > 0)[0]
    for place in range(kinds.shape[1]):
        kind = reader.kind[kinds[alive, place]]
        pairs, which = np.unique(current[alive] * len(reader.moves) + kind, return_inverse=True)
        before, move = np.divmod(pairs, len(reader.moves))
        _room(len(pairs) + count, states, len(lengths), name)
        moved = reader.moves[move[:, None], maps[before]]
        first, same = distinct_rows(moved)
        maps, current[alive] = moved[first], same[which.reshape(-1)]
        done = lengths[alive] == place + 1
        used, which = np.unique(current[alive[done]], return_inverse=True)
        if len(used):
            ends = maps[used]
            ended.append(np.where(ends < states, ends, np.int32(reader.dead)))
            final[alive[done]] = count + which.reshape(-1)
            count += len(used)
        alive = alive[~done]
        if not len(alive):
            break
    table = np.concatenate(ended)
    first, same = distinct_rows(table)
    order = np.lexsort(table[first].T[::-1]) if len(first) * states < 10_000_000 else np.argsort(first)
    order = np.concatenate([[same[0]], order[order != same[0]]])
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return np.ascontiguousarray(table[first[order]].T), rank[same[final]]


@lru_cache(maxsize=8)
def surface_bytes(surfaces: tuple[bytes, ...]) -> tuple[NDArray[np.uint8], Ints]:
    """Bytes of all tokens (V, longest), zero behind their ends, and lengths (V,)."""
    lengths = np.array([len(surface) for surface in surfaces], dtype=np.int64)
    table = np.zeros((len(surfaces), int(lengths.max(initial=0))), dtype=np.uint8)
    table[np.arange(table.shape[1]) < lengths[:, None]] = np.frombuffer(b"".join(surfaces), dtype=np.uint8)
    return table, lengths


def _room(classes: int, states: int, tokens: int, name: str) -> None:
    if classes * states > MAX_CELLS:
        raise AutomatonTooLarge(
            f"The constraint {name} has {states:,} states and tells more than {classes:,} of {tokens:,} tokens apart; at "
            f"most {MAX_CELLS:,} transitions are allowed. Use fewer or shorter phrases, or split the constraint."
        )


def token_count(vocabulary: TokenSurfaces, least: int, most: int | None = None) -> TokenAutomaton:
    """Canvases whose spans hold, all together, `least` to `most` tokens (both included; None: no upper limit).

    Pad tokens do not count, nor does known text. Special tokens lead to the dead state.
    """
    check_range(least, most, "tokens", 100_000)
    top = least if most is None else most + 1
    counts = np.arange(top + 1)
    accepting = (counts >= least) & (counts <= (top if most is None else most))
    dead = top if most is not None else top + 1
    delta = np.stack([np.full(top + 1, dead), np.minimum(counts + 1, top)], axis=1)
    if most is None:
        delta, accepting = np.concatenate([delta, [[dead, dead]]]), np.append(accepting, False)
    token_class = np.array([1 if surface else 0 for surface in vocabulary.surfaces], dtype=np.int64)
    amount = f"exactly {least}" if most == least else f"{least} or more" if most is None else f"{least} to {most}"
    return TokenAutomaton(
        f"{amount} tokens in the spans", delta.astype(np.int32), token_class, vocabulary.pad_id, 0, dead, accepting
    )
