"""Images and sounds as memory: what a checkpoint reads of them, and the small encoder that it reads them with.

Both have one structure: patches of raw values, or features of another encoder, then a linear map, a few transformer blocks,
and vectors in the space of token embeddings, which the denoiser's own blocks encode as they encode any memory. Sources: Jaegle
et al. 2021 ("Perceiver IO", raw values of any kind at the input), Dosovitskiy et al. 2021 ("ViT", patches).

Shape letters: B pieces, N patches, C values of a patch, D embedding size.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffusionlm.denoiser.contract import SEGMENTS
from diffusionlm.errors import suggestion

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST_POSITIONS = 4096


@dataclass(frozen=True)
class MediaSettings:
    """What every encoder has.

    Attributes:
        encoder: name or folder of a frozen encoder of transformers that comes before ours; None: raw patches.
        features: C of that encoder; known once it has been loaded.
        checksum: of its weights.
        positions: N, memory positions at most; for raw patches it follows from the others.
        layers: transformer blocks of ours.
        size: width of our blocks.
        heads: of our blocks.
    """

    encoder: str | None = None
    features: int = 0
    checksum: str | None = None
    positions: int = 64
    layers: int = 2
    size: int = 128
    heads: int = 4

    kind = ""

    def __post_init__(self) -> None:
        for name in self._counts():
            value, least = getattr(self, name), 0 if name == "features" else 1
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"{self.kind}_encoder.{name} must be an integer of at least {least}, got {value!r}.")
        if self.encoder is not None and (not isinstance(self.encoder, str) or not self.encoder):
            raise ValueError(f"{self.kind}_encoder.encoder must be a name or a folder, got {self.encoder!r}.")
        if self.size % self.heads:
            raise ValueError(f"{self.kind}_encoder.size ({self.size}) must be a multiple of its heads ({self.heads}).")
        if self.most > _MOST_POSITIONS:
            raise ValueError(
                f"{self.kind}_encoder makes {self.most} positions of memory, at most {_MOST_POSITIONS} are allowed: give a "
                "larger patch."
            )

    def _counts(self) -> tuple[str, ...]:
        return ("features", "positions", "layers", "size", "heads")

    @property
    def values(self) -> int:
        """C, the values of a patch."""
        return self.features

    @property
    def most(self) -> int:
        """N at most."""
        return self.positions

    def to_dict(self) -> dict[str, Any]:
        """As `read_settings` takes it."""
        return asdict(self)


@dataclass(frozen=True)
class ImageSettings(MediaSettings):
    """An image of one size in square patches.

    Attributes:
        height: pixels.
        width: pixels.
        channels: 1 grey, 3 colour.
        patch: side of a patch, pixels.
    """

    height: int = 32
    width: int = 32
    channels: int = 3
    patch: int = 8

    kind = "image"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.channels not in (1, 3):
            raise ValueError(f"image_encoder.channels must be 1 (grey) or 3 (colour), got {self.channels!r}.")
        if self.encoder is None and (self.height % self.patch or self.width % self.patch):
            raise ValueError(
                f"image_encoder.patch ({self.patch}) must divide height ({self.height}) and width ({self.width})."
            )

    def _counts(self) -> tuple[str, ...]:
        return (*super()._counts(), "height", "width", "channels", "patch")

    @property
    def values(self) -> int:
        """See `MediaSettings`."""
        return self.features if self.encoder else self.patch**2 * self.channels

    @property
    def most(self) -> int:
        """See `MediaSettings`."""
        return self.positions if self.encoder else self.height * self.width // self.patch**2


@dataclass(frozen=True)
class SoundSettings(MediaSettings):
    """A sound of at most some seconds in patches of samples.

    Attributes:
        rate: samples a second.
        seconds: of the longest sound.
        patch: samples of a patch, an even number.
        spectrum: the values of a patch are two short spectra, log power, less their mean over the sound; False: the samples.
    """

    rate: int = 8000
    seconds: float = 1.0
    patch: int = 256
    spectrum: bool = True

    kind = "sound"

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.seconds, bool) or not isinstance(self.seconds, int | float) or not 0 < self.seconds <= 600:
            raise ValueError(f"sound_encoder.seconds must lie in (0, 600], got {self.seconds!r}.")
        if not isinstance(self.spectrum, bool):
            raise ValueError(f"sound_encoder.spectrum must be true or false, got {self.spectrum!r}.")
        if self.patch % 2:
            raise ValueError(f"sound_encoder.patch must be even, got {self.patch}.")

    def _counts(self) -> tuple[str, ...]:
        return (*super()._counts(), "rate", "patch")

    @property
    def values(self) -> int:
        """See `MediaSettings`."""
        if self.encoder:
            return self.features
        return 2 * (self.patch // 2 + 1) if self.spectrum else self.patch

    @property
    def most(self) -> int:
        """See `MediaSettings`."""
        return self.positions if self.encoder else -(-int(self.seconds * self.rate) // self.patch)


_KINDS: dict[str, type[MediaSettings]] = {"image": ImageSettings, "sound": SoundSettings}
KINDS = tuple(_KINDS)


def read_settings(kind: str, given: Any) -> MediaSettings:
    """Settings of an encoder from ``model.image_encoder`` or ``model.sound_encoder``.

    Raises:
        ValueError: if one is unknown or out of range.
    """
    if not isinstance(given, dict):
        raise ValueError(f"{kind}_encoder must be a mapping such as {{patch: 8}}, or null for none; got {given!r}.")
    known = [field.name for field in fields(_KINDS[kind])]
    for name in given:
        if name not in known:
            raise ValueError(f"There is no setting '{kind}_encoder.{name}'; {suggestion(str(name), known)}")
    return _KINDS[kind](**given)


def segment_of(kind: str) -> int:
    """The segment of a kind, an index into ``SEGMENTS``."""
    return SEGMENTS.index(kind)


class MediaBlock(nn.Module):
    """Attention among the patches of a piece, then a feed-forward; RMS norms before both."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv_proj = nn.Linear(width, 3 * width, bias=False)
        self.o_proj = nn.Linear(width, width, bias=False)
        self.gate_up_proj = nn.Linear(width, 4 * width, bias=False)
        self.down_proj = nn.Linear(2 * width, width, bias=False)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """(B, N, W), (B, N) bool -> (B, N, W)."""
        width = hidden.shape[-1:]
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.qkv_proj(F.rms_norm(hidden, width)).chunk(3, dim=-1)
        )
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None])
        hidden = hidden + self.o_proj(mixed.transpose(1, 2).flatten(2))
        gate, up = self.gate_up_proj(F.rms_norm(hidden, width)).chunk(2, dim=-1)
        return hidden + self.down_proj(F.silu(gate) * up)


