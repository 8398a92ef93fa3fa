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


def sources(target: Tensor, lost: int) -> Tensor:
    """(S,) -> (S, R): the states that go to each state, filled up with S."""
    own = [torch.nonzero(target == s).flatten().tolist() for s in range(lost)]
    most = max(1, *(len(x) for x in own))
    return torch.tensor([x + [lost] * (most - len(x)) for x in own], device=target.device)


def gathered(ways: Tensor, origins: Tensor) -> Tensor:
    """(B, K, S) moved along transitions of the token automaton, from `sources` (S, R)."""
    padded = torch.cat([ways, ways.new_full((*ways.shape[:-1], 1), NEVER)], -1)
    return padded[..., origins[:, 0]] if origins.shape[1] == 1 else padded[..., origins].logsumexp(-1)


def pulled(ways: Tensor, target: Tensor) -> Tensor:
    """(..., S) read back along transitions of the token automaton."""
    padded = torch.cat([ways, ways.new_full((*ways.shape[:-1], 1), NEVER)], -1)
    return padded[..., target.long()]
