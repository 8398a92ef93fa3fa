"""Diffusion transformer for text with adaptive layer norms: the network of MDLM and of LangFlow.

Peebles and Xie 2023, "Scalable diffusion models with transformers", section 3.2 (adaLN-Zero); for text Lou et al. 2024,
"Discrete diffusion modeling by estimating the ratios of the data distribution", appendix C. Rotary positions (Su et al. 2021),
layer norms without bias. Parameters are named as in the published checkpoints, so that these load by name.

Shape letters: B rows, N positions, V vocabulary, D width, C size of the condition, H heads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffusionlm.families.networks import Network
from diffusionlm.families.sheet import Sheet, visible
from diffusionlm.families.switches import Switches

FREQUENCIES = 256
BASE, LONGEST_PERIOD = 10_000.0, 10_000.0


@dataclass(frozen=True)
class DiTConfig:
    """Sizes of a diffusion transformer.

    Attributes:
        vocab_size: V, the mask token among them where there is one.
        hidden_size: D.
        cond_dim: C.
        n_blocks: how many blocks.
        n_heads: H.
        self_conditioning: whether the previous clean estimate enters.
        unit_embeddings: whether embeddings are scaled to length sqrt(D) before use.
    """

    vocab_size: int
    hidden_size: int = 768
    cond_dim: int = 128
    n_blocks: int = 12
    n_heads: int = 12
    self_conditioning: bool = False
    unit_embeddings: bool = False


class Norm(nn.Module):
    """Layer norm in float32 with a scale and no bias."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        return F.layer_norm(hidden.float(), self.weight.shape) * self.weight


class Embedding(nn.Module):
    """Table of token embeddings."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.randn(config.vocab_size, config.hidden_size) * 0.02)
        self.unit = config.unit_embeddings

    def table(self) -> Tensor:
        """(V, D), as the network uses it."""
        if not self.unit:
            return self.embedding
        return F.normalize(self.embedding.float(), dim=-1) * self.embedding.shape[-1] ** 0.5


class NoiseLevel(nn.Module):
    """Embedding of a noise level: cosines and sines of geometric frequencies, then two linear maps."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(FREQUENCIES, size), nn.SiLU(), nn.Linear(size, size))

    def forward(self, level: Tensor) -> Tensor:
        """(B,) -> (B, C)."""
        half = FREQUENCIES // 2
        steps = torch.arange(half, dtype=torch.float32, device=level.device) / half
        angles = level.float()[:, None] * torch.exp(-math.log(LONGEST_PERIOD) * steps)
        waves = torch.cat([angles.cos(), angles.sin()], dim=-1)
        weight: Any = self.mlp[0].weight
        out: Tensor = self.mlp(waves.to(weight.dtype))
        return out


class Block(nn.Module):
    """Attention and a feed-forward layer, each shifted, scaled and gated by the noise level."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.heads = config.n_heads
        self.norm1, self.norm2 = Norm(size), Norm(size)
        self.attn_qkv = nn.Linear(size, 3 * size, bias=False)
        self.attn_out = nn.Linear(size, size, bias=False)
        self.mlp = nn.Sequential(nn.Linear(size, 4 * size), nn.GELU(approximate="tanh"), nn.Linear(4 * size, size))
        self.adaLN_modulation = nn.Linear(config.cond_dim, 6 * size)

    def forward(self, hidden: Tensor, condition: Tensor, rotation: Tensor, seen: Tensor | None) -> Tensor:
        """One block.

        Args:
            hidden: (B, N, D).
            condition: (B, C).
            rotation: angles (N, D / H / 2).
            seen: what each position sees (B, N, N) bool; everything if None.
        """
        shift, scale, gate, shift2, scale2, gate2 = self.adaLN_modulation(condition)[:, None].chunk(6, dim=-1)
        dtype = self.attn_qkv.weight.dtype
        inner = (self.norm1(hidden) * (1 + scale) + shift).to(dtype)
        query, key, value = (self._by_head(part) for part in self.attn_qkv(inner).chunk(3, dim=-1))
        mask = None if seen is None else seen[:, None]
        mixed = F.scaled_dot_product_attention(_turned(query, rotation), _turned(key, rotation), value, mask)
        hidden = hidden + gate * self.attn_out(mixed.transpose(1, 2).flatten(2))
        inner = (self.norm2(hidden) * (1 + scale2) + shift2).to(dtype)
        return hidden + gate2 * self.mlp(inner)

    def _by_head(self, part: Tensor) -> Tensor:
        """(B, N, D) -> (B, H, N, D / H)."""
        return part.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class Output(nn.Module):
    """Logits of the tokens, from a norm that is shifted and scaled by the noise level."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.norm_final = Norm(config.hidden_size)
        self.linear = nn.Linear(config.hidden_size, config.vocab_size)
        self.adaLN_modulation = nn.Linear(config.cond_dim, 2 * config.hidden_size)

    def forward(self, hidden: Tensor, condition: Tensor) -> Tensor:
        """(B, N, D), (B, C) -> (B, N, V)."""
        shift, scale = self.adaLN_modulation(condition)[:, None].chunk(2, dim=-1)
        out: Tensor = self.linear((self.norm_final(hidden) * (1 + scale) + shift).to(self.linear.weight.dtype))
        return out