class MediaEncoder(nn.Module):
    """Patches of one kind to vectors of an embedding's length, sqrt(D).

    Args:
        settings: of the kind.
        embedding_size: D.
    """

    def __init__(self, settings: MediaSettings, embedding_size: int) -> None:
        super().__init__()
        if not settings.values:
            raise ValueError(
                f"The encoder {settings.encoder!r} has not been looked at, so the length of its features is unknown; give "
                f"{settings.kind}_encoder.features=..., or train with 'diffusionlm train', which loads it."
            )
        self.settings = settings
        self.patch_in = nn.Linear(settings.values, settings.size)
        self.places = nn.Parameter(torch.empty(settings.most, settings.size))
        self.blocks = nn.ModuleList(MediaBlock(settings.size, settings.heads) for _ in range(settings.layers))
        self.out = nn.Linear(settings.size, embedding_size, bias=False)

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """Encodes.

        Args:
            values: (B, N, C).
            mask: (B, N) bool, patches in use; a row may have none.

        Returns:
            (B, N, D).

        Raises:
            ValueError: if there are too many patches, or C is another.
        """
        own = self.settings
        if values.dim() != 3 or values.shape[-1] != own.values or values.shape[1] > own.most:
            raise ValueError(
                f"The {own.kind} encoder takes up to {own.most} patches of {own.values} values, got "
                f"{tuple(values.shape[1:])}."
            )
        hidden = self.patch_in(values.to(self.patch_in.weight.dtype)) + self.places[: values.shape[1]]
        seen = mask | ~mask.any(1, keepdim=True)
        for block in self.blocks:
            hidden = block(hidden, seen)
        out = self.out(F.rms_norm(hidden, hidden.shape[-1:]))
        return F.rms_norm(out, out.shape[-1:])


def make_encoders(config: Mapping[str, Any], embedding_size: int) -> nn.ModuleDict:
    """The encoders that a configuration asks for, by kind."""
    return nn.ModuleDict(
        {kind: MediaEncoder(read_settings(kind, given), embedding_size) for kind, given in config.items()}
    )
