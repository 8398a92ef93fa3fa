"""Counts of tagged text: the tables of a tagger for the tokens of a vocabulary."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from diffusionlm.guidance.syntax.tables import CONTEXTS, TagTables
from diffusionlm.text import Vocabulary

_AT = {tag: k for k, tag in enumerate(CONTEXTS)}


def build_tables(
    vocabulary: Vocabulary, texts: Iterable[tuple[list[int], list[int], list[Tensor]]], card: dict[str, object]
) -> TagTables:
    """Counts of tagged texts.

    Args:
        vocabulary: of the tokens.
        texts: for each text its token ids, what each token does (see `token_openings`), and for each word the probabilities
            of its universal tags (T,).
        card: what to remember.
    """
    opening: dict[tuple[int, ...], float] = {}
    inside: dict[tuple[int, ...], float] = {}
    left: dict[tuple[int, ...], float] = {}
    right: dict[tuple[int, ...], float] = {}
    broken = torch.zeros(len(vocabulary), dtype=torch.float64)
    for ids, opened, tags in texts:
        best = [_AT["START"], *(int(p.argmax()) for p in tags), _AT["END"], _AT["END"]]
        kept = [[(k, p) for k, p in enumerate(own.tolist()) if p >= 0.02] for own in tags]
        word = -1
        key: tuple[int, ...]
        for token, start, following in zip(ids, opened, [*opened[1:], 0], strict=True):
            last = int(following != -1)
            if start <= -2:
                broken[token] += 1
                word = -2 - start
                continue
            word = start if start >= 0 else word
            if start >= 0:
                own = best[word + 1]
                far = best[word - 1] if word else _AT["START"]
                key = (token, far, best[word], own)
                left[key] = left.get(key, 0.0) + 1
                key = (token, own, best[word + 2], best[word + 3])
                right[key] = right.get(key, 0.0) + 1
            for tag, p in kept[word]:
                if start >= 0:
                    key = (token, best[word], tag, best[word + 2], last)
                    opening[key] = opening.get(key, 0.0) + p
                else:
                    key = (token, tag, last)
                    inside[key] = inside.get(key, 0.0) + p
    opening = {key: min(n, 60_000.0) for key, n in opening.items() if n >= 0.5}
    return TagTables(
        vocabulary.fingerprint,
        len(vocabulary),
        torch.tensor(list(opening), dtype=torch.long).view(-1, 5),
        torch.tensor(list(opening.values()), dtype=torch.float64),
        *_columns(left),
        *_columns(right),
        torch.tensor(list(inside), dtype=torch.long).view(-1, 3),
        torch.tensor([min(n, 60_000.0) for n in inside.values()], dtype=torch.float64),
        broken,
        card,
    )


def _columns(counts: dict[tuple[int, ...], float]) -> tuple[Tensor, Tensor]:
    kept = {key: min(n, 60_000.0) for key, n in counts.items() if n >= 2}
    rows = torch.tensor(list(kept), dtype=torch.long).view(-1, 4)
    return rows, torch.tensor(list(kept.values()), dtype=torch.float64)
