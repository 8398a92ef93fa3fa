"""One transformer block, modulated by the noise level (adaLN-Zero, Peebles and Xie 2023, section 3.2)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.modeling_layers import GradientCheckpointingLayer

from diffusionlm.denoiser.attention import JointAttention
from diffusionlm.denoiser.experts import MixtureOfExperts, RouterStatistics, SwiGLU
from diffusionlm.denoiser.norms import RMSNorm
from diffusionlm.denoiser.positions import KeptBuffers

if TYPE_CHECKING:
    from diffusionlm.denoiser.configuration import DenoiserConfig
    from diffusionlm.denoiser.memory import BlockMemory
    from diffusionlm.denoiser.positions import Rotation


class NoiseLevelEmbedding(KeptBuffers):
    """gamma -> condition vector: Fourier features, then a two-layer perceptron."""

    frequencies: Tensor

    def __init__(self, config: DenoiserConfig, num_frequencies: int = 32) -> None:
        super().__init__()
        self.num_frequencies = num_frequencies
        self.register_buffer("frequencies", torch.empty(num_frequencies), persistent=False)
        self.reset()
        self.inner = nn.Linear(2 * num_frequencies, config.condition_size)
        self.outer = nn.Linear(config.condition_size, config.condition_size)

    def reset(self) -> None:
        """Wavelengths from 2 pi / 4 to 2 pi / 0.05 nats of gamma, geometrically."""
        count = self.num_frequencies
        values = torch.exp(torch.linspace(math.log(0.05), math.log(4.0), count, dtype=torch.float32))
        self.frequencies = values.to(self.frequencies.device)

    def forward(self, gamma: Tensor) -> Tensor:
        """(B,) -> (B, condition_size)."""
        angle = gamma[:, None].float() * self.frequencies
        features = torch.cat((angle.cos(), angle.sin()), dim=-1).to(self.inner.weight.dtype)
        return self.outer(F.silu(self.inner(features)))


class Modulation(nn.Linear):
    """Condition (B, condition_size) -> shift, scale and gate of attention, then of the feed-forward: (B, 6 W).

    A class of its own for its initialisation, which transformers calls for modules with parameters alone.
    """


class DenoiserBlock(GradientCheckpointingLayer):
    """Joint attention, then a feed-forward or mixture of experts; each has an RMS norm, a shift, a scale and a gate."""

    def __init__(self, config: DenoiserConfig, layer_idx: int) -> None:
        super().__init__()
        width = config.hidden_size
        self.attention_norm = RMSNorm(width, eps=config.rms_norm_eps, elementwise_affine=False)
        self.attention = JointAttention(config, layer_idx)
        self.feed_forward_norm = RMSNorm(width, eps=config.rms_norm_eps, elementwise_affine=False)
        self.feed_forward = MixtureOfExperts(config) if config.num_experts else SwiGLU(config)
        self.modulation = Modulation(config.condition_size, 6 * width)

    def forward(
        self,
        hidden: Tensor,
        condition: Tensor,
        mask: Any,
        rotation: Rotation | None,
        memory: BlockMemory | None,
        token_mask: Tensor | None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor], RouterStatistics | None]:
        """Runs the block.

        Args:
            hidden: (B, L, W).
            condition: (B, condition_size) or (1, condition_size).
            mask: from ``attention.prepare_mask``.
            rotation: RoPE's tables, or None.
            memory: what this block remembers, or None.
            token_mask: (B, L) bool, positions in use; for the router's statistics.

        Returns:
            (B, L, W), the keys and values of these positions, the router's statistics or None.
        """
        modulation = self.modulation(F.silu(condition))[:, None]
        shift_a, scale_a, gate_a, shift_f, scale_f, gate_f = modulation.chunk(6, dim=-1)
        normed = self.attention_norm(hidden) * (1 + scale_a) + shift_a
        mixed, own = self.attention(normed, mask, rotation, memory)
        hidden = hidden + gate_a * mixed
        normed = self.feed_forward_norm(hidden) * (1 + scale_f) + shift_f
        fed, statistics = self.feed_forward(normed, token_mask)
        return hidden + gate_f * fed, own, statistics
