"""The phrases of a call as a chain on its canvas: which of them a chain needs, and what is left of the plugins beside it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from diffusionlm.guidance.automata import TokenAutomaton
from diffusionlm.guidance.automata.kept import Kept
from diffusionlm.guidance.automata.orders import PhraseChain
from diffusionlm.guidance.constraints.constraint import Constraint, canvas_key
from diffusionlm.guidance.constraints.phrase_places import phrase_key

if TYPE_CHECKING:
    from diffusionlm.spans import CanvasLayout
    from diffusionlm.text import Vocabulary

_chains: Kept[PhraseChain | None] = Kept()


def chain_on(
    phrases: Sequence[TokenAutomaton], layout: CanvasLayout, allowed: Tensor, vocabulary: Vocabulary
) -> PhraseChain | None:
    """The phrases on a canvas without those that its known text holds already; None if that is all of them."""
    usable = allowed.any(0).cpu().numpy()
    keys = tuple(map(phrase_key, phrases))
    key = keys, vocabulary.fingerprint, canvas_key(layout), usable.tobytes()

    def make() -> PhraseChain | None:
        literals = list(layout.internal_literals)
        missing = [automaton for automaton in phrases if not _known(automaton, literals)]
        return PhraseChain(missing, literals, layout.span_index.numpy(), usable) if missing else None

    return _chains.get(key, make)


@lru_cache(maxsize=16)
def needed(phrases: tuple[TokenAutomaton, ...]) -> list[TokenAutomaton]:
    """The phrases without those that every text with another of them holds."""
    out: list[TokenAutomaton] = []
    for k, automaton in enumerate(phrases):
        own = automaton.language
        assert own is not None
        implied = False
        for j, other in enumerate(phrases):
            language = other.language
            assert language is not None
            if k == j or not own.accepts(language.shortest() or "") or (own == language and k < j):
                continue
            implied = implied or (language - own).is_empty()
        if not implied:
            out.append(automaton)
    return out


def without_phrases(plugin: Constraint) -> Constraint | None:
    """A plugin without the rules that the chain takes over; None if nothing is left of it."""
    own = {id(automaton) for automaton in plugin.unordered()}
    if not own:
        return plugin
    rest = [automaton for automaton in plugin.compiled if id(automaton) not in own]
    if not rest:
        return None
    other = copy.copy(plugin)
    other.compiled = rest
    return other


def keep_way(log_p: Tensor, chain: PhraseChain, way: Sequence[Any]) -> None:
    """Forbid in place, (L, V), the tokens that would leave the way of a chain."""
    classes = torch.from_numpy(chain.token_class).to(log_p.device)
    for i, own in enumerate(way):
        if own is None:
            continue
        inside = torch.zeros(chain.num_classes + 1, dtype=torch.bool, device=log_p.device)
        inside[torch.as_tensor(own, device=log_p.device)] = True
        log_p[i].masked_fill_(~inside[classes], -torch.inf)


def _known(automaton: TokenAutomaton, literals: Sequence[str]) -> bool:
    """Whether one of the known texts holds the phrase, whatever is written beside it."""
    language = automaton.language
    assert language is not None
    last = len(literals) - 1
    sides = [("x" if n else "", text, "x" if n < last else "") for n, text in enumerate(literals)]
    return any(text and language.accepts(left + text + right) for left, text, right in sides)
