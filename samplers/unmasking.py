"""`UnmaskingSampler`: hidden tokens are decided one after another, from joint draws of the posterior."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from diffusers.configuration_utils import register_to_config
from torch import Tensor

from diffusionlm.diffusion import NoisyTokens
from diffusionlm.diffusion.posterior import LOWEST
from diffusionlm.samplers.registry import SAMPLERS
from diffusionlm.samplers.sampler import Sampler

if TYPE_CHECKING:
    from diffusionlm.diffusion import Draws, NoisyText, Posterior

ORDERS = ("random", "confidence", "margin", "entropy")


@SAMPLERS.register("unmasking")
class UnmaskingSampler(Sampler):
    """At each step one text is drawn from the posterior, and some of its tokens are kept.

    The draw is joint: under hard rules it is a text that obeys all of them together with what is decided already, so whatever
    part of it is kept can be completed. Independent draws from exact marginals can not: two positions may each take the only
    slot of a required phrase.

    After step i the share sigmoid(gamma_{i+1}) of each row's positions is still hidden. With the order "random" that is the
    ancestral sampler of Sahoo et al. 2024 ("Simple and effective masked diffusion language models", eq. 6), with an even quota
    in the place of a coin for each token; the others keep what is surest first (Chang et al. 2022, "MaskGIT"; Kim et al. 2025,
    "Train for the worst, plan for the best", for the margin).

    Args:
        order: which of the drawn tokens are kept first: "random", or by the posterior's "confidence" (probability of the drawn
            token), "margin" (between the two likeliest) or "entropy" (lowest first).
        block: positions that are written at a time, from left to right; None writes everywhere at once.
        remasking: share of the decided tokens that are hidden again at each step but the last, so that early mistakes can be
            mended (Wang et al. 2025, "Remasking discrete diffusion models", the capped variant).
        temperature: of the choice among orders: 0 is strict, above it the score of each token gets Gumbel noise of this scale.
        ends: decide the lengths of open spans before the first step, from the model's distribution of them (see
            `diffusionlm.generation.text_ends`); False lets the order decide them, which makes texts shorter.
    """

    process = "masked"
    reference = "Sahoo et al. 2024, Simple and effective masked diffusion language models, eq. 6"

    @register_to_config
    def __init__(
        self,
        *,
        order: str = "confidence",
        block: int | None = None,
        remasking: float = 0.0,
        temperature: float = 0.5,
        ends: bool = True,
    ) -> None:
        if order not in ORDERS:
            raise ValueError(f"order must be one of {ORDERS}, got {order!r}.")
        if block is not None and (isinstance(block, bool) or not isinstance(block, int) or block < 1):
            raise ValueError(f"block must be a number of positions of at least 1, or None; got {block!r}.")
        if not 0 <= remasking < 1:
            raise ValueError(f"remasking must lie in [0, 1), got {remasking!r}.")
        if not temperature >= 0:
            raise ValueError(f"temperature must be at least 0, got {temperature!r}.")
        if not isinstance(ends, bool):
            raise ValueError(f"ends must be true or false, got {ends!r}.")
        self.ends_first = ends
        self._order, self._block, self._remasking, self._temperature = order, block, remasking, temperature

    def move(self, posterior: Posterior, i: int, noisy: NoisyText, draws: Draws) -> NoisyTokens:
        """See `Sampler`."""
        assert isinstance(noisy, NoisyTokens)
        ids = torch.where(noisy.undecided, posterior.draw(draws.uniform()), noisy.ids)
        hidden_again = torch.zeros_like(noisy.undecided)
        written = noisy.used if noisy.ended is None else noisy.used & ~noisy.ended
        if self._remasking and i + 1 < self.num_steps:
            decided = written & ~noisy.undecided
            hidden_again = decided & (draws.uniform() < self._remasking)
        hidden = self._left(written.sum(-1), i)
        keep = (noisy.undecided.sum(-1) + hidden_again.sum(-1) - hidden).clamp_min(0)
        kept = _top(self._score(posterior, ids, draws).masked_fill(~noisy.undecided, -torch.inf), keep)
        return replace(noisy, ids=ids, undecided=(noisy.undecided & ~kept) | hidden_again)

    def _left(self, used: Tensor, i: int) -> Tensor:
        """How many of the positions that are written (B,) stay hidden after step i: (B,)."""
        if i + 1 == self.num_steps:
            return torch.zeros_like(used)
        return torch.floor(used * float(torch.sigmoid(self._levels[i + 1]))).long()

    def finish(self, posterior: Posterior, noisy: NoisyText) -> Tensor:
        """What was decided."""
        assert isinstance(noisy, NoisyTokens)
        return noisy.ids

    def _score(self, posterior: Posterior, ids: Tensor, draws: Draws) -> Tensor:
        """Which drawn tokens are kept first: (B, L), the highest."""
        if self._order == "random":
            score = draws.uniform()
        elif self._order == "margin":
            two = posterior.log_probs.topk(2, -1).values.exp()
            score = (two[..., 0] - two[..., 1]).double()
        elif self._order == "entropy":
            score = torch.linalg.vecdot(posterior.probs, posterior.log_probs.clamp_min(LOWEST)).double()
        else:
            score = posterior.log_probs.gather(-1, ids[..., None])[..., 0].double()
        if self._temperature and self._order != "random":
            score = score - self._temperature * torch.log(-torch.log(draws.uniform().clamp(1e-12, 1 - 1e-12)))
        if self._block is not None:  # blocks from left to right, the score within each
            block = torch.arange(ids.shape[1], device=ids.device) // self._block
            score = score.clamp_min(LOWEST) - 1e3 * block
        return score


def _top(score: Tensor, count: Tensor) -> Tensor:
    """(B, L) bool: the ``count`` (B,) highest of each row."""
    rank = score.argsort(-1, descending=True).argsort(-1)
    return (rank < count[:, None]) & torch.isfinite(score)
