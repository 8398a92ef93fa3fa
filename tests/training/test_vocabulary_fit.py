"""A vocabulary that is larger than its texts support is told, with a size that fits."""

import re

import numpy as np
import pytest

from diffusionlm.training.corpus import TokenCorpus
from diffusionlm.training.run import vocabulary_warning


def corpus(tokens):
    empty = np.zeros(0, dtype=np.int32)
    return TokenCorpus(np.zeros(tokens, dtype=np.int32), np.array([0, tokens]), empty, np.array([0, 0]))


@pytest.mark.parametrize(
    ("tokens", "vocab_size", "asked", "said"),
    [
        (20_000, 1_000, 1_000, None),
        (20_000, 1_000, None, None),
        (20_000, 1_000, 4_000, "support a vocabulary of 1,000, not the 4,000 asked for"),
        (10_000, 1_000, 1_000, "10 for each of the 1,000"),
        (10_000, 1_000, 4_000, "vocab_size=500, or more text"),
        (1_000, 300, None, "better give more text"),
    ],
)
def test_what_is_said_of_a_vocabulary(tokens, vocab_size, asked, said):
    found = vocabulary_warning(corpus(tokens), vocab_size, {"kind": "bpe", "vocab_size": asked})
    assert (found is None) == (said is None)
    assert said is None or re.search(said, found)


def test_nothing_is_said_of_the_tokens_of_a_checkpoint():
    assert vocabulary_warning(corpus(100), 1_000, {"kind": "init", "vocab_size": 8_192}) is None
