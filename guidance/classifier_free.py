"""`ClassifierFree`: follow the prompt more closely than the model would by itself."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from diffusionlm.guidance.guidance import Guidance
from diffusionlm.guidance.registry.plugins import register
from diffusionlm.guidance.state import GuidanceState


@register("classifier-free")
class ClassifierFree(Guidance):
    """Follow the prompt more closely than the model would by itself: classifier-free guidance.

    Ho and Salimans, "Classifier-free diffusion guidance" (2022), eq. 6, on token posteriors:
    log q = log p(x | prompt) + w (log p(x | prompt) - log p(x)) + const.

    That is the tilt by the linear energy E(q) = -sum_i <q_i, log p_i(. | prompt) - log p_i(.)>, so trust region, window
    and schedule hold for it as for any plugin. Costs one more pass of the network a step. Weights of 0.5 to 3 are usual.

    Args:
        without: the kinds of memory that the second pass leaves out, and whose effect is strengthened: "prompt", "retrieved",
            "concept".

    Raises:
        ValueError: if there is none.
    """

    reads = ("probs", "unconditional")
    reference = "Ho and Salimans 2022, Classifier-free diffusion guidance, eq. 6"
    weight: float = 1.0
    without: Sequence[str] = ("prompt",)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.without = (self.without,) if isinstance(self.without, str) else tuple(self.without)
        if not self.without:
            raise ValueError("ClassifierFree needs a kind of memory to leave out, as in without=('prompt',).")

    def energy(self, state: GuidanceState) -> Tensor:
        """-<q, log p with the prompt - log p without> (B,), in nats; p is the posterior as it stands, held fixed."""
        plain = state.log_probs_without(*self.without)
        prompted = state.log_probs.detach()
        possible = torch.isfinite(plain) & torch.isfinite(prompted)
        pull = torch.where(possible, prompted - torch.where(possible, plain, 0.0), 0.0)
        pull = torch.where(possible, pull, 0.0) * state.span_mask[..., None]
        return -(state.probs * pull).sum((-1, -2))
