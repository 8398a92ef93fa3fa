"""Concepts: learned with the weights frozen, saved with a card, refused elsewhere, and without effect where not asked for."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from diffusionlm.context import Concept
from diffusionlm.context.concept import LearnedConcept
from diffusionlm.context.inversion import _loss

EXAMPLES = ["The Mill is a cheap pub near the river.", "The Mill serves Italian food in the city centre."]


@pytest.fixture
def learned(tiny_pipe):
    return tiny_pipe.learn_concept("mill", EXAMPLES, vectors=2, steps=3, batch_size=4)


def written(pipe, text="The [SPAN:5] is [SPAN].", **settings):
    return pipe(text, steps=3, seed=1, **settings).texts


def test_learning_lowers_the_loss_and_touches_no_weight(tiny_pipe):
    before = {name: value.clone() for name, value in tiny_pipe.denoiser.state_dict().items()}
    required = [weight.requires_grad for weight in tiny_pipe.denoiser.parameters()]
    start = tiny_pipe.learn_concept("start", EXAMPLES[:1], vectors=3, steps=1, learning_rate=1e-9)
    settings = {"vectors": 3, "steps": 40, "learning_rate": 0.3, "batch_size": 8}
    seen = []
    learned = tiny_pipe.learn_concept("mill", EXAMPLES[:1], on_step=lambda step, loss: seen.append(step), **settings)
    assert seen == list(range(40))

    def loss(concept):  # under the same noise for both
        ids, rng = [tiny_pipe.tokenizer.encode(EXAMPLES[0])] * 8, np.random.default_rng(5)
        with torch.no_grad():
            return sum(float(_loss(tiny_pipe, ids, concept.vectors, step, 77, rng)) for step in range(6))

    assert loss(learned) < loss(start)
    assert all(torch.equal(value, before[name]) for name, value in tiny_pipe.denoiser.state_dict().items())
    assert [weight.requires_grad for weight in tiny_pipe.denoiser.parameters()] == required


def test_calls_without_it_are_bit_identical_before_and_after(tiny_pipe):
    plain = written(tiny_pipe)
    tiny_pipe.learn_concept("mill", EXAMPLES, vectors=2, steps=2, batch_size=2)
    assert written(tiny_pipe) == plain


def test_by_name_in_the_text_by_source_and_by_file_are_one(tiny_pipe, learned, tmp_path):
    path = learned.save(tmp_path)
    assert path.name == "mill.safetensors"
    by_name = written(tiny_pipe, context=[Concept("mill")])
    assert by_name == written(tiny_pipe, "[CONCEPT:mill] The [SPAN:5] is [SPAN].")
    assert by_name == written(tiny_pipe, context=[Concept(path)])
    result = tiny_pipe(["[CONCEPT:mill]", "[SPAN:3]"], steps=1)
    assert [group[0] for group in result.context] == [[{"source": "concept", "name": "mill"}], []]


def test_several_at_once_each_say_something(tiny_pipe, learned):
    tiny_pipe.learn_concept("vaults", EXAMPLES[1:], vectors=3, steps=3, batch_size=2)

    def probs(*names):
        state = next(iter(tiny_pipe.stream("The [SPAN:4] pub.", context=[Concept(n) for n in names], seed=0, steps=1)))
        return state.log_probs

    both = probs("mill", "vaults")
    assert not torch.allclose(both, probs("mill"))
    assert not torch.allclose(both, probs("vaults"))
    result = tiny_pipe("[CONCEPT:mill] [CONCEPT:vaults] [SPAN:3]", steps=1)
    assert [used["name"] for used in result.context[0]] == ["mill", "vaults"]


def test_vectors_are_the_memory_that_tokens_would_be_and_inputs_of_memory_are_read_too(tiny_pipe):
    from dataclasses import replace

    from diffusionlm.context.inversion import _first
    from diffusionlm.denoiser import CONCEPT, PROMPT, Piece, Places, span_model

    model = span_model(tiny_pipe.denoiser)
    ids, at = torch.tensor([5, 6, 7]), torch.arange(-3, 0)
    one = torch.ones(1, 1)
    places = Places(one.bool(), 0 * one.long(), ~one.bool(), (1,))
    encoded = model.condition([[Piece(PROMPT, "ids", at, ids)]], places)
    numbers = model.as_numbers(encoded)[0]
    read = model.condition([[Piece(CONCEPT, "numbers", at, raw=numbers)]], places)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(read.keys, encoded.keys, strict=True))
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(read.values, encoded.values, strict=True))
    assert torch.equal(_first(tiny_pipe, [[5, 6, 7]], 3), numbers)
    learned = tiny_pipe.learn_concept("mill", EXAMPLES, vectors=2, steps=1, batch_size=1)
    older = replace(learned, vectors=torch.randn(2, 16), copies=None)  # in the space of embeddings
    both = tiny_pipe("The [SPAN:2]", context=[Concept(older), Concept(learned)], steps=1)
    assert len(both.context[0][0]) == 2


def test_the_file_has_a_card_and_comes_back_as_it_was(tiny_pipe, learned, tmp_path):
    from safetensors import safe_open

    path = learned.save(tmp_path / "style.safetensors")
    with safe_open(str(path), "pt") as file:
        card = json.loads(file.metadata()["card"])
    assert card["base"] == learned.base
    assert (card["name"], card["examples"], card["steps"]) == ("mill", 2, 3)
    back = LearnedConcept.load(path)
    assert torch.equal(back.vectors, learned.vectors)
    assert torch.equal(back.copies.table, learned.copies.table)
    assert torch.equal(back.copies.tokens, learned.copies.tokens)
    assert (back.name, back.base) == ("mill", learned.base)
    assert [item.name for item in tmp_path.iterdir()] == ["style.safetensors"]


def test_another_checkpoint_refuses_it(tiny_pipe, learned):
    weight = tiny_pipe.denoiser.context_in.weight
    own = weight.detach().clone()
    with torch.no_grad():
        weight.add_(0.5)
    try:
        with pytest.raises(ValueError, match="learned with other weights"):
            written(tiny_pipe, context=[Concept("mill")])
    finally:
        with torch.no_grad():
            weight.copy_(own)


@pytest.mark.parametrize(
    ("act", "error", "words"),
    [
        (lambda pipe, tmp: written(pipe, context=[Concept("mil")]), ValueError, "did you mean 'mill'"),
        (
            lambda pipe, tmp: written(pipe, context=[Concept(tmp / "no.safetensors")]),
            FileNotFoundError,
            "no concept file",
        ),
        (lambda pipe, tmp: written(pipe, context=[Concept(tmp / "bad.safetensors")]), ValueError, "damaged"),
        (lambda pipe, tmp: Concept(3), TypeError, "takes a name"),
        (lambda pipe, tmp: pipe.learn_concept("a/b", EXAMPLES), ValueError, "name is made of"),
        (lambda pipe, tmp: pipe.learn_concept("x", []), ValueError, "at least one example"),
        (lambda pipe, tmp: pipe.learn_concept("x", ["a", " "]), ValueError, "Example 1 is empty"),
        (lambda pipe, tmp: pipe.learn_concept("x", ["word " * 200]), ValueError, "the model takes 64"),
        (lambda pipe, tmp: pipe.learn_concept("x", EXAMPLES, vectors=0), ValueError, "vectors must be"),
        (lambda pipe, tmp: pipe.learn_concept("x", EXAMPLES, vectors=10**9), ValueError, "at most 1,000"),
        (lambda pipe, tmp: pipe.learn_concept("x", EXAMPLES, seed=-1), ValueError, "seed must be"),
        (lambda pipe, tmp: pipe.learn_concept("x", EXAMPLES, learning_rate="fast"), ValueError, "positive number"),
        (lambda pipe, tmp: pipe.learn_concept("x", EXAMPLES, learning_rate=1e31), ValueError, "at most 1e"),
        (lambda pipe, tmp: LearnedConcept.load(tmp / "list.safetensors"), ValueError, "damaged"),
        (lambda pipe, tmp: LearnedConcept.load(tmp / "pairs.safetensors"), ValueError, "do not fit together"),
        (lambda pipe, tmp: pipe.learn_concept("x", EXAMPLES, step=3), TypeError, "did you mean 'steps'"),
    ],
)
def test_faults_are_sentences(tiny_pipe, learned, tmp_path, act, error, words):
    (tmp_path / "bad.safetensors").write_bytes(b"no")
    vectors = torch.zeros(1, 2)
    save_file({"vectors": vectors}, tmp_path / "list.safetensors", {"card": '["name", "base"]'})
    pairs = {"vectors": vectors, "tokens": torch.tensor([1, 2]), "table": torch.zeros(1, 2)}
    save_file(pairs, tmp_path / "pairs.safetensors", {"card": '{"name": "x", "base": "y"}'})
    with pytest.raises(error, match=words):
        act(tiny_pipe, tmp_path)
