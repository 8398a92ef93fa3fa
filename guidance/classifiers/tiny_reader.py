"""A tiny reader with random weights for any vocabulary, for examples and tests that must not train one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from diffusionlm.guidance.classifiers.reader import Reader
    from diffusionlm.text import Vocabulary


def tiny_reader(vocabulary: Vocabulary, seed: int = 0) -> Reader:
    """A reader of one layer, width 16, with the text label "toxicity" and the token labels "O" and "toxic".

    Args:
        vocabulary: whose tokens it reads.
        seed: of its weights. The caller's random numbers are left alone.
    """
    from diffusionlm.guidance.classifiers.reader import Reader, ReaderConfig

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        reader = Reader(
            ReaderConfig(
                vocab_size=len(vocabulary),
                vocabulary_fingerprint=vocabulary.of_the_model,
                sequence_labels=["toxicity"],
                token_labels=["O", "toxic"],
                hidden_size=16,
                num_hidden_layers=1,
                num_attention_heads=2,
                pad_token_id=vocabulary.pad_id,
            )
        )
    return reader.eval().requires_grad_(False)
