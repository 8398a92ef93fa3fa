"""`Absence` over the tokens of a vocabulary: tokens of spans are generated, text between them is known."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from diffusionlm.guidance.automata.kept import Kept
from diffusionlm.guidance.automata.occurrences import Absence
from diffusionlm.guidance.automata.over_bytes import ByteAutomaton, to_bytes
from diffusionlm.guidance.automata.over_tokens import TokenAutomaton, TokenSurfaces, only_bytes, over_tokens

_kept: Kept[TokenAutomaton] = Kept()


@dataclass(frozen=True, eq=False)
class _KnownText(ByteAutomaton):
    """Reads known text with the states of the automaton over generated text."""

    states: int = 0

    def read(self, surface: bytes) -> NDArray[np.int32]:
        maps = super().read(surface)[: self.inner]
        lost = np.full(self.states - self.inner, self.dead, dtype=np.int32)  # known text begins within no character
        return np.concatenate([maps, lost])


def compile_absence(absence: Absence, vocabulary: TokenSurfaces) -> TokenAutomaton:
    """Like `compile_language`; cached by the table and the vocabulary.

    Raises:
        AutomatonTooLarge: more than 150 million transitions.
    """
    return _kept.get((absence.key, vocabulary.fingerprint), lambda: _compile(absence, vocabulary))


def _compile(absence: Absence, vocabulary: TokenSurfaces) -> TokenAutomaton:
    generated = over_tokens(to_bytes(absence.generated), vocabulary, absence.name, only_bytes(vocabulary))
    known = _KnownText(**vars(to_bytes(absence.known)), states=generated.num_states)
    return replace(generated, reader=known, key=absence.key)
