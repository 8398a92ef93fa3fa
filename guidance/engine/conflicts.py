"""Plugins that pull against each other: measured, reported, and settled by priority.

The directions of two plugins are compared by their cosine under the inner product <a, b> = sum_i sum_v p_iv a_iv b_iv (the
Fisher metric of the posterior). Where it is negative, the plugin of lower priority gives up the part of its direction that
points against the other (Yu et al., "Gradient surgery for multi-task learning", 2020, with an order).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

import torch
from torch import Tensor


@dataclass
class Conflicts:
    """Cosines of one step.

    Attributes:
        cosines: for two plugins by name, (B,) cosine of their directions; -1 is plain opposition.
    """

    cosines: dict[tuple[str, str], Tensor] = field(default_factory=dict)

    @classmethod
    def between(cls, directions: list[Tensor], p: Tensor, names: list[str]) -> Conflicts:
        """Compares centred directions (B, L, V) two by two."""
        lengths = [_inner(d, d, p).sqrt() for d in directions] if len(directions) > 1 else []
        cosines = {}
        for a, b in combinations(range(len(directions)), 2):
            scale = (lengths[a] * lengths[b]).clamp_min(1e-20)
            cosines[names[a], names[b]] = (_inner(directions[a], directions[b], p) / scale).clamp(-1, 1)
        return cls(cosines)

    def give_way(self, directions: list[Tensor], p: Tensor, priorities: list[int]) -> list[Tensor]:
        """Takes from each direction what points against one of higher priority."""
        settled = list(directions)
        for low in sorted(range(len(directions)), key=lambda k: -priorities[k]):
            for high in range(len(directions)):
                if priorities[high] > priorities[low]:
                    along = _inner(settled[low], settled[high], p)
                    share = (along / _inner(settled[high], settled[high], p).clamp_min(1e-20)).clamp(max=0.0)
                    settled[low] = settled[low] - share[:, None, None] * settled[high]
        return settled


def distinct(titles: Sequence[str]) -> list[str]:
    """Names that are all different: the second plugin of one title is "title#2"."""
    return [
        title if not (same := list(titles[:k]).count(title)) else f"{title}#{same + 1}"
        for k, title in enumerate(titles)
    ]


def _inner(a: Tensor, b: Tensor, p: Tensor) -> Tensor:
    return torch.einsum("blv,blv,blv->b", p, a, b)
