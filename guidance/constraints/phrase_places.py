"""Places of many phrases in a text: their spelling in tokens, and where the posterior of a row would put them.

The places are the likeliest that do not overlap, greedily, after a perturbation by Gumbel noise of the row's own seed.
Shapes: B rows, n phrases, L positions, V tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from diffusionlm.guidance.automata import TokenAutomaton
from diffusionlm.guidance.automata.look_alikes import word_characters

if TYPE_CHECKING:
    from diffusionlm.text import Vocabulary

LEAST = -30.0  # nats; a token less likely than this counts as this where places are compared


def phrase_key(automaton: TokenAutomaton) -> Any:
    """Identifier of the automaton of a phrase."""
    return automaton.name if automaton.language is None else automaton.language.key


def gumbel_noise(seed: int, phrases: int, length: int) -> Tensor:
    """Noise (n, L) of a row, which its seed alone decides."""
    generator = torch.Generator().manual_seed(seed ^ 0x0DE25)
    uniform = torch.rand(phrases, length, generator=generator, dtype=torch.float64).clamp_min(1e-300)
    return -(-uniform.log()).log()


def spelled(automaton: TokenAutomaton, vocabulary: Vocabulary) -> list[int]:
    """Tokens of the shortest text of a phrase behind a space, the longest first."""
    from diffusionlm.guidance.syntax.words import longest_first

    language = automaton.language
    text = (language.shortest() if language is not None else None) or ""
    return [token for token in longest_first(b" " + text.strip().encode(), _ids(vocabulary)) if token is not None] or [
        0
    ]


def places_of(spellings: Sequence[Sequence[int]], log_p: Tensor, noise: Tensor) -> list[Any]:
    """Where phrases, given as tokens, would begin in each row (n,), from log_p (B, L, V) and noise (B, n, L)."""
    batch, length, _ = log_p.shape
    scores = np.full((batch, len(spellings), length), len(spellings) * 50 * LEAST)
    tokens = torch.tensor([token for own in spellings for token in own], device=log_p.device)
    likely = log_p.index_select(-1, tokens).clamp_min_(LEAST).cpu().numpy()
    begin = 0
    for k, own in enumerate(spellings):
        room = length - len(own) + 1
        if room > 0:
            scores[:, k, :room] = sum(likely[:, j : j + room, begin + j] for j in range(len(own)))
        begin += len(own)
    scores += noise[:, : len(spellings), :length].numpy()
    sizes = [len(tokens) for tokens in spellings]
    return [_placed(own, sizes) for own in scores]


def in_order(places: Sequence[Any]) -> list[tuple[int, ...]]:
    """The order of the phrases in each row, from their places."""
    return [tuple(int(k) for k in np.argsort(place, kind="stable")) for place in places]


def arranged(sizes: Sequence[int], length: int, attempt: int, random: np.random.Generator) -> list[int]:
    """Places (n,) without regard to a posterior: packed at the front in the first attempts, then with gaps between."""
    slack = length - sum(sizes)
    gaps = np.sort(random.integers(0, max(0, slack) + 1, len(sizes))) * (attempt > 2)
    places, begin = [0] * len(sizes), 0
    for gap, k in zip(gaps.tolist(), random.permutation(len(sizes)).tolist(), strict=True):
        places[k] = begin + gap
        begin += sizes[k]
    return places


def plant(log_p: Tensor, tokens: Sequence[int], place: int, vocabulary: Vocabulary) -> None:
    """Forbid in place, (L, V), all but some tokens from a place on, and that a word goes on behind them."""
    for i, token in enumerate(tokens, start=place):
        if i < len(log_p):
            value = log_p[i, token].clone()
            log_p[i] = -torch.inf
            log_p[i, token] = value
    behind = place + len(tokens)
    if behind < len(log_p):
        log_p[behind].masked_fill_(_goes_on(vocabulary).to(log_p.device), -torch.inf)


def _placed(scores: Any, sizes: Sequence[int]) -> Any:
    """The places (n,) that suit phrases best without overlap, from scores (n, L); between two where there is no room."""
    free = scores.copy()
    place = np.full(len(sizes), -1.0)
    alike = [(size, np.array([n for n, own in enumerate(sizes) if own == size])) for size in sorted(set(sizes))]
    for _ in sizes:
        k, i = divmod(int(free.argmax()), free.shape[1])
        if not np.isfinite(free[k, i]):
            break
        place[k] = i
        free[k] = -np.inf
        for size, others in alike:
            free[others, max(0, i - size + 1) : i + sizes[k]] = -np.inf
    left = place < 0
    place[left] = scores[left].argmax(1) + 0.5
    return place


@lru_cache(maxsize=2)
def _ids(vocabulary: Vocabulary) -> dict[bytes, int]:
    return {surface: token for token, surface in enumerate(vocabulary.surfaces) if surface}


@lru_cache(maxsize=2)
def _goes_on(vocabulary: Vocabulary) -> Tensor:
    """(V,) bool: tokens that go on with a word."""
    first = np.array(
        [ord(text[0]) if surface else 32 for text, surface in zip(vocabulary.strings, vocabulary.surfaces, strict=True)]
    )
    edges = np.array(word_characters()).reshape(-1)
    return torch.from_numpy(np.searchsorted(edges, first, side="right") % 2 == 1)
