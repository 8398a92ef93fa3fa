"""Rotary embeddings (with transformers' scaling variants) and ALiBi slopes.

Positions come from the canvas; they may be negative (a prompt stands before the text) and fractional (Perceiver latents).
Sources: Su et al. 2021 (RoPE), Press et al. 2022 (ALiBi), Peng et al. 2023 (YaRN).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

if TYPE_CHECKING:
    from diffusionlm.denoiser.configuration import DenoiserConfig

Rotation = tuple[Tensor, Tensor]


class RotaryEmbedding(nn.Module):
    """cos and sin tables for positions; ``rope_type`` "default" or any of transformers' scaling variants."""

    inverse_frequency: Tensor

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        parameters = dict(config.rope_parameters or {})
        self.rope_type: str = parameters.get("rope_type", "default")
        known = ["default", *sorted(set(ROPE_INIT_FUNCTIONS) - {"default"})]
        if self.rope_type not in known:
            raise ValueError(f"rope_type must be one of {known}, got {self.rope_type!r}.")
        self.config: Any = config
        self.register_buffer("inverse_frequency", torch.empty(config.head_dim // 2), persistent=False)
        self.scaling = 1.0
        self.reset()

    def reset(self, seq_len: int | None = None) -> None:
        """Recomputes the frequencies from the configuration (called again after weights are loaded)."""
        if self.rope_type == "default":
            dim, base = self.config.head_dim, self.config.rope_parameters["rope_theta"]
            frequency = base ** -(torch.arange(0, dim, 2, dtype=torch.float32) / dim)
        else:
            frequency, self.scaling = ROPE_INIT_FUNCTIONS[self.rope_type](self.config, device="cpu", seq_len=seq_len)
        self.inverse_frequency = frequency.to(self.inverse_frequency.device)

    def forward(self, position_ids: Tensor) -> Rotation:
        """(B, L) -> cos, sin, each (B, 1, L, head_dim) in float32."""
        angle = position_ids[..., None].float() * self.inverse_frequency.float()
        angle = torch.cat((angle, angle), dim=-1)[:, None]
        return angle.cos() * self.scaling, angle.sin() * self.scaling


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """Applies RoPE to queries or keys (B, H, L, head_dim)."""
    cos, sin = rotation[0].to(x.dtype), rotation[1].to(x.dtype)
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


def alibi_slopes(num_heads: int) -> Tensor:
    """Slopes of ALiBi, (H,) float32: a geometric series from 2^(-8/H) for a power of two, interleaved otherwise."""

    def power_of_two(n: int) -> list[float]:
        start = 2.0 ** (-8.0 / n)
        return [start ** (i + 1) for i in range(n)]

    closest = 2 ** math.floor(math.log2(num_heads))
    slopes = power_of_two(closest)
    if closest < num_heads:
        slopes += power_of_two(2 * closest)[0::2][: num_heads - closest]
    return torch.tensor(slopes, dtype=torch.float32)


def alibi_bias(slopes: Tensor, query_positions: Tensor, key_positions: Tensor) -> Tensor:
    """-slope |i - j|, the symmetric form for bidirectional attention.

    Args:
        slopes: (H,).
        query_positions: (B, L).
        key_positions: (B, S).

    Returns:
        (B, H, L, S) float32.
    """
    distance = (query_positions[:, None, :, None].float() - key_positions[:, None, None, :].float()).abs()
    return -slopes[None, :, None, None] * distance
