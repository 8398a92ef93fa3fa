"""`Diverse`: the samples of a call repel each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from diffusionlm.guidance.guidance import Guidance
from diffusionlm.guidance.registry.plugins import register
from diffusionlm.guidance.state import GuidanceState
from diffusionlm.guidance.strategies.strategy import check_count

if TYPE_CHECKING:
    from diffusionlm.text import Vocabulary


@register("diverse")
class Diverse(Guidance):
    """Makes the texts that a call writes for one canvas differ, by what they are expected to have in common.

    With p_bi the posterior of row b at position i, the expected number of runs of n tokens that rows b and c share is
    S_bc = sum_ij prod_{k<n} <p_b,i+k , p_c,j+k>, wherever in the texts they stand. A row's energy is the mean of
    S_bc / sqrt(S_bb S_cc) over the other rows c on its canvas, these held fixed: 0 where nothing is shared, 1 where all
    is. Texts that are alone on their canvas are left as they are.

    All texts of a batch depend on each other then: the same seed gives the same texts in the same call only.

    Args:
        n: tokens of the runs that are compared; single tokens would push away names and function words too.

    Raises:
        ValueError: if n is no whole number of at least 1.

    Example:
        >>> pipe(prompt="name[The Mill]", num_samples=16, guidance=["diverse"]).texts  # doctest: +SKIP
    """

    reference = "Corso et al. 2024, Particle guidance: non-I.I.D. diverse sampling with diffusion models"
    batch_independent = False
    expected_failures = {
        "gradient": "other rows and norms are held fixed: a text that repeats itself has a longer norm, and is no way out"
    }

    n: int = 2

    weight: float = 20.0
    window: tuple[float, float] = (1.0, 0.2)  # near the end the texts are set, and pushing would break words

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("Diverse", "n", self.n)

    def bind(self, vocabulary: Vocabulary) -> None:
        """Notes which tokens stand for text."""
        self.counts = torch.ones(len(vocabulary))
        self.counts[sorted(vocabulary.special_ids)] = 0.0

    def energy(self, state: GuidanceState) -> Tensor:
        """Mean share of runs that each row has in common with the others on its canvas (B,)."""
        rows, length = state.probs.shape[:2]
        own = state.probs * state.span_mask[..., None] * self.counts.to(state.probs)
        fixed = own.detach()
        n = min(self.n, length)
        joined = _runs(torch.einsum("blv,cmv->bclm", own, fixed), n)
        alone = torch.stack([_runs((row @ row.T)[None, None], n)[0, 0] for row in fixed])
        size = (alone[:, None] * alone[None]).clamp_min(1e-12).sqrt()
        places = [layout.canvas for layout in state.layouts]
        canvas = torch.tensor([places.index(place) for place in places])
        others = (canvas[:, None] == canvas[None]) & ~torch.eye(rows, dtype=torch.bool)
        others = others.to(joined)
        return (joined / size * others).sum(1) / others.sum(1).clamp_min(1.0)


def _runs(same: Tensor, n: int) -> Tensor:
    """(B, C, L, M) chances that two positions hold one token -> (B, C) expected number of runs of n tokens in common."""
    length, width = same.shape[-2:]
    product = same[..., : length - n + 1, : width - n + 1]
    for k in range(1, n):
        product = product * same[..., k : length - n + 1 + k, k : width - n + 1 + k]
    return product.sum((-1, -2))
