"""Many phrases in one call: they all occur, whatever the other rules, the seed and the posterior; orders differ."""

import random

import pytest
import torch

from diffusionlm.diffusion import NoisyEmbeddings
from diffusionlm.guidance import Length, Phrases, Regex, UnsatisfiableConstraint, compose
from diffusionlm.guidance.constraints.many_phrases import ManyPhrases
from diffusionlm.guidance.testing.toy import ToyLayout, ToyModel, toy_vocabulary

WORDS = [s.decode().strip() for s in toy_vocabulary().surfaces if s.startswith(b" ") and s.strip().isalpha()]


def texts_of(rules, layout, sharpness, seeds):
    vocabulary = toy_vocabulary()
    model = ToyModel(vocabulary, layout)
    steering = compose(rules, vocabulary)
    steering.check([layout], [model.allowed])
    rows = len(seeds)
    allowed = model.allowed.expand(rows, -1, -1)
    noise = torch.randn(rows, layout.length, len(vocabulary), generator=torch.Generator().manual_seed(seeds[0]))
    log_p = (sharpness * noise).masked_fill(~allowed, -torch.inf).log_softmax(-1)
    mask = torch.ones(rows, layout.length, dtype=torch.bool)
    session = steering.begin([layout] * rows, allowed, mask, model.embeddings, seeds, 1)
    assert isinstance(session.joint, ManyPhrases)
    guided = session.guide(log_p, NoisyEmbeddings(torch.zeros(rows, layout.length, model.dim), mask), 0.0, 0.5, 0, None)
    torch.testing.assert_close(guided.probs.sum(-1), torch.ones(rows, layout.length), rtol=1e-3, atol=1e-3)
    ids = guided.best()
    _, certificates = session.report(ids)
    assert all(all(held.values()) for held in certificates)
    texts = [layout.assemble(row.tolist(), toy_vocabulary())[0] for row in ids]
    return texts


@pytest.mark.parametrize("seed", range(12))
def test_all_phrases_and_all_other_rules_hold(seed):
    rng = random.Random(seed)
    phrases = rng.sample(WORDS, rng.choice([5, 6, 7]))
    others = [
        [],
        [Length(words=(10, 14))],
        [Regex(forbid=r"\d")],
        [Phrases(exclude=[rng.choice([word for word in WORDS if word not in phrases])])],
        [Length(words=12), Regex(forbid="!")],
    ]
    rest = others[seed % len(others)]
    layout = ToyLayout(rng.choice(["", "The "]), rng.choice(["", "."]), 16)
    for text in texts_of([Phrases(include=phrases), *rest], layout, 10 ** rng.uniform(-1, 1.5), list(range(8))):
        assert all(word in text for word in phrases)


def test_the_order_is_the_rows_own():
    texts = texts_of([Phrases(include=WORDS[:5])], ToyLayout("", "", 14), 0.1, list(range(16)))
    orders = {tuple(sorted(range(5), key=lambda k, text=text: text.index(WORDS[k]))) for text in texts}
    assert len(orders) >= 6


def test_rules_that_cannot_be_met_are_refused_before_work():
    layout = ToyLayout("", "", 12)
    model = ToyModel(toy_vocabulary(), layout)
    for rules, message in (
        ([Phrases(include=WORDS[:6]), Phrases(exclude=[WORDS[2]])], "contradict each other"),
        ([Phrases(include=WORDS[:6]), Length(words=3)], "Give it more room"),
    ):
        steering = compose(rules, toy_vocabulary())
        with pytest.raises(UnsatisfiableConstraint, match=message):
            steering.check([layout], [model.allowed])
    short = ToyLayout("", "", 4)
    steering = compose([Phrases(include=WORDS[:6])], toy_vocabulary())
    with pytest.raises(UnsatisfiableConstraint, match="holds all of"):
        steering.check([short], [ToyModel(toy_vocabulary(), short).allowed])
