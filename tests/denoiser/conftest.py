"""Tiny denoisers whose every parameter has an effect."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from diffusionlm.denoiser import DenoiserConfig, SpanDenoiser

VOCABULARY, EMBEDDING = 24, 8


def build(**settings: Any) -> SpanDenoiser:
    defaults = {
        "vocab_size": VOCABULARY,
        "embedding_size": EMBEDDING,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 48,
        "condition_size": 16,
    }
    torch.manual_seed(0)
    model = SpanDenoiser(DenoiserConfig(**{**defaults, **settings}))
    with torch.no_grad():
        for parameter in model.parameters():  # the head and the modulation start at zero
            if not parameter.any():
                parameter.normal_(std=0.3)
    return model.eval()


@pytest.fixture
def tiny() -> Callable[..., SpanDenoiser]:
    """Builds a denoiser of 2 blocks, width 32, 24 tokens in 8 dimensions; any setting may be given."""
    return build
