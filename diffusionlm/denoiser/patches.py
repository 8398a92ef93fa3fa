"""Patches: P bytes become one position of the trunk, and come back through a small block that sees its neighbours' bytes.

Places decide what is grouped: byte p belongs to patch floor(p / P), whatever stands around it. Spans thus need no multiple of P
and may begin anywhere; known text and spans that share a patch share its place, which is the trunk's position. Above this
file everything stays as long as the text is in bytes. Source: Yu et al. 2023 ("MegaByte", section 2).

Shape letters: B batch, L positions in bytes, G patches, P bytes in a patch, W width of the trunk, N width of a byte, H heads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffusionlm.denoiser.norms import RMSNorm

if TYPE_CHECKING:
    from diffusionlm.denoiser.configuration import DenoiserConfig


def byte_width(config: DenoiserConfig) -> int:
    """N: half of the trunk's heads, at least one, of the trunk's size."""
    return max(1, config.num_attention_heads // 2) * config.head_dim


@dataclass(frozen=True)
class Grouping:
    """Places of bytes in patches.

    Attributes:
        index: (B, L), slot of each byte among the G P slots.
        used: (B, L) bool, bytes in use; the others share slots and add nothing.
        places: (B, G), the patches' positions.
        mask: (B, G) bool, patches with a byte.
        slots: (B, G, P) bool, slots with a byte.
    """

    index: Tensor
    used: Tensor
    places: Tensor
    mask: Tensor
    slots: Tensor

    @classmethod
    def of(cls, position_ids: Tensor, mask: Tensor | None, patch_size: int) -> Grouping:
        """Groups bytes (B, L) that are next to each other in a row and belong to one patch by their places.

        A byte whose place does not lie behind that of the byte before it begins a patch of its own.
        """
        used = torch.ones_like(position_ids, dtype=torch.bool) if mask is None else mask
        place = position_ids.floor().long() if position_ids.is_floating_point() else position_ids
        patch, slot = place.div(patch_size, rounding_mode="floor"), place.remainder(patch_size)
        columns = torch.arange(place.shape[1], device=place.device).expand_as(place)
        last = columns.masked_fill(~used, -1).cummax(1).values.roll(1, dims=1)  # byte in use before each
        last[:, 0] = -1
        before = last.clamp_min(0)
        follows = (last >= 0) & (patch == patch.gather(1, before)) & (slot > slot.gather(1, before))
        begins = used & ~follows
        group = (begins.cumsum(1) - 1).clamp_min(0)
        count = int(group.max()) + 1
        index = group * patch_size + slot
        batch = place.shape[0]
        places = patch.new_zeros(batch, count).scatter_add_(1, group, patch * begins)
        slots = patch.new_zeros(batch, count * patch_size).scatter_add_(1, index, used.long())
        slots = slots.view(batch, count, patch_size) > 0
        return cls(index, used, places, slots.any(-1), slots)

    def gather(self, values: Tensor) -> Tensor:
        """Bytes (B, L, N) into their slots (B, G, P, N); empty slots are 0."""
        batch, count, size = self.slots.shape
        flat = values.new_zeros(batch, count * size, values.shape[-1])
        at = self.index[..., None].expand_as(values)
        return flat.scatter_add(1, at, values * self.used[..., None]).unflatten(1, (count, size))

    def spread(self, values: Tensor) -> Tensor:
        """Slots (B, G, P, N) back to their bytes (B, L, N)."""
        flat = values.flatten(1, 2)
        return flat.gather(1, self.index[..., None].expand(-1, -1, flat.shape[-1]))


class PatchIn(nn.Module):
    """The bytes of a patch side by side, and which of its slots are filled, as one position of the trunk."""

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        self.slot = nn.Linear(config.patch_size, byte_width(config), bias=False)  # one vector a slot
        self.join = nn.Linear(config.patch_size * byte_width(config), config.hidden_size, bias=False)

    def forward(self, values: Tensor, grouping: Grouping) -> tuple[Tensor, Tensor]:
        """Bytes (B, L, N) -> patches (B, G, W), and the bytes in their slots (B, G, P, N)."""
        slots = grouping.gather(values) + self.slot.weight.t() * grouping.slots[..., None]
        return self.join(slots.flatten(2)), slots


class PatchOut(nn.Module):
    """Patches back to bytes: each byte attends to those of its own patch and of the two beside it (one block, modulated)."""

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        width, size = byte_width(config), config.patch_size
        self.heads, self.head_dim = width // config.head_dim, config.head_dim
        self.split = nn.Linear(config.hidden_size, size * width, bias=False)
        self.trunk_norm = RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.norm = RMSNorm(width, eps=config.rms_norm_eps, elementwise_affine=False)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.o_proj = nn.Linear(width, width, bias=False)
        self.distance = nn.Linear(3 * size, self.heads * size, bias=False)  # weight: bias of each pair of slots
        self.gate_up_proj = nn.Linear(width, 4 * width, bias=False)
        self.down_proj = nn.Linear(2 * width, width, bias=False)
        self.condition = nn.Linear(config.condition_size, 4 * width)

    def forward(self, trunk: Tensor, slots: Tensor, condition: Tensor, grouping: Grouping) -> Tensor:
        """Computes.

        Args:
            trunk: (B, G, W), out of the trunk's blocks.
            slots: (B, G, P, N), from `PatchIn`.
            condition: (B, condition_size).
            grouping: the same as of `PatchIn`.

        Returns:
            (B, L, N).
        """
        size = slots.shape[2]
        hidden = slots + self.split(self.trunk_norm(trunk)).unflatten(-1, (size, -1))
        modulation = self.condition(F.silu(condition))[:, None, None]
        shift_a, scale_a, shift_f, scale_f = modulation.chunk(4, dim=-1)
        hidden = hidden + self._attend(self.norm(hidden) * (1 + scale_a) + shift_a, grouping)
        gate, up = self.gate_up_proj(self.norm(hidden) * (1 + scale_f) + shift_f).chunk(2, dim=-1)
        return grouping.spread(hidden + self.down_proj(F.silu(gate) * up))

    def _attend(self, hidden: Tensor, grouping: Grouping) -> Tensor:
        batch, count, size, width = hidden.shape
        query, key, value = self.qkv(hidden).chunk(3, dim=-1)
        # normalised before each is laid beside its neighbours, three times
        key = F.rms_norm(key.unflatten(-1, (self.heads, self.head_dim)), (self.head_dim,)).flatten(-2)

        def heads(x: Tensor) -> Tensor:
            return x.flatten(0, 1).unflatten(-1, (self.heads, self.head_dim)).transpose(1, 2)

        seen = _beside(grouping.slots[..., None])[..., 0]  # (B, G, 3 P)
        places = grouping.places[..., None, None].expand(-1, -1, size, 1)
        offset = _beside(places)[..., 0] - places[:, :, :1, 0]
        expected = torch.arange(-1, 2, device=hidden.device).repeat_interleave(size)
        seen = seen & (offset == expected)
        bias = self.distance.weight.view(self.heads, size, 3 * size).to(query.dtype)
        hidden_from = torch.where(seen, 0.0, torch.finfo(query.dtype).min / 2).to(query.dtype)
        mask = bias + hidden_from.flatten(0, 1)[:, None, None]
        mixed = F.scaled_dot_product_attention(
            F.rms_norm(heads(query), (self.head_dim,)),
            heads(_beside(key)),
            heads(_beside(value)),
            attn_mask=mask,
        )
        return self.o_proj(mixed.transpose(1, 2).flatten(2)).view(batch, count, size, width)


def _beside(x: Tensor) -> Tensor:
    """Slots (B, G, P, C) of each patch, with those of the patch before and behind: (B, G, 3 P, C); zeros beyond the ends."""
    none = torch.zeros_like(x[:, :1])
    return torch.cat((torch.cat((none, x[:, :-1]), 1), x, torch.cat((x[:, 1:], none), 1)), dim=2)
