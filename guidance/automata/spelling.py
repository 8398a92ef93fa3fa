"""Characters that a vocabulary writes only in pieces, where a rule asks for them.

A byte-level vocabulary spells a rare character ("’") as several tokens. Automata leave such characters to nobody: a token
that ends inside a character leads to the dead state, because knowing of every unfinished character costs states. A rule
that requires a character names it, and then all rules of the call can read its pieces.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np

from diffusionlm.guidance.automata.over_bytes import ByteAutomaton
from diffusionlm.text import Vocabulary


@dataclass(frozen=True)
class SpellingVocabulary(Vocabulary):
    """A vocabulary with characters whose pieces the rules of a call must be able to read.

    Attributes:
        in_pieces: these characters.
    """

    in_pieces: str = ""

    @cached_property
    def fingerprint(self) -> str:
        """The vocabulary's, with the characters."""
        return f"{super().fingerprint} {self.in_pieces}"

    @property
    def of_the_model(self) -> str:
        """Without the characters."""
        return super().fingerprint


def spelling(vocabulary: Vocabulary, characters: Iterable[str]) -> Vocabulary:
    """The vocabulary, ready for rules that require some characters; itself where it writes each of them in one token."""
    rare = sorted({character for character in characters if not character.isascii()})
    if rare:
        whole = set(vocabulary.surfaces)
        rare = [character for character in rare if character.encode("utf-8", "surrogatepass") not in whole]
    if not rare:
        return vocabulary
    own = {field.name: getattr(vocabulary, field.name) for field in fields(Vocabulary)}
    return SpellingVocabulary(**own, in_pieces="".join(rare))


def reading_pieces(reader: ByteAutomaton, characters: str) -> ByteAutomaton:
    """The same automaton with the states inside some characters in front of `inner`, so that a token may end there."""
    inside: set[int] = set()
    for character in characters:
        states = np.arange(reader.inner, dtype=np.int32)
        for byte in character.encode("utf-8", "surrogatepass")[:-1]:
            states = reader.moves[reader.kind[byte]][states]
            inside |= {int(state) for state in states if state >= reader.inner}
    if not inside:
        return reader
    front = np.arange(reader.inner)
    others = np.setdiff1d(np.arange(reader.inner, len(reader.accepting)), sorted(inside))
    order = np.concatenate([front, sorted(inside), others])
    number = np.empty(len(order), dtype=np.int32)
    number[order] = np.arange(len(order))
    moves = np.ascontiguousarray(number[reader.moves[:, order]])
    return replace(reader, moves=moves, accepting=reader.accepting[order], inner=reader.inner + len(inside))
