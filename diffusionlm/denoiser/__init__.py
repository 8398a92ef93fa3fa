"""The network: configuration, model, attention, positions, experts, Perceiver latents, memory."""

from diffusionlm.denoiser.configuration import DenoiserConfig
from diffusionlm.denoiser.memory import ContextMemory
from diffusionlm.denoiser.model import CANVAS, CONCEPT, PROMPT, RETRIEVED, DenoiserOutput, SpanDenoiser
from diffusionlm.denoiser.weights import check_finite

__all__ = [
    "CANVAS",
    "CONCEPT",
    "PROMPT",
    "RETRIEVED",
    "ContextMemory",
    "DenoiserConfig",
    "DenoiserOutput",
    "SpanDenoiser",
    "check_finite",
]