class DiffusionTransformer(nn.Module):
    """The network from embeddings to logits.

    Args:
        config: its sizes.
    """

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.config = config
        self.vocab_embed = Embedding(config)
        self.sigma_map = NoiseLevel(config.cond_dim)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_blocks))
        self.output_layer = Output(config)
        self.self_cond_proj = (
            nn.Linear(2 * config.hidden_size, config.hidden_size, bias=False) if config.self_conditioning else None
        )

    def forward(
        self,
        inputs: Tensor,
        level: Tensor,
        estimate: Tensor | None = None,
        seen: Tensor | None = None,
        at: Tensor | None = None,
    ) -> Tensor:
        """Logits (B, N, V), or (B, L, V) with ``at``.

        Args:
            inputs: embeddings (B, N, D), noisy or not.
            level: what the network is told of the noise (B,).
            estimate: the previous clean estimate (B, N, D); zeros if None.
            seen: what each position sees (B, N, N) bool; everything if None.
            at: (B, L) positions of interest; all if None.
        """
        hidden = inputs
        if self.self_cond_proj is not None:
            known = torch.zeros_like(inputs) if estimate is None else estimate
            hidden = hidden + self.self_cond_proj(torch.cat([inputs, known], dim=-1))
        condition = F.silu(self.sigma_map(level))
        size = self.config.hidden_size // self.config.n_heads
        rates = BASE ** (-torch.arange(0, size, 2, dtype=torch.float32, device=inputs.device) / size)
        rotation = torch.arange(inputs.shape[1], dtype=torch.float32, device=inputs.device)[:, None] * rates
        for block in self.blocks:
            hidden = block(hidden, condition, rotation, seen)
        if at is not None:
            hidden = hidden.gather(1, at[..., None].expand(-1, -1, hidden.shape[-1]))
        out: Tensor = self.output_layer(hidden, condition)
        return out


class TokenDiT(Network):
    """A diffusion transformer that reads tokens, as a `diffusionlm.families.networks.TokenNetwork`.

    Args:
        module: the network.
    """

    def logits(self, ids: Tensor, sheet: Sheet, at: Tensor, gamma: Tensor, switches: Switches) -> Tensor:
        """See `TokenNetwork`."""
        told = {"none": torch.zeros_like(gamma), "sigma": F.softplus(gamma), "gamma": gamma}[switches.time]
        seen = visible(sheet, switches.attention, switches.block)
        out: Tensor = self.module(F.embedding(ids, self.table()), told.float().expand(len(ids)), seen=seen, at=at)
        return out

    def table(self) -> Tensor:
        """See `TokenNetwork`."""
        module: Any = self.module
        return module.vocab_embed.table()


def _turned(heads: Tensor, rotation: Tensor) -> Tensor:
    """Rotary positions on (B, H, N, E): the two halves of a head are the two coordinates that turn."""
    cos, sin = rotation.cos().to(heads.dtype), rotation.sin().to(heads.dtype)
    left, right = heads.chunk(2, dim=-1)
    return torch.cat([left * cos - right * sin, right * cos + left * sin], dim=-1)
