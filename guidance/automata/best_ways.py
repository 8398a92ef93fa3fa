"""The best ways through an automaton (Viterbi, 1967), a row at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from diffusionlm.guidance.automata.scaled import RowGraph


def best_behind(graph: RowGraph, labels: NDArray[np.floating]) -> tuple[NDArray[np.floating], float]:
    """Best log weights of what is accepted, in the precision of the labels.

    Args:
        graph: with T states.
        labels: best log-probability of each label (L, U + 1); the last one is -inf.

    Returns:
        The best that can follow each state behind each position (L, T), and the best of all.
    """
    groups = graph.backwards
    place = np.where(groups.labels < 0, labels.shape[1] - 1, groups.labels)
    after = np.empty((len(labels), graph.num_states), dtype=labels.dtype)
    nothing = np.array([-np.inf], dtype=labels.dtype)
    weight = np.where(graph.accepting, 0.0, -np.inf).astype(labels.dtype)
    for i in reversed(range(len(labels))):
        if i in graph.bridges:  # -1 is the last one
            weight = np.concatenate([weight, nothing])[graph.bridges[i]]
        after[i] = weight
        moved = weight.take(groups.items)
        moved += labels[i].take(place)
        weight = np.maximum.reduceat(moved, groups.begins)
    return after, float(weight[graph.start])
