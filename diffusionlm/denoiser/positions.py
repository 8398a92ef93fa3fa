"""Rotary embeddings (with transformers' scaling variants) and ALiBi slopes.

Positions come from the canvas; they may be negative (a prompt stands before the text) and fractional (latents).
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
LENGTH_DEPENDENT = ("dynamic", "longrope")


class KeptBuffers(nn.Module):
    """A module whose own buffers keep their dtype when the model's changes.

    Frequencies in bfloat16 are off by 0.4 %: at position 500 an angle would be wrong by two radians.
    """

    def _apply(self, fn: Any, recurse: bool = True) -> KeptBuffers:
        kept = dict(self.named_buffers(recurse=False))
        super()._apply(fn, recurse)
        for name, buffer in kept.items():
            moved = getattr(self, name)
            if moved.dtype != buffer.dtype:
                setattr(self, name, buffer.to(moved.device))
        return self


class RotaryEmbedding(KeptBuffers):
    """cos and sin tables for positions; ``rope_type`` "default" or any of transformers' scaling variants.

    Args:
        config: of the denoiser; ``rope_parameters`` as in transformers.

    Attributes:
        sequence_length: tokens the frequencies are fitted to, for the types that depend on it (`LENGTH_DEPENDENT`).

    Raises:
        ValueError: for an unknown type, or where a parameter of the type is missing.
    """

    inverse_frequency: Tensor

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        self.config: Any = config
        self.rope_type: str = dict(config.rope_parameters or {}).get("rope_type", "default")
        known = ["default", *sorted(set(ROPE_INIT_FUNCTIONS) - {"default"})]
        if self.rope_type not in known:
            raise ValueError(f"rope_type must be one of {known}, got {self.rope_type!r}.")
        if config.rope_parameters.get("rope_theta") is None:
            raise ValueError(f"rope_parameters need 'rope_theta', the base of RoPE; got {config.rope_parameters}.")
        self.sequence_length: int | None = None
        self.scaling = 1.0
        self.register_buffer("inverse_frequency", torch.empty(config.head_dim // 2), persistent=False)
        self.reset()

    @property
    def depends_on_length(self) -> bool:
        """True if the frequencies depend on the length of the text."""
        return self.rope_type in LENGTH_DEPENDENT

    def reset(self) -> None:
        """Recomputes the frequencies from the configuration (called again after weights are loaded)."""
        device = self.inverse_frequency.device
        if self.rope_type == "default":
            dim, base = self.config.head_dim, self.config.rope_parameters["rope_theta"]
            frequency = base ** -(torch.arange(0, dim, 2, dtype=torch.float32) / dim)
        else:
            compute = ROPE_INIT_FUNCTIONS[self.rope_type]
            try:
                frequency, self.scaling = compute(self.config, device=device, seq_len=self.sequence_length)
            except KeyError as error:
                raise ValueError(
                    f"rope_type {self.rope_type!r} needs {error} in rope_parameters, got {self.config.rope_parameters}."
                ) from error
        if frequency.shape[0] != self.config.head_dim // 2:
            raise ValueError(
                f"RoPE here turns all {self.config.head_dim} dimensions of a head, rope_parameters ask for "
                f"{2 * frequency.shape[0]}; leave out partial_rotary_factor, and give as many factors as frequencies."
            )
        self.inverse_frequency = frequency.to(device=device, dtype=torch.float32)

    def set_sequence_length(self, length: int | None) -> None:
        """Fits the frequencies to texts of ``length`` tokens; without effect for types that do not depend on it.

        Raises:
            ValueError: if ``length`` is not positive.
        """
        if length is not None and length < 1:
            raise ValueError(f"A sequence length is at least 1, got {length}.")
        if self.depends_on_length:
            self.sequence_length = length
            self.reset()

    def check_length(self, position_ids: Tensor, mask: Tensor | None) -> None:
        """Refuses texts longer than the frequencies are fitted to; for the types that depend on the length.

        Args:
            position_ids: (B, S) of memory and spans.
            mask: (B, S) bool, positions in use; all if None.

        Raises:
            ValueError: if the positions of a text span more than `sequence_length`.
        """
        if not self.depends_on_length or torch.compiler.is_compiling():
            return
        positions = position_ids.float()
        used = torch.ones_like(positions, dtype=torch.bool) if mask is None else mask
        highest = positions.masked_fill(~used, -torch.inf).amax(1)
        lowest = positions.masked_fill(~used, torch.inf).amin(1)
        extent = math.ceil((highest - lowest).max().item() + 1) if bool(used.any()) else 0
        trained = self.config.max_position_embeddings
        trained = self.config.rope_parameters.get("original_max_position_embeddings", trained)
        limit = max(self.sequence_length or 0, trained)
        if extent > limit:
            raise ValueError(
                f"The text spans {extent} positions, RoPE of type {self.rope_type!r} is fitted to {limit}: call "
                f"set_sequence_length({extent}) on the denoiser before encoding the context."
            )

    def forward(self, position_ids: Tensor) -> Rotation:
        """(B, L) -> cos, sin, each (B, 1, L, head_dim) in float32."""
        angle = position_ids[..., None].float() * self.inverse_frequency
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


class AlibiBias(KeptBuffers):
    """-slope |i - j|, the symmetric form of ALiBi for bidirectional attention."""

    slopes: Tensor

    def __init__(self, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.register_buffer("slopes", torch.empty(num_heads), persistent=False)
        self.reset()

    def reset(self) -> None:
        """Recomputes the slopes (called again after weights are loaded)."""
        self.slopes = alibi_slopes(self.num_heads).to(self.slopes.device)

    def forward(self, query_positions: Tensor, key_positions: Tensor) -> Tensor:
        """Positions (B, L) of queries and (B, S) of keys -> bias (B, H, L, S) float32."""
        distance = (query_positions[:, None, :, None].float() - key_positions[:, None, None, :].float()).abs()
        return -self.slopes[None, :, None, None] * distance
