"""Exceptions to an `Absence`: texts that may be named although they are of the kind that must not occur."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from diffusionlm.guidance.automata.algebra import Budget, determinise
from diffusionlm.guidance.automata.alphabet import (
    classify,
    common_partition,
    matching_characters,
    partition,
    same_letter,
)
from diffusionlm.guidance.automata.occurrences import Absence, minimal_absence

OPAQUE = "\ufffc"  # what a text that may be named counts as: no letter, no digit, no sign

Item = tuple[int, int, int]
"""State of the absence; node of the allowed texts, 0 outside them; and whether the text has been read to its end."""


def allowing(absence: Absence, texts: Sequence[str], max_states: int = 50_000, max_seconds: float = 60.0) -> Absence:
    """Texts that obey once occurrences of `texts`, as whole words and in any case, are put aside.

    Args:
        absence: what must not occur.
        texts: what may be named.
    """
    if not texts:
        return absence
    letters = {letter: same_letter(letter, re.IGNORECASE) for letter in sorted(set("".join(texts)))}
    own_cuts, own_classes, member = partition([*letters.values(), matching_characters(r"\w")])
    cuts, classes, columns = common_partition([(absence.cuts, absence.classes), (own_cuts, own_classes)])
    delta = absence.delta[:, :, columns[0]]
    member = member[:, columns[1]]
    word = member[-1].tolist()
    symbols = {letter: np.nonzero(row)[0].tolist() for letter, row in zip(letters, member[:-1], strict=True)}
    nodes: list[dict[int, int]] = [{}]
    ends = [False]
    for text in texts:
        _insert(nodes, ends, text, symbols)
    hidden = absence.delta[:, 0, classify(OPAQUE, absence.cuts, absence.classes)[0]].tolist()
    width = delta.shape[2]
    table = delta.tolist()
    lost = set(absence.lost.tolist())

    def moves(item: Item, inside: bool) -> list[tuple[Item, ...]]:
        """What an item becomes, for each mark and class."""
        s, node, done = item
        out = []
        for mark in (0, 1):
            for c, target in enumerate(table[s][mark]):
                found: tuple[Item, ...] = ()
                if (node == 0 and not done) or (done and not word[c]):  # behind an allowed text comes no word character
                    found = ((target, 0, 0),)
                if not done and (node or not inside) and (follow := nodes[node].get(c)) is not None:
                    found += ((s, follow, 0),)
                    if ends[follow]:
                        found += ((hidden[s], 0, 1),)
                out.append(tuple(one for one in found if one[0] not in lost))
        return out

    cached: dict[tuple[Item, bool], list[tuple[Item, ...]]] = {}
    sets: dict[tuple[bool, tuple[Item, ...]], tuple[bool, frozenset[Item]]] = {}

    def step(state: tuple[bool, frozenset[Item]]) -> list[tuple[bool, frozenset[Item]]]:
        inside, items = state
        rows = []
        for item in items:
            if (item, inside) not in cached:
                cached[item, inside] = moves(item, inside)
            rows.append(cached[item, inside])
        out = []
        for column in range(2 * width):
            merged = sum((row[column] for row in rows), ())
            key = (word[column % width], merged)
            if key not in sets:
                sets[key] = (key[0], frozenset(merged))
            out.append(sets[key])
        return out

    def accepts(state: tuple[bool, frozenset[Item]]) -> bool:
        return any(node == 0 and absence.accepting[s] for s, node, _ in state[1])

    made, accepting = determinise(
        (False, frozenset([(0, 0, 0)])), step, accepts, Budget(absence.name, max_states, max_seconds)
    )
    return minimal_absence(absence.name, cuts, classes, made.reshape(len(made), 2, -1), accepting)


def _insert(nodes: list[dict[int, int]], ends: list[bool], text: str, symbols: dict[str, list[int]]) -> None:
    """Adds a text to the tree; every class of a letter leads to the same node."""
    node = 0
    for letter in text:
        target = nodes[node].get(symbols[letter][0])
        if target is None:
            target = len(nodes)
            nodes.append({})
            ends.append(False)
            for symbol in symbols[letter]:
                nodes[node][symbol] = target
        node = target
    ends[node] = True
