"""What every test shares: no network, its own core, and random numbers that do not depend on the order of the tests."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("any machine", deadline=None)  # no test depends on the speed of a machine
settings.load_profile("any machine")

# Set before anything imports PyTorch or a hub client, and inherited by the processes that tests start.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
if "PYTEST_XDIST_WORKER" in os.environ:  # several workers with all threads each would fight for the cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_configure(config: pytest.Config) -> None:
    """Markers."""
    config.addinivalue_line("markers", "site: reads the built documentation (make docs)")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Seed PyTorch's global generator, where a test has loaded PyTorch at all."""
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of the repository."""
    return Path(__file__).resolve().parent.parent


SENTENCES = [
    "The Mill is a cheap pub near the river.",
    "The Vaults serves Italian food in the city centre.",
    "Near Café Rouge there is a coffee shop called The Eagle.",
    "Prices start at £20 and children are welcome.",
    "It has a customer rating of 5 out of 5.",
]


@pytest.fixture(scope="session")
def tiny_tokenizer():
    """Byte-level BPE trained on `SENTENCES`; 320 tokens."""
    from diffusionlm.text import TextTokenizer

    return TextTokenizer.train_bpe(SENTENCES * 3, 320)


@pytest.fixture(scope="session")
def tiny_pipe_parts(tiny_tokenizer):
    """(denoiser, tokenizer, schedule) of a small random model whose head says something."""
    import torch

    from diffusionlm.denoiser import DenoiserConfig, SpanDenoiser
    from diffusionlm.diffusion import InformationSchedule

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        config = DenoiserConfig(
            vocab_size=tiny_tokenizer.vocab_size,
            embedding_size=16,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=48,
            condition_size=16,
            max_position_embeddings=64,
        )
        denoiser = SpanDenoiser(config).eval()
        torch.nn.init.normal_(denoiser.head.weight, std=0.5)
        denoiser.head.bias.data[tiny_tokenizer.pad_id] = 4.0  # so that open spans do end
    return denoiser, tiny_tokenizer, InformationSchedule(mu=1.0, beta=1.0)


@pytest.fixture
def tiny_pipe(tiny_pipe_parts):
    """A pipeline over the small random model, without a progress bar."""
    from diffusionlm.pipeline import DiffusionLMPipeline

    denoiser, tokenizer, schedule = tiny_pipe_parts
    pipe = DiffusionLMPipeline(denoiser, tokenizer, "ancestral", schedule, max_length=24, max_span_length=6)
    pipe.set_progress_bar_config(disable=True)
    return pipe
