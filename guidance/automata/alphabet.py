"""Sets of characters and partitions of Unicode, the alphabet that all character automata here are written over.

An automaton does not read one of 1,114,112 code points but a *class* of characters that it treats alike. A partition is
two parallel arrays: `cuts`, the first code point of each interval, ascending and starting at 0, and `classes`, the
class of each interval. "Any other character" is therefore an ordinary class and needs no special symbol.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

NUM_CODE_POINTS = 0x110000

Ints: TypeAlias = NDArray[np.integer]
Bools: TypeAlias = NDArray[np.bool_]
CharSet: TypeAlias = tuple[tuple[int, int], ...]
"""Sorted, disjoint half-open ranges of code points: ((first, last + 1), ...)."""


@lru_cache(maxsize=1)
def _every_character() -> str:
    return np.arange(NUM_CODE_POINTS, dtype="<u4").tobytes().decode("utf-32-le", "surrogatepass")


@lru_cache(maxsize=1)
def _cased_characters() -> str:
    """Characters that letter case can touch at all (all cased scripts lie below U+20000)."""
    return "".join(c for c in map(chr, range(0x20000)) if c.lower() != c or c.upper() != c or c.title() != c)


@lru_cache(maxsize=4096)
def matching_characters(fragment: str, flags: int = 0) -> CharSet:
    """The characters that a one-character pattern matches. Python's own `re` is asked, so \\w, \\d, \\s, ranges,
    negation and letter case mean here exactly what they mean there.

    Args:
        fragment: a regular expression that consumes one character, such as ``[^\\d_]``.
        flags: flags of `re` (only IGNORECASE, ASCII and DOTALL change anything).
    """
    return tuple(match.span() for match in re.compile(f"(?:{fragment})+", flags).finditer(_every_character()))


@lru_cache(maxsize=65536)
def same_letter(character: str, flags: int = re.IGNORECASE) -> CharSet:
    """All characters that `re` takes for `character` under `flags`: "k" with IGNORECASE gives k, K and the Kelvin
    sign."""
    if not flags & re.IGNORECASE:
        return ((ord(character), ord(character) + 1),)
    found = re.compile(re.escape(character), flags).findall(_cased_characters() + character)
    return tuple((code, code + 1) for code in sorted({ord(c) for c in found}))


def partition(sets: Sequence[CharSet]) -> tuple[Ints, Ints, Bools]:
    """The coarsest partition of Unicode in which every given set is a union of classes.

    Returns:
        cuts (I,), classes (I,), and member (len(sets), C): whether class c lies inside set n.
    """
    cuts = np.unique(np.array([0] + [code for ranges in sets for bounds in ranges for code in bounds], dtype=np.int64))
    cuts = cuts[cuts < NUM_CODE_POINTS]
    inside = np.zeros((len(sets), len(cuts)), dtype=bool)
    for row, ranges in zip(inside, sets, strict=True):
        if ranges:
            bounds = np.searchsorted(cuts, np.array(ranges, dtype=np.int64))
            for first, last in bounds:
                row[first:last] = True
    member, classes = np.unique(inside, axis=1, return_inverse=True)
    return cuts, classes.reshape(-1).astype(np.int64), member


def common_partition(
    partitions: Sequence[tuple[Ints, Ints]],
) -> tuple[Ints, Ints, list[Ints]]:
    """The coarsest partition that refines all given ones.

    Returns:
        cuts (I,), classes (I,), and for each given partition the class (C,) in it of every new class.
    """
    cuts = np.unique(np.concatenate([own for own, _ in partitions]))
    seen = np.stack([classes[np.searchsorted(own, cuts, side="right") - 1] for own, classes in partitions])
    rows, merged = np.unique(seen, axis=1, return_inverse=True)
    return cuts, merged.reshape(-1).astype(np.int64), list(rows.astype(np.int64))


def classify(text: str, cuts: Ints, classes: Ints) -> Ints:
    """The class (len(text),) of every character of a text."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.int64)
    return classes[np.searchsorted(cuts, codes, side="right") - 1]
