"""`RenoisingSampler`: for a uniform process, whose noise puts random tokens in the place of true ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from diffusers.configuration_utils import register_to_config
from torch import Tensor

from diffusionlm.diffusion import NoisyTokens
from diffusionlm.samplers.registry import SAMPLERS
from diffusionlm.samplers.sampler import Sampler

if TYPE_CHECKING:
    from diffusionlm.diffusion import Draws, NoisyText, Posterior


@SAMPLERS.register("renoising")
class RenoisingSampler(Sampler):
    """At each step a clean text is drawn from the posterior, jointly, and noised again to the next level.

    A token stays as it was drawn with probability 1 - sigmoid(gamma'), else any token of the vocabulary takes its place; the
    last step adds no noise. Nothing is decided before the end, so early mistakes can be mended, and rules that always hold
    need to hold for the last draw alone (Austin et al. 2021, "Structured denoising diffusion models in discrete state-spaces",
    appendix A.2.1, uniform transitions in the x0-parameterisation).
    """

    process = "uniform"
    reference = "Austin et al. 2021, Structured denoising diffusion models in discrete state-spaces"

    @register_to_config
    def __init__(self) -> None:
        pass

    def move(self, posterior: Posterior, i: int, noisy: NoisyText, draws: Draws) -> NoisyTokens:
        """See `Sampler`."""
        assert isinstance(noisy, NoisyTokens)
        ids = posterior.draw(draws.uniform())
        if i + 1 < self.num_steps:
            hit = draws.uniform() < float(torch.sigmoid(self._levels[i + 1]))
            size = posterior.log_probs.shape[-1]
            ids = torch.where(hit, (draws.uniform() * size).long().clamp(max=size - 1), ids)
        return NoisyTokens(ids, noisy.undecided, noisy.used)

    def finish(self, posterior: Posterior, noisy: NoisyText) -> Tensor:
        """The text that was drawn last."""
        assert isinstance(noisy, NoisyTokens)
        return noisy.ids
