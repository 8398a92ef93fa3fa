"""Lengths are filled with words: no stray spaces, no chains of marks."""

import random

import pytest
import torch

from diffusionlm.diffusion import NoisyEmbeddings
from diffusionlm.guidance import Length, compose
from diffusionlm.guidance.testing.toy import ToyLayout, ToyModel, toy_vocabulary
from diffusionlm.guidance.well_formed import WellFormed

GOOD = [
    "The pub.",
    "It's cheap, and family-friendly!",
    'He said "no".',
    "(20-25), £20.",
    "3.5 stars, 1,000 people at 12:30",
    "Wait... what?!",
    "the Punters' food",
    "e.g. tea",
    "A man--or a cat.",
    "",
]
BAD = [
    " The pub",
    "The pub ",
    "The  pub",
    "a,,b",
    "cheap,food",
    "a - b",
    "The pub ,",
    ",",
    "pub.,",
    "friendly- ",
    "a;; b",
    "x!!!!",
]


@pytest.mark.parametrize("text", GOOD)
def test_text_is_text(text):
    assert WellFormed().broken(text, [(0, len(text))]) == []


@pytest.mark.parametrize("text", BAD)
def test_what_is_none_is_seen_where_it_was_generated_and_left_where_it_was_known(text):
    assert WellFormed().broken(text, [(0, len(text))])
    assert WellFormed().broken(text, []) == []


@pytest.mark.parametrize("rule", [{"words": 1}, {"words": (1, 3)}, {"words": 5}, {"characters": (4, 9)}])
def test_a_length_is_filled_with_words(rule):
    vocabulary = toy_vocabulary()
    layout = ToyLayout("", "", 8)
    model = ToyModel(vocabulary, layout)
    steering = compose([Length(**rule)], vocabulary)
    steering.check([layout], [model.allowed])
    marks = [n for n, surface in enumerate(vocabulary.surfaces) if surface and not surface.strip().isalnum()]
    rng = random.Random(str(rule))
    for trial in range(4):
        noise = torch.randn(8, layout.length, len(vocabulary), generator=torch.Generator().manual_seed(trial))
        noise[..., marks] += rng.choice([0.0, 3.0])  # a network that would fill up with marks
        allowed = model.allowed.expand(8, -1, -1)
        log_p = (3 * noise).masked_fill(~allowed, -torch.inf).log_softmax(-1)
        mask = torch.ones(8, layout.length, dtype=torch.bool)
        session = steering.begin([layout] * 8, allowed, mask, model.embeddings, list(range(8)), 1)
        guided = session.guide(
            log_p, NoisyEmbeddings(torch.zeros(8, layout.length, model.dim), mask), 0.0, 0.5, 0, None
        )
        ids = guided.best()
        _, certificates = session.report(ids)
        for row, held in zip(ids, certificates, strict=True):
            text = vocabulary.decode(row.tolist()).removeprefix(" ")
            assert all(held.values())
            assert text == text.strip()
            assert ",," not in text
            assert all(any(character.isalnum() for character in word) for word in text.split())
