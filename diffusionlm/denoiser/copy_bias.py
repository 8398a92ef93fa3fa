"""`CopyBias`: what stands beside a token in examples is likelier beside it in a text.

A frozen network has learned which tokens follow each other, and a new name is none of them: memory makes each of its tokens
likely, and something has to say which stands beside which. It is a pointer (Gu et al. 2016, "CopyNet") made of pairs of tokens.

Shape letters: B rows, L span positions, K tokens of the examples, V vocabulary.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from diffusionlm.denoiser.contract import Places


@dataclass(frozen=True)
class CopyBias:
    """Pairs of tokens that stand together.

    Attributes:
        tokens: (K,) ids.
        table: (K, K) nats that the second token of a pair gains beside a certain first one, and the first before the second.
    """

    tokens: Tensor
    table: Tensor

    @property
    def fits(self) -> bool:
        """Whether tokens and table belong together and hold finite numbers."""
        count = self.tokens.numel()
        shaped = self.tokens.shape == (count,) and self.table.shape == (count, count)
        return shaped and not self.tokens.is_floating_point() and bool(torch.isfinite(self.table).all())

    @classmethod
    def of_examples(cls, rows: Sequence[Sequence[int]], share: float = 0.6, nats: float = 2.5) -> CopyBias | None:
        """The pairs that at least a share of some texts have; None where there is none.

        Args:
            rows: token ids of the texts.
            share: of the texts.
            nats: that such a pair gains.
        """
        counts = Counter(pair for row in rows for pair in {*pairwise(row)})
        pairs = [pair for pair, count in counts.items() if count >= max(2, share * len(rows))]
        if not pairs:
            return None
        tokens = sorted({token for pair in pairs for token in pair})
        at = {token: number for number, token in enumerate(tokens)}
        table = torch.zeros(len(tokens), len(tokens))
        for first, second in pairs:
            table[at[first], at[second]] = nats
        return cls(torch.tensor(tokens), table)

    def add(self, logits: Tensor, probs: Tensor, places: Places, rows: Tensor) -> Tensor:
        """Logits (B, L, V) with the bias.

        Args:
            logits: (B, L, V).
            probs: (B, L, V) of the step before: how certain each neighbour is.
            places: of the spans; only positions next to each other in the text are neighbours.
            rows: (B,) bool, those that it is for.
        """
        tokens, table = self.tokens.to(logits.device), self.table.to(logits.device, logits.dtype)
        at, used = places.positions, places.span_mask & rows[:, None]
        follows = ((at[:, 1:] - at[:, :-1] == 1) & used[:, 1:] & used[:, :-1])[..., None].to(logits.dtype)
        own = probs.index_select(-1, tokens).to(logits.dtype)
        none = own.new_zeros(own.shape[0], 1, own.shape[2])
        behind = torch.cat((none, (own[:, :-1] * follows) @ table), dim=1)
        before = torch.cat(((own[:, 1:] * follows) @ table.T, none), dim=1)
        return logits.index_add(-1, tokens, behind + before)
