"""The network: configuration, model, attention, positions, experts, Perceiver latents, memory."""

from diffusionlm.denoiser.configuration import DenoiserConfig
from diffusionlm.denoiser.contract import (
    CANVAS,
    CONCEPT,
    IMAGE,
    PROMPT,
    RETRIEVED,
    SOUND,
    Context,
    DiffusionModel,
    Piece,
    Places,
)
from diffusionlm.denoiser.memory import ContextMemory
from diffusionlm.denoiser.model import DenoiserOutput, SpanDenoiser
from diffusionlm.denoiser.span_model import GaussianSpanModel, MaskedSpanModel, span_model
from diffusionlm.denoiser.weights import check_finite

__all__ = [
    "CANVAS",
    "CONCEPT",
    "IMAGE",
    "PROMPT",
    "RETRIEVED",
    "SOUND",
    "Context",
    "ContextMemory",
    "DenoiserConfig",
    "DenoiserOutput",
    "DiffusionModel",
    "GaussianSpanModel",
    "MaskedSpanModel",
    "Piece",
    "Places",
    "SpanDenoiser",
    "check_finite",
    "span_model",
]
