"""Forward and backward in scaled double precision: sums of products, with a factor for each position in place of logarithms.

A log-sum-exp over the edges of an automaton costs about a dozen passes and two transcendental functions a number; a sum of
products costs three passes and none. What can be lost is what lies 1e-308 below the largest weight of a position, so a sweep
whose ways that are accepted come near that is given up (`Sweep` is None), and the caller works in logarithms. Otherwise nothing
above e-300 of the whole is lost. Everything here is NumPy: with a thousand numbers a call, the calls are what costs.

Shapes: R rows (samples), L positions, T states and U labels of a row, E edges of all rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffusionlm.guidance.automata.alphabet import Bools, Ints

Floats = NDArray[np.float64]
WIDEST = 400.0  # nats between the ways that are accepted and all ways; the range of double precision is 708
LEAST = -600.0  # nats; what stands for a log ratio that is smaller than the range can hold
SAFE = 1e-150  # the product of two such numbers is well within the range
SCALE_EVERY = 4  # positions
AT_ONCE = 400_000  # edges times positions, up to which their weights are collected for all positions at once
CHUNK = 60_000  # numbers that are worked on at once, so that they stay in the cache


@dataclass(frozen=True)
class Groups:
    """Edges collected by the state (or label) that they add to; an empty group has one edge of the label that weighs nothing.

    Attributes:
        items: (E,) what an edge takes.
        labels: (E,) its label, -1 for an edge that weighs nothing.
        begins: (G,) the first edge of each group.
    """

    items: Ints
    labels: Ints
    begins: Ints

    @classmethod
    def of(cls, items: Ints, labels: Ints, groups: Ints, count: int) -> Groups:
        """From edges in any order."""
        sizes = np.bincount(groups, minlength=count)
        empty = np.nonzero(sizes == 0)[0]
        order = np.argsort(np.concatenate([groups, empty]), kind="stable")
        items = np.concatenate([items, np.zeros(len(empty), dtype=np.int64)])[order]
        labels = np.concatenate([labels, np.full(len(empty), -1)])[order]
        sizes = np.maximum(sizes, 1)
        return cls(items, labels, np.cumsum(sizes) - sizes)


@dataclass(frozen=True)
class RowGraph:
    """The automaton of one row.

    Attributes:
        source, target, label: (E,) edges; at most one between two states.
        num_states: T.
        start: the first state.
        accepting: (T,).
        bridges: behind a position, the map (T,) under the known text there, -1 where nothing follows.
    """

    source: Ints
    target: Ints
    label: Ints
    num_states: int
    start: int
    accepting: Bools
    bridges: Mapping[int, Ints]

    @cached_property
    def forwards(self) -> Groups:
        """By target."""
        return Groups.of(self.source, self.label, self.target, self.num_states)

    @cached_property
    def backwards(self) -> Groups:
        """By source."""
        return Groups.of(self.target, self.label, self.source, self.num_states)

    @cached_property
    def by_label(self) -> tuple[Ints, Ints, Ints, Ints]:
        """Sources and targets (E,) by label, the first edge of each label that occurs, and these labels."""
        order = np.argsort(self.label, kind="stable")
        used, begins = np.unique(self.label[order], return_index=True)
        return self.source[order], self.target[order], begins, used


class Sweep(NamedTuple):
    """What a sweep found.

    Attributes:
        sums: (L, R, U) sum over the edges of each label of the weights before and behind it, without its own.
        shift: (L, R) log of the factor of these, less log Z.
        log_z: (R,) log of the weight of all ways that are accepted.
        states: weights before and behind each position.
    """

    sums: Floats
    shift: Floats
    log_z: Floats
    states: tuple[Floats, Floats]

    def lossless(self, weights: Floats) -> bool:
        """Whether no product of the sweep over these weights of labels can have been too small for the range."""
        return all(np.min(own, where=own > 0, initial=1.0) > SAFE for own in (*self.states, weights))


class ScaledSweep:
    """Forward and backward over the automata of several rows at once.

    Args:
        rows: an automaton each, all of one size.
        num_labels: U.
    """

    def __init__(self, rows: Sequence[RowGraph], num_labels: int) -> None:
        self.count, self.states, self.num_labels = len(rows), rows[0].num_states, num_labels
        self.size = self.count * self.states
        width = num_labels + 1  # the last label weighs nothing
        self._forward = _side_by_side([row.forwards for row in rows], self.states, width, 0)
        self._backward = _side_by_side([row.backwards for row in rows], self.states, width, self.size)
        self._items = np.concatenate([self._forward.items, self._backward.items])
        self._begins = np.concatenate([self._forward.begins, self._backward.begins + len(self._forward.items)])
        self._start = np.array([row.start + n * self.states for n, row in enumerate(rows)])
        self._ending = np.concatenate([row.accepting for row in rows]).astype(np.float64)
        self._bridges = {i: _joined([row.bridges[i] for row in rows], self.states) for i in rows[0].bridges}
        found = [row.by_label for row in rows]
        shifts = [n * self.states for n in range(self.count)]
        self._sources = np.concatenate([own[0] + shift for own, shift in zip(found, shifts, strict=True)])
        self._targets = np.concatenate([own[1] + shift for own, shift in zip(found, shifts, strict=True)])
        edges = np.cumsum([0, *(len(own[0]) for own in found)])
        self._label_begins = np.concatenate([own[2] + edge for own, edge in zip(found, edges, strict=False)])
        self._used = np.concatenate([own[3] + n * num_labels for n, own in enumerate(found)])

    def run(self, weights: Floats) -> Sweep | None:
        """Weights of labels (L, R, U), at most 1 -> what is before and behind each label; None where the accepted ways come
        near the end of the range, or where there is none."""
        before, after, scales, ends = self._sweep(self._padded(weights))
        with np.errstate(divide="ignore"):
            logs = np.cumsum(np.log(scales), axis=0)  # (L, 2, R): forwards at k, backwards at L - 1 - k
            log_z = np.log(ends) + logs[-1, 1]
        shift = logs[:, 0] + logs[::-1, 1] - log_z
        if not np.isfinite(log_z).all() or shift.max() > WIDEST:
            return None
        return Sweep(self._label_sums(before, after).reshape(weights.shape), shift, log_z, (before, after))

    def possible(self, weights: Floats) -> Bools:
        """(L, R, U) whether an edge of each label lies on an accepted way through labels of positive weight (L, R, U), whatever
        its own weight."""
        before, after, _, _ = self._sweep(self._padded((weights > 0).astype(np.float64)), booleans=True)
        return self._label_sums(before, after).reshape(weights.shape) > 0

    def _padded(self, weights: Floats) -> Floats:
        """(L, R, U) -> (L, R (U + 1)), with the label that weighs nothing."""
        out = np.zeros((len(weights), self.count, self.num_labels + 1))
        out[..., :-1] = weights
        return out.reshape(len(weights), -1)

    def _sweep(self, padded: Floats, booleans: bool = False) -> tuple[Floats, Floats, Floats, Floats]:
        """Before and after (L, R T), the factors that were taken out (L, 2, R), and what is accepted from the start (R,)."""
        length, size = len(padded), self.size
        states = np.zeros((length + 1, 2 * size))  # forwards before position k, backwards behind position L - 1 - k
        states[0, self._start], states[0, size:] = 1.0, self._ending
        scales = np.ones((length, 2, self.count))
        moved, own = np.empty((2, len(self._items)))
        middle = len(self._forward.items)
        together = None
        if length * len(own) <= AT_ONCE:
            together = np.concatenate(
                [padded.take(self._forward.labels, axis=1), padded[::-1].take(self._backward.labels, axis=1)], axis=1
            )
        for k in range(length):
            i, weight = length - 1 - k, states[k]
            if i in self._bridges:
                weight[size:] = np.append(weight[size:], 0.0)[self._bridges[i]]
            if k - 1 in self._bridges:
                weight[:size] = np.bincount(self._bridges[k - 1], weight[:size], size + 1)[:size]
            if booleans:
                np.greater(weight, 0.0, out=weight, casting="unsafe")
            elif k % SCALE_EVERY == 0:
                grid = weight.reshape(2 * self.count, self.states)
                top = np.maximum.reduce(grid, axis=1)
                top[top == 0] = 1.0
                grid /= top[:, None]
                scales[k] = top.reshape(2, -1)
            np.take(weight, self._items, out=moved, mode="clip")
            if together is not None:
                own = together[k]
            else:
                np.take(padded[k], self._forward.labels, out=own[:middle], mode="clip")
                np.take(padded[i], self._backward.labels, out=own[middle:], mode="clip")
            np.multiply(moved, own, out=moved)
            np.add.reduceat(moved, self._begins, out=states[k + 1])
        return states[:-1, :size], states[-2::-1, size:], scales, states[-1, size:][self._start]

    def _label_sums(self, before: Floats, after: Floats) -> Floats:
        """Before and after (L, R T) -> (L, R U)."""
        out = np.zeros((len(before), self.count * self.num_labels))
        step = max(1, CHUNK // max(1, len(self._sources)))
        for begin in range(0, len(before), step):
            chunk = slice(begin, begin + step)
            joined = before[chunk].take(self._sources, axis=1)
            joined *= after[chunk].take(self._targets, axis=1)
            out[chunk, self._used] = np.add.reduceat(joined, self._label_begins, axis=1)
        return out


def incidence(members: Sequence[Ints], num_classes: int) -> Tensor:
    """The classes of each label as a matrix (C, U)."""
    out = np.zeros((num_classes, len(members)))
    out[np.concatenate(members), np.repeat(np.arange(len(members)), [len(own) for own in members])] = 1.0
    return torch.from_numpy(out)


def class_ratios(
    sweep: ScaledSweep, members: Tensor, classes: Tensor, reachable: Tensor | None = None
) -> tuple[Tensor, Tensor] | None:
    """What the condition says of classes of tokens, by a sweep over their labels.

    Args:
        sweep: of R rows.
        members: (C, U), see `incidence`.
        classes: (C, R L) log masses.
        reachable: (C, L) bool. Where something reachable came out as nothing it is looked at again: what is possible after all
            gets `LEAST`, so that -inf always means impossible. Without it what is too small may be -inf.

    Returns:
        The log ratios (C, R L) and log Z (R,), double precision; None where the sweep gave up.
    """
    rows, labels = sweep.count, members.shape[1]
    mass = classes.double()
    top = mass.amax(0)
    top = torch.where(torch.isfinite(top), top, 0.0)
    mass = (mass - top).exp_()
    weights = (mass.T @ members).view(rows, -1, labels).transpose(0, 1).contiguous()  # (L, R, U)
    found = sweep.run(weights.numpy())
    if found is None:
        return None
    ratios = torch.from_numpy(found.sums).view(-1, labels) @ members.T
    factor = torch.from_numpy(found.shift) - top.view(rows, -1).T
    ratios = ratios.log_().view(*factor.shape, -1).add_(factor[..., None])  # (L, R, C)
    if reachable is not None:
        some = ~torch.isneginf(classes)
        lost = torch.isneginf(ratios) & reachable.T[:, None] & some.T.view(rows, -1, len(some)).transpose(0, 1)
        if bool(lost.any()) and (bool((some & (mass == 0)).any()) or not found.lossless(weights.numpy())):
            present = (some.double().T @ members).view(rows, -1, labels).transpose(0, 1)
            possible = torch.from_numpy(sweep.possible(present.numpy())).view(-1, labels).double() @ members.T
            ratios.masked_fill_(lost & (possible.view(ratios.shape) > 0), LEAST)
    log_z = torch.from_numpy(found.log_z) + top.view(rows, -1).sum(1)
    return ratios.permute(2, 1, 0).reshape(len(classes), -1), log_z


def _side_by_side(groups: Sequence[Groups], states: int, width: int, shift: int) -> Groups:
    """The groups of all rows: items are states (from `shift` on), labels are places among those of all rows."""
    items = [own.items + n * states + shift for n, own in enumerate(groups)]
    labels = [np.where(own.labels < 0, width - 1, own.labels) + n * width for n, own in enumerate(groups)]
    edges = np.cumsum([0, *(len(own.items) for own in groups)])
    begins = [own.begins + edge for own, edge in zip(groups, edges, strict=False)]
    return Groups(np.concatenate(items), np.concatenate(labels), np.concatenate(begins))


def _joined(maps: Sequence[Ints], states: int) -> Ints:
    """Maps of all rows as one; nothing is the state behind the last one."""
    nothing = len(maps) * states
    return np.concatenate([np.where(own >= 0, own + n * states, nothing) for n, own in enumerate(maps)])
