"""Automata over the tokens of a vocabulary, with tokens that do the same merged into classes."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from diffusionlm.guidance.automata.algebra import AutomatonTooLarge
from diffusionlm.guidance.automata.alphabet import Bools, Ints
from diffusionlm.guidance.automata.language import Language
from diffusionlm.guidance.automata.over_bytes import ByteAutomaton, to_bytes
from diffusionlm.guidance.automata.shapes import check_range
from diffusionlm.guidance.automata.spelling import SpellingVocabulary, reading_pieces

MAX_CELLS = 150_000_000
MAX_CACHED = 64
_cache: OrderedDict[tuple[str, str, bool], "TokenAutomaton"] = OrderedDict()


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
    if key in _cache:
        _cache.move_to_end(key)
        return replace(_cache[key], name=language.name, language=language)
    compiled = replace(
        over_tokens(to_bytes(language), vocabulary, language.name, partial_characters), language=language
    )
    _cache[key] = compiled
    while len(_cache) > MAX_CACHED:
        _cache.popitem(last=False)
    return compiled


def only_bytes(vocabulary: TokenSurfaces) -> bool:
    """Whether all tokens are single bytes."""
    return max((len(surface) for surface in vocabulary.surfaces), default=0) <= 1


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
    """delta (S, C) and token_class (V,). Classes are numbered along the sorted surfaces, so neighbours do similar
    things."""
    kinds = reader.kind.tolist()
    spelled = [bytes(kinds[byte] for byte in surface) for surface in surfaces]
    classes: dict[bytes, int] = {np.full(states, reader.dead, dtype=np.int32).tobytes(): 0}
    class_of = {b"": 0}
    path = [np.arange(states, dtype=np.int32)]  # maps of the prefixes of the last surface
    last = b""
    for word in sorted(set(spelled) - {b""}):
        shared = 0
        for a, b in zip(last, word, strict=False):
            if a != b:
                break
            shared += 1
        del path[shared + 1 :]
        for byte in word[shared:]:
            path.append(reader.moves[byte][path[-1]])
        last = word
        final = np.where(path[-1] < states, path[-1], np.int32(reader.dead))
        class_of[word] = classes.setdefault(final.tobytes(), len(classes))
        if len(classes) * states > MAX_CELLS:
            raise AutomatonTooLarge(
                f"The constraint {name} has {states:,} states and tells more than {len(classes):,} of "
                f"{len(surfaces):,} tokens apart; at most {MAX_CELLS:,} transitions are allowed. Use fewer or shorter "
                "phrases, or split the constraint."
            )
    maps = np.frombuffer(b"".join(classes), dtype=np.int32).reshape(len(classes), states)
    return np.ascontiguousarray(maps.T), np.array([class_of[word] for word in spelled], dtype=np.int64)


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
