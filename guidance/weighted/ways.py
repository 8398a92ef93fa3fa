"""Log weights of ways through a tag automaton and a token automaton, and how they move from state to state.

Shapes: B rows, L span positions, V vocabulary, K states of the chain, S of the token automaton.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

NEVER = -1e30  # log of nothing; finite, so that sums of nothing stay numbers
LEAST = 1e-300  # what a possible token weighs at least beside the likeliest, so that none is lost to rounding


@dataclass(frozen=True)
class Masses:
    """Log masses by class: of tokens that open (B, L, K), that go on (B, L, K); of pad (B, L)."""

    opening: dict[int, Tensor]
    inside: dict[int, Tensor]
    pad: Tensor | None

    @property
    def rows(self) -> int:
        """B."""
        return len(next(part for part in (*self.opening.values(), self.pad) if part is not None))


Add = Callable[[Tensor, int], Tensor]


def neighbours(arcs: Sequence[tuple[int, int]], size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """(K, R) the states before each state, and those after it, filled up with K."""
    before: list[list[int]] = [[] for _ in range(size)]
    after: list[list[int]] = [[] for _ in range(size)]
    for a, b in arcs:
        before[b].append(a)
        after[a].append(b)
    return tuple(  # type: ignore[return-value]
        torch.tensor([own + [size] * (max(1, *map(len, table)) - len(own)) for own in table], device=device)
        for table in (before, after)
    )


def distinct(weights: Tensor) -> tuple[Tensor, Tensor]:
    """The different columns of (V, n), and which of them each column is (n,)."""
    seen: dict[bytes, int] = {}
    which = [seen.setdefault(column.numpy().tobytes(), len(seen)) for column in weights.T.contiguous().cpu()]
    first = [which.index(k) for k in range(len(seen))]
    return weights[:, first].contiguous(), torch.tensor(which, device=weights.device)


def collected(ways: Tensor, beside: Tensor, add: Add) -> Tensor:
    """(B, K, S) -> (B, K, S): over the neighbours ``beside`` (K, R) each state."""
    padded = torch.cat([ways, ways.new_full((len(ways), 1, ways.shape[2]), NEVER)], 1)
    if beside.shape[1] == 1:
        return padded[:, beside[:, 0]]
    return add(padded[:, beside], 2)


def single_exp(values: Tensor) -> Tensor:
    """exp in place, 0 below e^-80: single precision is slow on what is smaller still."""
    return values.clamp_min_(-80.0).exp_().sub_(math.exp(-80.0)).clamp_min_(0.0)


def log_of(values: Tensor) -> Tensor:
    """log, at least `NEVER`."""
    return values.log().clamp_min(NEVER)


def total(values: Tensor, dim: int) -> Tensor:
    """log of the sum of all ways."""
    return values.logsumexp(dim)


def largest(values: Tensor, dim: int) -> Tensor:
    """log of the best way."""
    return values.amax(dim)


FEW = 2  # sources of a state up to which they are laid side by side


def sources(target: Tensor, lost: int) -> Moves:
    """Transitions (S,) or (C, S) of classes of tokens to states below ``lost``, ready for `gathered`."""
    flat = target.flatten().long()
    stay = torch.nonzero(flat < lost).flatten()
    into = flat[stay]
    count = torch.bincount(into, minlength=lost)
    most = max(1, int(count.max())) if len(into) else 1
    if most > FEW:
        return Moves(stay, into, None)
    order = into.argsort(stable=True)
    begin = count.cumsum(0) - count
    origins = torch.full((lost, most), len(flat), device=target.device)
    origins[into[order], torch.arange(len(order), device=target.device) - begin[into[order]]] = stay[order]
    return Moves(stay, into, origins)


@dataclass(frozen=True)
class Moves:
    """Transitions that lead somewhere.

    Attributes:
        stay: flat places (n,) in (C, S) that they lead from.
        into: states (n,) that they lead to.
        origins: the places (S, R) that lead to each state, filled up with C S; None where R would be large.
    """

    stay: Tensor
    into: Tensor
    origins: Tensor | None


def gathered(ways: Tensor, moves: Moves, states: int) -> Tensor:
    """(B, K, C S) -> (B, K, S): moved along transitions of the token automaton and summed by the state they lead to.

    Few sources lie side by side; many are added up where they lead, which costs one pass whatever their number.
    """
    if moves.origins is not None:
        padded = torch.cat([ways, ways.new_full((*ways.shape[:-1], 1), NEVER)], -1)
        return (
            padded[..., moves.origins[:, 0]]
            if moves.origins.shape[1] == 1
            else padded[..., moves.origins].logsumexp(-1)
        )
    own = ways[..., moves.stay]
    shape = (*ways.shape[:-1], states)
    top = ways.new_full(shape, NEVER).scatter_reduce_(-1, moves.into.expand_as(own), own, "amax")
    shares = (own - top[..., moves.into]).exp_()
    found = ways.new_zeros(shape).index_add_(-1, moves.into, shares)
    return found.log_().add_(top).clamp_min_(NEVER)


def pulled(ways: Tensor, target: Tensor) -> Tensor:
    """(..., S) read back along transitions of the token automaton."""
    padded = torch.cat([ways, ways.new_full((*ways.shape[:-1], 1), NEVER)], -1)
    return padded[..., target.long()]
