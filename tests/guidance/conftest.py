"""A tiny pipeline with random weights: what guidance does must not depend on what the network has learned."""

import pytest

SENTENCES = [
    "The Mill is a cheap Italian pub near the river.",
    "The Eagle is a family friendly coffee shop in the city centre.",
    "Blue Spice serves expensive Japanese food and has a low customer rating.",
    "Call 555-1234 or write to jane.doe@example.com for a table.",
    "Near The Portland Arms, The Punter is a pub with a price range of less than 20 pounds.",
    "It is not family friendly, but the food is fast and cheap.",
]


@pytest.fixture(scope="session")
def tokenizer():
    from diffusionlm.text import TextTokenizer

    return TextTokenizer.train_bpe(SENTENCES * 4, vocab_size=420)


@pytest.fixture(scope="session")
def vocabulary(tokenizer):
    return tokenizer.vocabulary


@pytest.fixture(scope="session")
def pipe(tokenizer):
    import torch

    from diffusionlm import DenoiserConfig, DiffusionLMPipeline, SpanDenoiser
    from diffusionlm.diffusion import InformationSchedule

    torch.manual_seed(1)
    config = DenoiserConfig(
        vocab_size=tokenizer.vocab_size,
        embedding_size=16,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=48,
        condition_size=16,
        max_position_embeddings=64,
        pad_token_id=tokenizer.pad_id,
    )
    denoiser = SpanDenoiser(config).eval()
    torch.nn.init.normal_(denoiser.head.weight, std=0.2)  # an untrained head starts at zero: all texts alike
    pipeline = DiffusionLMPipeline(
        denoiser, tokenizer, schedule=InformationSchedule(), max_length=12, max_span_length=6
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture
def clean_registry():
    """What a test registers is forgotten after it."""
    from diffusionlm.guidance.registry import plugins as registry

    before = dict(registry.PLUGINS._registered)
    yield
    registry.PLUGINS._registered.clear()
    registry.PLUGINS._registered.update(before)
