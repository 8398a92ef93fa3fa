"""`TrainingStep`: from a batch, noise levels and noise to the loss; the module that is compiled and distributed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from diffusionlm.denoiser import CANVAS, PROMPT, RETRIEVED, ContextMemory
from diffusionlm.denoiser.media import KINDS, segment_of
from diffusionlm.diffusion import cross_entropy, diffuse, hide, masked_cross_entropy
from diffusionlm.training.media_agreement import media_figures

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diffusionlm.denoiser import DenoiserOutput, SpanDenoiser


class TrainingStep(nn.Module):
    """Loss of the spans: cross-entropy under noisy embeddings, or the weighted one of hidden tokens.

    With an optional gradient-free first pass for self-conditioning.

    Args:
        denoiser: the network.
    """

    def __init__(self, denoiser: SpanDenoiser) -> None:
        super().__init__()
        self.denoiser = denoiser

    def read_media(self, context: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What the encoders say (B, N, D) of the images and sounds of a batch, by kind; empty where it has none."""
        return {
            kind: self.denoiser.encode_media(segment_of(kind), context[f"{kind}_values"], context[f"{kind}_mask"])
            for kind in KINDS
            if f"{kind}_values" in context
        }

    def memory(
        self,
        known_ids: Tensor,
        known_mask: Tensor,
        known_positions: Tensor,
        prompt_ids: Tensor,
        prompt_mask: Tensor,
        prompt_positions: Tensor,
        retrieved_ids: Tensor | None = None,
        retrieved_mask: Tensor | None = None,
        retrieved_positions: Tensor | None = None,
        read: Any = None,
        **media: Tensor,
    ) -> ContextMemory | None:
        """Encodes images and sounds, neighbours, prompt and known text, each on its own; None where a batch has none.

        ``read`` is what `read_media` gives for them, where it is known already.
        """
        memories = []
        for kind, vectors in (self.read_media(media) if read is None else read).items():
            mask = media[f"{kind}_mask"]
            count = mask.sum(1, keepdim=True)
            at = torch.arange(mask.shape[1], device=mask.device) - count  # the last one stands before position 0
            memories.append(self.denoiser.encode_context(None, vectors, mask, at, segment_of(kind)))
        if retrieved_ids is not None:
            assert retrieved_mask is not None
            assert retrieved_positions is not None
            for number in range(retrieved_ids.shape[1]):
                ids, mask, at = (part[:, number] for part in (retrieved_ids, retrieved_mask, retrieved_positions))
                memories.append(self.denoiser.encode_context(ids, None, mask, at, RETRIEVED))
        if prompt_ids.shape[1]:
            memories.append(self.denoiser.encode_context(prompt_ids, None, prompt_mask, prompt_positions, PROMPT))
        if known_ids.shape[1]:
            memories.append(self.denoiser.encode_context(known_ids, None, known_mask, known_positions, CANVAS))
        return ContextMemory.concat(memories) if memories else None

    def forward(
        self,
        span_ids: Tensor,
        span_mask: Tensor,
        span_positions: Tensor,
        open_mask: Tensor,
        gamma: Tensor,
        noise: Tensor,
        likelihood_weight: Tensor,
        self_condition: bool,
        **context: Tensor,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """One pass.

        Args:
            span_ids, span_mask, span_positions, open_mask: (B, L), see ``SpanBatch``.
            gamma: (B,).
            noise: (B, L, D) standard normal; a masked process hides tokens by its first entries.
            likelihood_weight: scalar in [0, 1].
            self_condition: whether to run the first pass.
            context: see ``SpanBatch.context``.

        Returns:
            Cross-entropy of each sample (B,) in nats per token, and losses and figures beside it: the routers' over all
            blocks, encoding of the context included, and the encoders' of images and sounds (empty where there are neither).
        """
        read = self.read_media(context)
        memory = self.memory(**context, read=read)
        masked = self.denoiser.config.process == "masked"
        if masked:
            hidden = hide(noise[..., 0], gamma, span_mask)
            latents = self.denoiser.embed(span_ids).masked_fill(hidden[..., None], 0.0)
            likelihood_weight = torch.zeros_like(likelihood_weight)
        else:
            latents = diffuse(self.denoiser.embed(span_ids), noise, gamma)
        estimate = None
        if self_condition:
            with torch.no_grad():
                first = self.denoiser(
                    latents, gamma, memory, None, span_mask, span_positions, open_mask, likelihood_weight
                )
                estimate = self.denoiser.clean_estimate(first.logits.softmax(-1))
        out = self.denoiser(latents, gamma, memory, estimate, span_mask, span_positions, open_mask, likelihood_weight)
        figures = router_figures(out) | media_figures(self.denoiser, read, context, (span_ids, span_mask))
        if masked:
            return masked_cross_entropy(out.logits, span_ids, hidden, span_mask, gamma), figures
        return cross_entropy(out.logits, span_ids, span_mask), figures


def router_figures(out: DenoiserOutput) -> dict[str, Tensor]:
    """Losses and figures of the routers over all blocks; empty for a dense network."""
    if not out.routers:
        return {}
    return {
        "load_balancing_loss": torch.stack([r.load_balancing_loss for r in out.routers]).mean(),
        "router_z_loss": torch.stack([r.z_loss for r in out.routers]).mean(),
        "router_max_load": torch.stack([r.load.max() for r in out.routers]).max(),
        "router_entropy": torch.stack([r.entropy for r in out.routers]).mean(),
    }
