"""`MediaSource`: what images and sounds have in common as sources of memory."""

from __future__ import annotations

import hashlib
from typing import Any, ClassVar

import numpy as np
import torch

from diffusionlm.context.source import Rows, Source, check_readable
from diffusionlm.denoiser import Piece
from diffusionlm.denoiser.media import MediaSettings, read_settings, segment_of


class MediaSource(Source):
    """One image or sound, before the text of every row.

    Args:
        given: what it is read from; see the subclass.
        encoder: for a checkpoint that was trained on features of a transformers encoder: its folder, or (model, processor);
            None loads the one that the checkpoint names.
    """

    kind: ClassVar[str] = ""
    reference = "Dosovitskiy et al. 2021, An image is worth 16x16 words"

    def __init__(self, given: Any, encoder: Any = None) -> None:
        self.given, self.encoder = given, encoder
        self.segment = segment_of(self.kind)
        self.patches: torch.Tensor | None = None
        self._key = ""

    def prepare(self, pipe: Any) -> MediaSource:
        """The image or sound read, checked, and cut into patches.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it cannot be read, or has another shape than the checkpoint reads.
        """
        settings = media_settings(pipe.model, self.kind)
        ready = type(self)(self.given, self.encoder)
        patches = np.ascontiguousarray(read_patches(self.kind, self.given, settings, self.encoder), dtype=np.float32)
        ready.patches = torch.from_numpy(patches)
        ready._key = hashlib.sha256(patches.tobytes()).hexdigest()
        return ready

    def pieces(self, rows: Rows) -> list[list[Piece]]:
        """One piece a row, at the places before the text."""
        assert self.patches is not None
        places = torch.arange(-len(self.patches), 0)
        origin = {"source": self.name, self.kind: describe(self.given)}
        piece = Piece(self.segment, self._key, places, raw=self.patches, origin=origin)
        return [[piece] for _ in rows.rows]

    def to_dict(self) -> dict[str, Any]:
        """See `Source`."""
        return {"name": self.name, self.kind: describe(self.given)}


def media_settings(model: Any, kind: str) -> MediaSettings:
    """What a model reads of a kind.

    Raises:
        ValueError: if it has no encoder for it.
    """
    check_readable(model, segment_of(kind), kind)
    return read_settings(kind, model.denoiser.config.media[kind])


def read_patches(kind: str, given: Any, settings: MediaSettings, encoder: Any = None) -> np.ndarray:
    """Patches (N, C) float32 of an image or a sound, or the features that another encoder makes of it.

    Args:
        kind: "image" or "sound".
        given: as `Image` or `Sound` take it.
        settings: of the kind.
        encoder: see `MediaSource`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it cannot be read, or has another shape.
    """
    from diffusionlm.context.image import image_patches, read_image
    from diffusionlm.context.sound import read_sound, sound_patches

    if settings.encoder is not None:
        from diffusionlm.context.foreign_encoder import foreign_encoder

        return foreign_encoder(kind, settings, encoder).features(given)
    if encoder is not None:
        raise ValueError(f"This checkpoint reads {kind}s with an encoder of its own; leave encoder={encoder!r} out.")
    if kind == "image":
        return image_patches(read_image(given), settings)
    return sound_patches(*read_sound(given, settings.rate), settings)  # type: ignore[attr-defined]


def describe(given: Any) -> str:
    """What an image or a sound was given as, in a few characters."""
    if isinstance(given, bytes | bytearray):
        return f"{len(given)} bytes"
    if isinstance(given, tuple | list | dict) or hasattr(given, "__array__"):
        values: Any = given[0] if isinstance(given, tuple) else given.get("array") if isinstance(given, dict) else given
        return f"array {np.shape(values)}"
    return str(given)
