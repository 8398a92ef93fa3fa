"""Where in a finished text something stands: characters of tokens and words, and the scores of a judge."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diffusionlm.text import TextTokenizer, Vocabulary


@dataclass(frozen=True)
class Highlight:
    """How toxic a finished text is, and which of its words are.

    Attributes:
        text: the text.
        score: probability that it is toxic.
        words: (first character, last character, score in [0, 1]) of every word, in order.
    """

    text: str
    score: float
    words: tuple[tuple[int, int, float], ...]

    def characters(self) -> list[float]:
        """A score for every character; 0 between words."""
        out = [0.0] * len(self.text)
        for first, last, score in self.words:
            out[first:last] = [score] * (last - first)
        return out

    def segments(self) -> list[tuple[str, float]]:
        """The text in pieces, words and what stands between them, each with its score: what a page needs to colour it."""
        found, cursor = [], 0
        for first, last, score in self.words:
            if first > cursor:
                found.append((self.text[cursor:first], 0.0))
            found.append((self.text[first:last], score))
            cursor = last
        return found + ([(self.text[cursor:], 0.0)] if cursor < len(self.text) else [])


def finished_text(text: str | Sequence[int], tokenizer: TextTokenizer) -> tuple[list[int], str, list[tuple[int, int]]]:
    """Token ids of a text without special tokens, the text, and first and last character of each token.

    Args:
        text: a text, or its token ids.
        tokenizer: of the model.
    """
    given = tokenizer.encode(text) if isinstance(text, str) else [int(i) for i in text]
    ids = [i for i in given if i not in tokenizer.vocabulary.special_ids]
    return ids, *token_places(ids, tokenizer.vocabulary)


def token_places(ids: Sequence[int], vocabulary: Vocabulary) -> tuple[str, list[tuple[int, int]]]:
    """The text of tokens, without its leading space, and first and last character of each."""
    data = b"".join(vocabulary.surfaces[i] for i in ids)
    lead = 1 if data.startswith(b" ") else 0
    bounds = [0]
    for i in ids:
        bounds.append(bounds[-1] + len(vocabulary.surfaces[i]))
    at = [max(0, len(data[:byte].decode("utf-8", errors="replace")) - lead) for byte in bounds]
    return data.decode("utf-8", errors="replace")[lead:], list(pairwise(at))


def word_places(text: str) -> list[tuple[int, int]]:
    """First and last character of each word, with the punctuation at it."""
    return [match.span() for match in re.finditer(r"\S+", text)]
