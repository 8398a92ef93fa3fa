"""The Perceiver resampler: a context of any length in a fixed number of latents.

Afterwards the cost of a denoising step does not depend on the length of the context. Sources: Jaegle et al. 2021
("Perceiver IO"), Alayrac et al. 2022 ("Flamingo", section 3.1.1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffusionlm.denoiser.attention import prepare_mask
from diffusionlm.denoiser.norms import RMSNorm
from diffusionlm.denoiser.positions import rotate

if TYPE_CHECKING:
    from diffusionlm.denoiser.configuration import DenoiserConfig
    from diffusionlm.denoiser.positions import AlibiBias, RotaryEmbedding


class PerceiverResampler(nn.Module):
    """``num_latents`` learned queries that attend once to the embedded context."""

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.num_heads, self.head_dim = config.num_attention_heads, config.head_dim
        self.latents = nn.Parameter(torch.empty(config.num_latents, width))
        self.norm = RMSNorm(width, eps=config.rms_norm_eps)
        self.q_proj = nn.Linear(width, width, bias=False)
        self.kv_proj = nn.Linear(width, 2 * width, bias=False)
        self.o_proj = nn.Linear(width, width, bias=False)

    def forward(
        self,
        context: Tensor,
        mask: Tensor,
        position_ids: Tensor,
        rotary: RotaryEmbedding | None,
        alibi: AlibiBias | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Resamples.

        Args:
            context: embedded known positions (B, M, W).
            mask: (B, M) bool.
            position_ids: (B, M).
            rotary: RoPE, or None.
            alibi: ALiBi, or None.

        Returns:
            Latents (B, N, W), their mask (B, N): False only where a sample has no context at all, and their positions
            (B, N), spread evenly over the positions of the context.
        """
        batch, count = context.shape[0], self.latents.shape[0]
        positions = position_ids.float()
        lowest = positions.masked_fill(~mask, torch.inf).amin(1, keepdim=True).nan_to_num(posinf=0.0)
        highest = positions.masked_fill(~mask, -torch.inf).amax(1, keepdim=True).nan_to_num(neginf=0.0)
        share = (torch.arange(count, device=context.device, dtype=torch.float32) + 0.5) / count
        latent_positions = lowest + (highest - lowest) * share
        latents = self.latents.to(context.dtype).expand(batch, -1, -1)

        def heads(x: Tensor) -> Tensor:
            return x.unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2)

        key, value = self.kv_proj(self.norm(context)).chunk(2, dim=-1)
        query, key, value = heads(self.q_proj(self.norm(latents))), heads(key), heads(value)
        if rotary is not None:
            query, key = rotate(query, rotary(latent_positions)), rotate(key, rotary(positions))
        # a row without context attends to its padding, and its latents are masked
        attended = mask | ~mask.any(1, keepdim=True)
        bias = None if alibi is None else alibi(latent_positions, positions)
        # the context may be long and is read once: sdpa whatever backend the blocks use
        attention_mask = prepare_mask("sdpa", attended, bias, count, query.dtype)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=attention_mask)
        out = latents + self.o_proj(mixed.transpose(1, 2).flatten(2))
        return out, mask.any(1, keepdim=True).expand(-1, count), latent_positions
