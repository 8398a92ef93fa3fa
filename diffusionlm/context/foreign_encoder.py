"""Frozen encoders of transformers (CLIP, ViT, Whisper, wav2vec 2.0, ...) in front of a checkpoint's own."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from diffusionlm.context.encoders import fingerprint
from diffusionlm.context.image import read_image
from diffusionlm.context.sound import read_sound, resample
from diffusionlm.denoiser.media import MediaSettings

_RATE = 16_000  # of processors that name none


class ForeignEncoder:
    """An encoder of transformers with its processor.

    Args:
        kind: "image" or "sound".
        model: of transformers; of one for several kinds (CLIP, Whisper) the part that reads this kind is taken.
        processor: its image processor or feature extractor.
        positions: N, to which longer sequences of features are averaged.
        name: for messages.

    Raises:
        ValueError: if the model has no part for the kind.
    """

    def __init__(self, kind: str, model: Any, processor: Any, positions: int, name: str = "encoder") -> None:
        self.kind, self.processor, self.positions, self.name = kind, processor, positions, name
        self.model = _part(kind, model).eval()
        self.checksum = fingerprint(self.model)

    @torch.no_grad()
    def features(self, given: Any) -> np.ndarray:
        """Last hidden states (N, C) float32 of an image or a sound, averaged to at most ``positions``.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it cannot be read.
        """
        if self.kind == "image":
            pixels = (read_image(given) * 255).round().astype(np.uint8)
            pixels = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
            inputs = self.processor(images=pixels, return_tensors="pt")
        else:
            rate = int(getattr(self.processor, "sampling_rate", _RATE))
            samples, own = read_sound(given, rate)
            inputs = self.processor(resample(samples, own, rate), sampling_rate=rate, return_tensors="pt")
        key = self.model.main_input_name if self.model.main_input_name in inputs else next(iter(inputs))
        weight = next(self.model.parameters())
        hidden = self.model(inputs[key].to(weight.device, weight.dtype)).last_hidden_state.float().cpu()
        if hidden.dim() == 4:  # a map of a convolutional network
            hidden = hidden.flatten(2).transpose(1, 2)
        if hidden.shape[1] > self.positions:
            hidden = torch.nn.functional.adaptive_avg_pool1d(hidden.transpose(1, 2), self.positions).transpose(1, 2)
        return torch.nn.functional.layer_norm(hidden[0], hidden.shape[-1:]).numpy()


def foreign_encoder(kind: str, settings: MediaSettings, given: Any = None) -> ForeignEncoder:
    """The encoder that settings name, or another copy of it, checked against them.

    Args:
        kind: "image" or "sound".
        settings: of the kind; those without features take any.
        given: a folder or name, (model, processor), or None for what the settings name.

    Raises:
        OSError: if it cannot be found.
        ValueError: if it is another encoder than the checkpoint was trained with.
    """
    if isinstance(given, tuple) and len(given) == 2:
        encoder = ForeignEncoder(kind, *given, settings.positions)
    elif given is None or isinstance(given, str):
        encoder = _loaded(kind, given or str(settings.encoder), settings.positions)
    else:
        raise ValueError(f"encoder must be a name, a folder, or (model, processor), got {given!r}.")
    if settings.checksum is not None and encoder.checksum != settings.checksum:
        raise ValueError(
            f"The checkpoint was trained on features of {settings.encoder!r} ({settings.checksum}), this encoder is another "
            f"({encoder.checksum}): give the same weights with encoder=FOLDER."
        )
    return encoder


def complete(kind: str, settings: MediaSettings, given: Any = None) -> MediaSettings:
    """Settings with the size of the features and the checksum of the encoder that they name."""
    encoder = foreign_encoder(kind, settings, given)
    blank: Any = np.zeros((32, 32, 3), np.uint8) if kind == "image" else np.zeros(1600, np.float32)
    return replace(settings, features=encoder.features(blank).shape[1], checksum=encoder.checksum)


@lru_cache(maxsize=2)
def _loaded(kind: str, name: str, positions: int) -> ForeignEncoder:
    from transformers import AutoFeatureExtractor, AutoImageProcessor, AutoModel

    processors = AutoImageProcessor if kind == "image" else AutoFeatureExtractor
    try:
        model = AutoModel.from_pretrained(name, use_safetensors=True)
        processor = processors.from_pretrained(name)
    except (OSError, ValueError, ImportError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ValueError(
            f"The {kind} encoder {name!r} cannot be loaded by transformers ({reason.rstrip('.')}): give a folder with "
            "config.json, model.safetensors and preprocessor_config.json."
        ) from error
    return ForeignEncoder(kind, model, processor, positions, name)


def _part(kind: str, model: Any) -> Any:
    names = ("vision_model", "vision_tower", "visual") if kind == "image" else ("encoder", "audio_model")
    whole = type(model).__name__
    for name in names if hasattr(model, "text_model") or hasattr(model, "decoder") else ():
        if hasattr(model, name):
            return getattr(model, name)
    if not isinstance(model, torch.nn.Module) or hasattr(model, "lm_head"):
        raise ValueError(f"{whole} is no encoder of {kind}s; give a model of transformers with hidden states.")
    return model
