"""Forward and backward sums class by class of tokens, where arcs between pairs of states would be too many.

Shapes: B rows, L span positions, K states of the chain, S of the token automaton, C classes of tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from diffusionlm.guidance.weighted.ways import LEAST, NEVER, Masses, Moves, log_of

MOST_CELLS = 8_000_000  # (positions, C, K, S) that are held at once


@dataclass(frozen=True)
class Neighbours:
    """(K, R) states before and behind each state, filled up with K: where a word is opened, and where it is gone on with."""

    before: Tensor
    after: Tensor
    inside_before: Tensor
    inside_after: Tensor


@dataclass(frozen=True)
class ByClass:
    """Both recursions with probabilities that are brought to a largest of 1 at each position; no logarithm inside.

    Attributes:
        beside: neighbours in the chain.
        target: (S, C + 1) state after a token of each class, pad's last; S where a way is lost.
        into: the same as moves from (C + 1, S) to S.
        classes: of tokens that may be written.
        has_pad: whether a pad leads anywhere.
        bridges: state (S,) behind the known text after a position.
        known: weights (K,), (K,) of opening and of going on with each known token before each position, L + 1 lists.
    """

    beside: Neighbours
    target: Tensor
    into: Moves
    classes: tuple[int, ...]
    has_pad: bool
    bridges: Mapping[int, Tensor]
    known: Sequence[Sequence[tuple[Tensor, Tensor]]]

    def both(self, masses: Masses, ending: Tensor, start: int) -> tuple[Tensor, Tensor, Tensor]:
        """Log weight of all ways to a pair before each position and of all ways on behind it (B, L, K, S), log Z (B,).

        Args:
            masses: (B, L, ...) of the tokens.
            ending: (K, S) log weight of ending in a pair.
            start: state of the token automaton.
        """
        opening, inside, pad, tops = self._plain(masses)
        before = self._forward(opening, inside, pad, tops, ending.shape, start)
        after, log_z = self._backward(opening, inside, pad, tops, ending, start)
        return before, after, log_z

    def uses(self, before: Tensor, after: Tensor) -> tuple[dict[int, Tensor], Tensor | None]:
        """Log weight of all ways that use each mass, without the mass itself: (B, L, 2 K) by class, pad's (B, L).

        Args:
            before: (B, L, K, S) from `both`.
            after: likewise.
        """
        batch, length, states, others = before.shape
        tops = before.flatten(2).amax(-1), after.flatten(2).amax(-1)
        scale = (tops[0] + tops[1])[..., None]
        before = (before - tops[0][..., None, None]).exp_().flatten(0, 1)
        after = _with_lost((after - tops[1][..., None, None]).exp_().flatten(0, 1))
        parts: dict[int, list[Tensor]] = {c: [] for c in self.classes}
        pads = []
        for at in torch.arange(batch * length, device=before.device).split(max(1, MOST_CELLS // (states * others))):
            own, behind = before[at], after[at]
            entered = _collected(own, self.beside.before)
            gone_on = _collected(own, self.beside.inside_before)
            for n, c in enumerate(self.classes):
                ahead = behind[..., self.target[:, n]]
                parts[c].append(torch.cat([(entered * ahead).sum(-1), (gone_on * ahead).sum(-1)], -1))
            if self.has_pad:
                pads.append((own * behind[..., self.target[:, -1]]).sum((-1, -2)))
        shape = (batch, length, 2 * states)
        found = {c: log_of(torch.cat(own).view(shape)) + scale for c, own in parts.items()}
        return found, log_of(torch.cat(pads).view(batch, length)) + scale[..., 0] if self.has_pad else None

    def _plain(self, masses: Masses) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
        """Masses as probabilities with a largest of 1 at each position (B, L, K, C) twice, pad's (B, L), their logs."""
        opening = torch.stack([masses.opening[c] for c in self.classes], -1)
        inside = torch.stack([masses.inside[c] for c in self.classes], -1)
        tops = torch.maximum(opening.amax((-1, -2)), inside.amax((-1, -2)))
        if masses.pad is not None:
            tops = torch.maximum(tops, masses.pad)
        pad = None if masses.pad is None else (masses.pad - tops).exp()
        scale = tops[..., None, None]
        return (opening - scale).exp_(), (inside - scale).exp_(), pad, tops

    def _forward(
        self, opening: Tensor, inside: Tensor, pad: Tensor | None, tops: Tensor, shape: Sequence[int], start: int
    ) -> Tensor:
        rows, length = tops.shape
        states, others = shape
        ways = opening.new_zeros(rows, states, others)
        ways[:, 0, start] = 1.0
        scale = tops.new_zeros(rows)
        out = []
        for i in range(length):
            for opens, goes_on in self.known[i]:
                ways = _collected(ways, self.beside.before) * opens[:, None] + (
                    _collected(ways, self.beside.inside_before) * goes_on[:, None]
                )
                ways, scale = _scaled(ways, scale)
            out.append(log_of(ways).add_(scale[:, None, None]).clamp_min_(NEVER))
            if i + 1 == length:
                break
            entered, gone_on = (_collected(ways, own) for own in (self.beside.before, self.beside.inside_before))
            moved = entered[:, :, None] * opening[:, i, ..., None] + gone_on[:, :, None] * inside[:, i, ..., None]
            moved = moved.flatten(2)  # (B, K, C S)
            if pad is not None:
                moved = torch.cat([moved, ways * pad[:, i, None, None]], -1)
            ways = _moved(moved, self.into, others)
            if i in self.bridges:
                to = self.bridges[i].long()
                ways = ways.new_zeros(rows, states, others + 1).index_add_(-1, to, ways)[..., :-1]
            ways, scale = _scaled(ways, scale + tops[:, i])
        return torch.stack(out, 1)

    def _backward(
        self, opening: Tensor, inside: Tensor, pad: Tensor | None, tops: Tensor, ending: Tensor, start: int
    ) -> tuple[Tensor, Tensor]:
        rows, length = tops.shape
        ways = ending.exp().expand(rows, -1, -1)
        scale = tops.new_zeros(rows)
        out = []
        for i in reversed(range(length + 1)):
            if i < length:
                if i in self.bridges:
                    ways = _with_lost(ways)[..., self.bridges[i].long()]
                out.append(log_of(ways).add_(scale[:, None, None]).clamp_min_(NEVER))
                ahead = _with_lost(ways)
                opened, gone_on = torch.zeros_like(ways), torch.zeros_like(ways)
                for n in range(len(self.classes)):
                    behind = ahead[..., self.target[:, n]]
                    opened.addcmul_(behind, opening[:, i, :, n, None])
                    gone_on.addcmul_(behind, inside[:, i, :, n, None])
                after = _collected(opened, self.beside.after) + _collected(gone_on, self.beside.inside_after)
                if pad is not None:
                    after.addcmul_(ahead[..., self.target[:, -1]], pad[:, i, None, None])
                ways, scale = _scaled(after, scale + tops[:, i])
            for opens, goes_on in reversed(self.known[i]):
                ways = _collected(ways * opens[:, None], self.beside.after) + (
                    _collected(ways * goes_on[:, None], self.beside.inside_after)
                )
                ways, scale = _scaled(ways, scale)
        return torch.stack(out[::-1], 1), log_of(ways[:, 0, start]) + scale


