"""Forward and backward sums over the arcs between pairs of states, where there are few: faster than class by class.

Shapes: B rows, L span positions, K states of the chain, S of the token automaton, E arcs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from diffusionlm.guidance.weighted.ways import LEAST, NEVER, Masses, log_of

MOST_ARCS = 20_000  # beyond them class by class is faster


@dataclass(frozen=True)
class Arcs:
    """Arcs between pairs (state of the chain, state of the token automaton), forward and backward.

    Attributes:
        source: (E,) the pair where a way comes from; backward ones are counted on behind the forward ones.
        target: (E,) where it goes.
        mass: (E,) the mass it takes, in the order of the classes: opening, then going on, K of each; pad's last.
        states: K.
        others: S.
        classes: of tokens.
        has_pad: whether pad can stand anywhere.
    """

    source: Tensor
    target: Tensor
    mass: Tensor
    states: int
    others: int
    classes: tuple[int, ...]
    has_pad: bool

    @classmethod
    def of(
        cls,
        opened: Sequence[tuple[int, int]],
        gone_on: Sequence[tuple[int, int]],
        states: int,
        steps: Tensor,
        classes: Sequence[int],
        pad_class: int | None,
    ) -> Arcs | None:
        """The arcs of two automata; None where there are more than `MOST_ARCS`.

        Args:
            opened: (from, to) of the chain's states where a word is opened.
            gone_on: where it is gone on with.
            states: K.
            steps: (S, C) of the token automaton, S where a way is lost.
            classes: of the tokens that may be written.
            pad_class: pad's, or None where it can stand nowhere.
        """
        others = len(steps)
        moves = [(s, int(steps[s, c]), n) for n, c in enumerate(classes) for s in range(others)]
        live = [(s, t, n) for s, t, n in moves if t < others]
        if (len(opened) + len(gone_on)) * len(live) > MOST_ARCS:
            return None
        arcs = []
        for kind, own in enumerate((opened, gone_on)):
            arcs += [(a * others + s, b * others + t, (2 * n + kind) * states + b) for a, b in own for s, t, n in live]
        if pad_class is not None:
            pad = 2 * len(classes) * states
            for s in range(others):
                t = int(steps[s, pad_class])
                if t < others:
                    arcs += [(k * others + s, k * others + t, pad) for k in range(states)]
        pairs = states * others
        count = 2 * len(classes) * states + (pad_class is not None)
        both = [*arcs, *((pairs + b, pairs + a, count + m) for a, b, m in arcs)]
        source, target, mass = torch.tensor(sorted(both, key=lambda arc: arc[1]), device=steps.device).unbind(1)
        parts = (source.contiguous(), target.contiguous(), mass.contiguous())
        return cls(*parts, states, others, tuple(classes), pad_class is not None)

    def both(self, masses: Masses, ending: Tensor, start: int) -> tuple[Tensor, Tensor, Tensor]:
        """Log weight of all ways to a pair before each position and of all ways on behind it (B, L, K, S), log Z (B,).

        Both in one recursion, the backward one running from the end, with probabilities that are brought to a largest of 1 at
        each position.

        Args:
            masses: (B, L, ...) of the tokens.
            ending: (K, S) log weight of ending in a pair.
            start: state of the token automaton.
        """
        pairs, rows = self.states * self.others, masses.rows
        each = [part for c in self.classes for part in (masses.opening[c], masses.inside[c])]
        each += [] if masses.pad is None else [masses.pad[..., None]]
        weights = torch.cat(each, -1)
        length = weights.shape[1]
        largest = weights.amax(-1, keepdim=True)
        weights = (weights - largest).exp_()
        weights = torch.cat([weights, weights.flip(1)], -1)  # forward at position t, backward at L - 1 - t
        largest = torch.cat([largest, largest.flip(1)], -1)
        ways = weights.new_zeros(rows, 2 * pairs)
        ways[:, start] = 1.0
        ways[:, pairs:] = ending.exp().view(-1)
        scale = weights.new_zeros(rows, 2)
        found, scales = [], []
        for t in range(length):
            found.append(ways)
            scales.append(scale)
            moved = torch.zeros_like(ways).index_add_(
                1, self.target, ways[:, self.source] * weights[:, t][:, self.mass]
            )
            top = moved.view(rows, 2, pairs).amax(-1).clamp_min_(LEAST)
            ways = moved / top.repeat_interleave(pairs, 1)
            scale = scale + largest[:, t] + top.log()
        shape = (rows, length, self.states, self.others)
        out = torch.stack(found, 1).view(rows, length, 2, pairs).log_() + torch.stack(scales, 1)[..., None]
        out = out.clamp_min_(NEVER)
        before, after = out[:, :, 0].reshape(shape), out[:, :, 1].flip(1).reshape(shape)
        return before, after, log_of(ways[:, pairs + start]) + scale[:, 1]

    def uses(self, before: Tensor, after: Tensor) -> tuple[dict[int, Tensor], Tensor | None]:
        """Log weight of all ways that use each mass, without the mass itself: (B, L, 2 K) by class, pad's (B, L).

        Args:
            before: (B, L, K, S) from `both`.
            after: likewise.
        """
        ahead = self.target < self.states * self.others
        source, target, mass = self.source[ahead], self.target[ahead], self.mass[ahead]
        before, after = before.flatten(2), after.flatten(2)
        tops = before.amax(-1, keepdim=True), after.amax(-1, keepdim=True)
        ways = (before - tops[0]).exp_()[..., source] * (after - tops[1]).exp_()[..., target]
        size = 2 * self.states
        count = len(self.classes) * size + self.has_pad
        sums = log_of(ways.new_zeros(*ways.shape[:2], count).index_add_(2, mass, ways)) + sum(tops)
        parts = {c: sums[..., n * size : (n + 1) * size] for n, c in enumerate(self.classes)}
        return parts, sums[..., -1] if self.has_pad else None
