"""Phrases that the words of a rule about syntax must hold, spelled in one way only: a small automaton over tokens.

`Phrases` accepts a phrase in every way that tokens can spell it, which makes automata of some twenty states; multiplied by
the states of a tag automaton that is slow. Here a phrase is the tokens that the vocabulary's longest pieces give, as its
tokenizer mostly writes it, so one word is mostly one state. What it accepts holds the phrase; it only refuses rare spellings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from diffusionlm.guidance.automata import TokenAutomaton
from diffusionlm.guidance.automata.language import quoted
from diffusionlm.guidance.syntax.words import longest_first

if TYPE_CHECKING:
    from diffusionlm.text import Vocabulary


def cut(text: str, vocabulary: Vocabulary) -> list[int]:
    """Tokens of a text behind a space, from the left the longest first.

    Raises:
        ValueError: if the vocabulary cannot spell it.
    """
    surfaces = {surface: token for token, surface in enumerate(vocabulary.surfaces) if surface}
    tokens = []
    for token in longest_first(b" " + text.strip().encode(), surfaces):
        if token is None:
            raise ValueError(f"The vocabulary cannot spell {text!r}.")
        tokens.append(token)
    return tokens


def including(phrases: Sequence[str], vocabulary: Vocabulary) -> TokenAutomaton:
    """The canvases whose spans hold at least one of some phrases: Aho and Corasick 1975 over tokens.

    Raises:
        ValueError: if there is no phrase, or the vocabulary cannot spell one.
    """
    sequences = [tuple(cut(phrase, vocabulary)) for phrase in phrases if phrase.strip()]
    if not sequences:
        raise ValueError("including needs phrases that are not empty.")
    prefixes = sorted({own[:n] for own in sequences for n in range(len(own))}, key=lambda own: (len(own), own))
    number = {own: k for k, own in enumerate(prefixes)}
    found, dead = len(prefixes), len(prefixes) + 1
    letters = sorted({token for own in sequences for token in own})
    delta = np.zeros((dead + 1, len(letters) + 2), dtype=np.int32)  # classes: dead, other, each letter
    delta[:, 0] = dead
    delta[found, 1:], delta[dead] = found, dead
    for own, k in number.items():
        for c, letter in enumerate(letters):
            word = (*own, letter)
            held = any(word[n:] in sequences for n in range(len(word)))
            rest = next(word[n:] for n in range(len(word) + 1) if word[n:] in number)
            delta[k, c + 2] = found if held else number[rest]
    classes = np.ones(len(vocabulary), dtype=np.int64)
    classes[list(vocabulary.special_ids)] = 0
    classes[letters] = np.arange(len(letters)) + 2
    accepting = np.arange(dead + 1) == found
    name = "contains " + " or ".join(map(quoted, phrases))
    return TokenAutomaton(name, delta, classes, vocabulary.pad_id, 0, dead, accepting)