def _collected(ways: Tensor, beside: Tensor) -> Tensor:
    """(B, K, S) -> (B, K, S): the sum over the neighbours ``beside`` (K, R) of each state."""
    padded = torch.cat([ways, ways.new_zeros(len(ways), 1, ways.shape[2])], 1)
    out = padded[:, beside[:, 0]]
    for k in range(1, beside.shape[1]):
        out += padded[:, beside[:, k]]
    return out


def _with_lost(ways: Tensor) -> Tensor:
    """(..., S) -> (..., S + 1), with nothing on from the lost state."""
    return torch.cat([ways, ways.new_zeros(*ways.shape[:-1], 1)], -1)


def _moved(ways: Tensor, into: Moves, others: int) -> Tensor:
    """(B, K, C S) -> (B, K, S)."""
    if into.origins is None:
        return ways.new_zeros(*ways.shape[:-1], others).index_add_(-1, into.into, ways[..., into.stay])
    padded = _with_lost(ways)
    return sum((padded[..., column] for column in into.origins.T[1:]), padded[..., into.origins[:, 0]])


def _scaled(ways: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Ways with a largest of 1 in each row, and the log scale (B,) that goes with them."""
    top = ways.flatten(1).amax(-1).clamp_min_(LEAST)
    return ways / top[:, None, None], scale + top.log()
