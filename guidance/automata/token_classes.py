"""Between tokens and classes of tokens: sums into classes, and what is known of classes back to tokens.

The vocabulary is the only large dimension (126,000 tokens at 256 positions are 129 MB), and a rule tells few tokens apart.
So log-probabilities are read once, some rows at a time that stay in the processor's cache, and nothing of their size is
made but the result. Classes of many tokens are reduced where they lie; the tokens of all small classes are collected first.

Shapes: R rows (batch times positions), V tokens, C classes.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from diffusionlm.guidance.automata.alphabet import Ints
from diffusionlm.guidance.automata.circuit import Gather

CACHED = 300_000  # numbers of a piece of rows
LARGE = 512  # tokens from which on a class is reduced by itself
MOST_LARGE = 24
DOMINANT = 0.7  # of all tokens: a class that is worked on in place, and the other tokens aside


class TokenClasses:
    """Tokens in classes.

    Args:
        token_class: (V,) class of each token, -1 for tokens that are never accepted.
        num_classes: C.
    """

    def __init__(self, token_class: Ints, num_classes: int) -> None:
        self.num_tokens, self.num_classes = len(token_class), num_classes
        sizes = np.bincount(token_class[token_class >= 0], minlength=num_classes)
        by_size = np.argsort(-sizes, kind="stable")
        large = [int(c) for c in by_size[:MOST_LARGE] if sizes[c] >= LARGE]
        self.dominant = large[0] if large and sizes[large[0]] >= DOMINANT * len(token_class) else None
        aside = (
            np.nonzero(token_class != self.dominant)[0] if self.dominant is not None else np.arange(len(token_class))
        )
        self.aside = torch.from_numpy(aside)
        self.large = {c: torch.from_numpy(np.nonzero(token_class == c)[0]) for c in large if c != self.dominant}
        small = np.nonzero((token_class >= 0) & ~np.isin(token_class, large))[0]
        self.small = torch.from_numpy(small)
        self.sums = Gather(np.arange(len(small)), token_class[small], num_classes)
        padded = np.where(token_class >= 0, token_class, num_classes)
        self.token_class = torch.from_numpy(padded)
        self.class_aside = self.token_class[self.aside]

    def to(self, device: torch.device) -> TokenClasses:
        """Move the tables to a device, in place."""
        for name in ("aside", "small", "token_class", "class_aside"):
            setattr(self, name, getattr(self, name).to(device))
        self.large = {c: tokens.to(device) for c, tokens in self.large.items()}
        self.sums.to(device)
        return self

    def masses(self, rows: Tensor, maximum: bool = False) -> Tensor:
        """Log-probabilities (R, V) -> log of the mass (or the maximum) of each class (C, R)."""
        out = self.sums(rows.index_select(1, self.small).t().contiguous(), maximum)
        if self.dominant is None and not self.large:
            return out
        for piece in self._pieces(rows):
            own = rows[piece]
            if self.dominant is not None:
                others_out = own.index_fill(1, self.aside, -torch.inf) if len(self.aside) else own
                out[self.dominant, piece] = _log_sum(others_out, maximum)
            for c, tokens in self.large.items():
                out[c, piece] = _log_sum(own.index_select(1, tokens), maximum)
        return out

    def spread(self, rows: Tensor, ratios: Tensor) -> Tensor:
        """Log-probabilities (R, V) plus what is known of each class (C, R) -> (R, V), a new tensor; -inf for tokens of no
        class."""
        padded = torch.cat([ratios, ratios.new_full((1, ratios.shape[1]), -torch.inf)]).t().contiguous()
        out = torch.empty_like(rows)
        for piece in self._pieces(rows):
            if self.dominant is None:
                torch.add(rows[piece], padded[piece].index_select(1, self.token_class), out=out[piece])
            else:
                torch.add(rows[piece], padded[piece, self.dominant, None], out=out[piece])
                others = rows[piece].index_select(1, self.aside)
                others += padded[piece].index_select(1, self.class_aside)
                out[piece].index_copy_(1, self.aside, others)
        return out

    def _pieces(self, rows: Tensor) -> list[slice]:
        if rows.device.type != "cpu":
            return [slice(None)]
        size = max(1, CACHED // max(1, self.num_tokens))
        return [slice(begin, begin + size) for begin in range(0, len(rows), size)]


class Forbidden:
    """Tokens that a canvas does not allow, one pattern for positions that are alike.

    Attributes:
        patterns: (P, V): 0 for allowed tokens, -inf for others.
        pattern_of: (L,) the pattern of each position.
        positions: positions at which a token is forbidden that could be accepted elsewhere.
    """

    def __init__(self, patterns: Tensor, pattern_of: Tensor, positions: list[int]) -> None:
        self.patterns, self.pattern_of, self.positions = patterns, pattern_of, positions

    @classmethod
    def of(cls, allowed: Tensor | None, usable: Tensor, length: int) -> Forbidden | None:
        """From allowed (L, V) or (1, V) bool and the tokens (V,) that are ever accepted; None if all are allowed."""
        if allowed is None or bool(allowed.all()):
            return None
        packed = np.packbits(allowed.cpu().numpy(), axis=1)
        _, first, which = np.unique(packed, axis=0, return_index=True, return_inverse=True)
        distinct = allowed.cpu()[torch.from_numpy(first)]
        patterns = torch.zeros(distinct.shape).masked_fill_(~distinct, -torch.inf)
        pattern_of = torch.from_numpy(which.reshape(-1)).expand(length).clone()
        matters = (~distinct & usable).any(1)
        return cls(patterns, pattern_of, torch.nonzero(matters[pattern_of]).flatten().tolist())

    def to(self, device: torch.device) -> Forbidden:
        """Move the tables to a device, in place."""
        self.patterns, self.pattern_of = self.patterns.to(device), self.pattern_of.to(device)
        return self

    def at(self, position: int) -> Tensor:
        """The pattern (V,) of a position."""
        return self.patterns[self.pattern_of[position]]

    def removed(self, log_p: Tensor) -> Tensor:
        """Log-probabilities (B, L, V) with forbidden tokens at -inf; a copy is made only if one of them has any
        probability."""
        out = log_p
        for position in self.positions:
            pattern = self.at(position)
            if out is log_p and bool((log_p[:, position].amax(0)[pattern < 0] > -torch.inf).any()):
                out = log_p.clone()
            if out is not log_p:
                out[:, position] += pattern
        return out


def _log_sum(rows: Tensor, maximum: bool) -> Tensor:
    """(R, K) -> (R,)."""
    if maximum:
        return rows.amax(1)
    top = rows.amax(1, keepdim=True).clamp_min_(torch.finfo(rows.dtype).min)
    return (rows - top).exp_().sum(1).log_().add_(top.squeeze(1))
