"""Rules hold always: ten thousand draws of rule, posterior and seed, decoded and read by the language of characters."""

import random

import pytest
import torch

from diffusionlm.diffusion import NoisyEmbeddings
from diffusionlm.guidance import Length, Phrases, Regex, UnsatisfiableConstraint, compose
from diffusionlm.guidance.testing.toy import ToyLayout, ToyModel, toy_vocabulary

DRAWS = 10_000
ROWS = 200
WORDS = [surface.decode().strip() for surface in toy_vocabulary().surfaces if surface]


def random_rule(rng):
    kind = rng.randrange(6)
    if kind == 0:
        return Phrases(include=rng.sample(WORDS, rng.choice([1, 1, 2])), whole_words=rng.random() < 0.5)
    if kind == 1:
        return Phrases(
            exclude=rng.sample(WORDS, rng.randrange(1, 12)), case_sensitive=rng.random() < 0.5, whole_words=False
        )
    if kind == 2:
        least = rng.randrange(3, 7)
        return Length(words=(least, least + rng.randrange(3)))
    if kind == 3:
        return Length(tokens=rng.randrange(2, 8))
    if kind == 4:
        return Regex(forbid=rng.choice([r"\d", "[aeiou]{2}", r"\b\w{2}\b", "e$", "é|!"]))
    return Regex(require=rng.choice([r"\w+\.$", "^The", r"[A-Z]\w+ [a-z]+", r"(pub|food) (is|was)", "(ab|e)(s|ed)"]))


@pytest.mark.parametrize("part", range(4))
def test_no_draw_violates_its_rules(part):
    rng = random.Random(part)
    vocabulary = toy_vocabulary()
    decoded = unsatisfiable = attempt = 0
    while decoded < DRAWS // 4:
        attempt += 1
        layout = ToyLayout(
            rng.choice(["", "The ", "call "]), rng.choice(["", ".", " by the river"]), rng.randrange(4, 9)
        )
        model = ToyModel(vocabulary, layout)
        steering = compose([random_rule(rng) for _ in range(rng.choice([1, 1, 2, 3]))], vocabulary)
        try:
            steering.check([layout], [model.allowed])
        except UnsatisfiableConstraint:
            unsatisfiable += 1
            continue
        generator = torch.Generator().manual_seed(1000 * part + attempt)
        sharpness = 10 ** rng.uniform(-1, 2)  # from nearly flat to nearly certain of something that breaks the rules
        logits = sharpness * torch.randn(ROWS, layout.length, len(vocabulary), generator=generator)
        allowed = model.allowed.expand(ROWS, -1, -1)
        log_p = logits.masked_fill(~allowed, -torch.inf).log_softmax(-1)
        z = torch.zeros(ROWS, layout.length, model.dim)
        mask = torch.ones(ROWS, layout.length, dtype=torch.bool)
        session = steering.begin([layout] * ROWS, allowed, mask, model.embeddings, list(range(ROWS)), 1)
        guided = session.guide(log_p, NoisyEmbeddings(z, mask), 0.0, 0.5, 0, None)
        assert torch.isfinite(guided.log_probs).any(-1).all()
        ids = (
            guided.best()
            if attempt % 2
            else guided.draw(torch.rand(mask.shape, generator=generator, dtype=torch.float64))
        )
        chosen, certificates = session.report(ids)
        assert all(held and all(held.values()) for held in certificates)
        assert allowed.gather(2, ids[..., None]).all()
        decoded += len(chosen)
    assert unsatisfiable < attempt  # most rules can be met, so the draws say something
