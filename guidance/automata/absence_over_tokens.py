"""`Absence` over the tokens of a vocabulary: tokens of spans are generated, text between them is known."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from diffusionlm.guidance.automata.occurrences import Absence
from diffusionlm.guidance.automata.over_bytes import ByteAutomaton, to_bytes
from diffusionlm.guidance.automata.over_tokens import TokenAutomaton, TokenSurfaces, only_bytes, over_tokens

MAX_CACHED = 64
_cache: OrderedDict[tuple[str, str], TokenAutomaton] = OrderedDict()


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
    key = (absence.key, vocabulary.fingerprint)
    if key in _cache:
        _cache.move_to_end(key)
        return _cache[key]
    generated = over_tokens(to_bytes(absence.generated), vocabulary, absence.name, only_bytes(vocabulary))
    known = _KnownText(**vars(to_bytes(absence.known)), states=generated.num_states)
    compiled = replace(generated, reader=known, key=absence.key)
    _cache[key] = compiled
    while len(_cache) > MAX_CACHED:
        _cache.popitem(last=False)
    return compiled
