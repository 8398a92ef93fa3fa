"""Two automata side by side: the states in which both can be at once, and what all of these have in common."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from diffusionlm.guidance.automata.alphabet import Bools, Ints


def met_together(maps: Sequence[NDArray[np.integer]], starts: Sequence[int], lost: Sequence[int]) -> Bools:
    """States (S_1, S_2) that two automata reach together, as one table: both are small.

    Args:
        maps: for each the targets (S, K) of what can be read.
        starts: first states.
        lost: for each the state from which nothing is accepted; pairs with one of them are not followed.
    """
    one, two = (own.astype(np.int64) for own in maps)
    size = len(one) * len(two)
    table = one[:, None] * len(two) + two[None]
    table[(one == lost[0])[:, None] | (two == lost[1])[None]] = size
    table = table.reshape(size, -1)
    reached = np.zeros(size + 1, dtype=bool)
    frontier = np.array([starts[0] * len(two) + starts[1]])
    while len(frontier):
        reached[frontier] = True
        fresh = np.zeros(size + 1, dtype=bool)
        fresh[table[frontier]] = True
        fresh &= ~reached
        frontier = np.nonzero(fresh[:-1])[0]
    return reached[:-1].reshape(len(one), len(two))


def least_of(met: Bools, below: Bools) -> Ints:
    """The state (S_1,) of the second automaton that all that are met with a state of the first have in common: the first that
    is below all of them, -1 where there is none.

    Args:
        met: (S_1, S_2).
        below: (S_2, S_2) whether all that is accepted from one state is accepted from the other.
    """
    covered = met.astype(np.int64) @ below.T.astype(np.int64)
    least = met & (covered == met.sum(axis=1, keepdims=True))
    return np.where(least.any(axis=1), least.argmax(axis=1), -1)
