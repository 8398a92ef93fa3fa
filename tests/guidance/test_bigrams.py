"""A bigram model beside the diffusion model: its counts, its energy by brute force, and texts whose neighbours fit."""

import itertools
import math

import pytest
import torch
from torch.nn import functional as F

from diffusionlm import DiffusionLMPipeline
from diffusionlm.guidance import Bigrams, Composition, Length
from diffusionlm.guidance.bigrams.tables import BigramTables
from diffusionlm.guidance.testing.toy import ToyModel


@pytest.fixture
def model():
    return ToyModel()


@pytest.fixture
def folder(model, tmp_path):
    """Counts of a few texts of the toy's words."""
    words = [i for i in range(len(model.vocabulary)) if i not in model.vocabulary.special_ids]
    texts = [[words[k % 4], words[(k + 1) % 4], words[(2 * k) % 5]] for k in range(9)]
    BigramTables.count(texts, model.vocabulary, {}).save(tmp_path / "bigrams")
    return tmp_path / "bigrams"


def information(tables, first, second):
    """log p(second | first) / p(second) from the counts, one pair at a time."""
    counts = {tuple(pair): float(count) for pair, count in zip(tables.pairs.tolist(), tables.counts, strict=True)}
    total = sum(count for (one, _), count in counts.items() if one == first)
    behind = [0.5 + sum(c for (_, other), c in counts.items() if other == token) for token in range(tables.num_tokens)]
    unigram = behind[second] / sum(behind)
    return math.log((counts.get((first, second), 0.0) + unigram) / (total + 1.0) / unigram)


def test_the_energy_of_a_text_is_what_its_neighbours_say_of_each_other(model, folder):
    tables = BigramTables.load(folder)
    plugin = Bigrams(tables=folder)
    plugin.bind(model.vocabulary)
    words = [i for i in range(len(model.vocabulary)) if i not in model.vocabulary.special_ids]
    length, pad = model.layout.length, model.vocabulary.pad_id
    texts = [[words[(k + i * i) % 5] for i in range(length)] for k in range(3)]
    texts[1][-2:] = [pad, pad]  # the text ends before the canvas does
    probs = F.one_hot(torch.tensor(texts), len(model.vocabulary)).float()
    found = plugin.energy(model.state_of(probs, torch.zeros(3, length, model.dim)))
    for text, energy in zip(texts, found, strict=True):
        own = -sum(information(tables, *pair) for pair in itertools.pairwise(text))
        assert float(energy) == pytest.approx(own, rel=1e-4)


def test_the_gradient_is_that_of_the_dense_product(model, folder):
    plugin = Bigrams(tables=folder)
    plugin.bind(model.vocabulary)
    size = len(model.vocabulary)
    probs = torch.rand(2, model.layout.length, size).softmax(-1).requires_grad_()
    (own,) = torch.autograd.grad(
        plugin.energy(model.state_of(probs, torch.zeros(*probs.shape[:2], model.dim))).sum(), probs
    )
    dense = plugin.table.rows[:, None] + plugin.table.matrix.to_dense()
    (expected,) = torch.autograd.grad(-torch.einsum("blv,vw,blw->", probs[:, :-1], dense, probs[:, 1:]), probs)
    assert torch.allclose(own, expected, atol=1e-4)


def test_known_text_beside_a_gap_is_a_neighbour_and_what_ends_a_gap_is_beside_it(folder, model, monkeypatch):
    pipe = DiffusionLMPipeline.from_pretrained("restaurant")
    pipe.set_progress_bar_config(disable=True)
    plugin, seen = Bigrams(), []
    original = Bigrams.energy

    def energy(self, state):
        seen.append((self, state))
        return original(self, state)

    monkeypatch.setattr(Bigrams, "energy", energy)
    pipe("The Mill is a [SPAN:2] pub [SPAN].", steps=2, seed=0, guidance=plugin)
    bound, state = seen[0]
    (layout,) = state.layouts
    tables = BigramTables.load(pipe.resources[0] / "bigrams")
    ids = dict(zip(layout.known_positions.tolist(), layout.known_ids.tolist(), strict=True))
    written = [7, 9, *([11] * (layout.length - 3)), pipe.tokenizer.pad_id]
    probs = F.one_hot(torch.tensor([written]), pipe.tokenizer.vocab_size).float()
    text = {**ids, **dict(zip(layout.span_positions.tolist(), written, strict=True))}
    place = layout.span_positions.tolist()
    pad, pairs = pipe.tokenizer.pad_id, []
    for first in range(len(text) - 1):
        behind = first + 1
        while (
            text[behind] == pad and behind + 1 in text
        ):  # a gap that has ended: what stands behind it is the neighbour
            behind += 1
        if text[first] != pad and {first, behind} & set(place):
            pairs.append((text[first], text[behind]))
    finished = type(state)(probs, state.noisy, 0.0, 0.5, 0, 2, state.layouts, state.span_mask, state.vocabulary)
    found = original(bound, finished)
    assert float(found) == pytest.approx(-sum(information(tables, *pair) for pair in pairs), rel=1e-3)


def test_texts_of_the_model_have_fewer_neighbours_that_were_never_seen():
    pipe = DiffusionLMPipeline.from_pretrained("restaurant")
    pipe.set_progress_bar_config(disable=True)
    seen = {tuple(pair) for pair in BigramTables.load(pipe.resources[0] / "bigrams").pairs.tolist()}

    def unseen(guidance):
        texts = pipe(num_samples=16, steps=8, seed=0, max_length=24, guidance=guidance).texts
        pairs = [p for ids in pipe.tokenizer.encode_batch(texts) for p in itertools.pairwise(ids)]
        return sum(pair not in seen for pair in pairs) / len(pairs)

    assert unseen(None) < 0.5 * unseen({"bigrams": {"weight": 0}})  # the checkpoint brings it


def test_a_checkpoint_brings_its_bigram_model_to_every_call_that_does_not_name_it(tmp_path):
    pipe = DiffusionLMPipeline.from_pretrained("restaurant")
    pipe.set_progress_bar_config(disable=True)
    call = {"steps": 4, "seed": 0, "num_samples": 2, "max_length": 16}
    default, without = pipe(**call), pipe(**call, bigrams=0)
    assert default.texts == pipe(**call, guidance="bigrams").texts != without.texts
    assert without.texts == pipe(**call, guidance={"bigrams": {"weight": 0}}).texts
    assert (default.settings["bigrams"], without.settings["bigrams"]) == (0.5, 0.0)
    assert (default.trace, default.settings["guidance"]) == (None, None)  # it is of the model and steers nothing
    assert any("Hinton" in reference for reference in default.references)
    pipe.save_pretrained(tmp_path / "kept")
    assert (tmp_path / "kept" / "readers" / "bigrams" / "config.json").is_file()
    assert DiffusionLMPipeline.from_pretrained(tmp_path / "kept").bigrams == 0.5
    pipe.bigrams = 0
    assert pipe(**call).texts == without.texts
    assert pipe(**call, bigrams=0.5).texts == default.texts
    for wrong in (-1, float("nan"), True, "half"):
        with pytest.raises(ValueError, match="bigrams must be"):
            pipe.bigrams = wrong
        with pytest.raises(ValueError, match="bigrams must be"):
            pipe(**call, bigrams=wrong)


def test_guidance_acts_on_the_model_with_its_bigrams_and_keeps_its_own_budget():
    pipe = DiffusionLMPipeline.from_pretrained("restaurant")
    pipe.set_progress_bar_config(disable=True)
    call = {"steps": 4, "seed": 0, "num_samples": 2, "max_length": 16}

    guided = pipe(**call, guidance=[{"diverse": {"weight": 20.0}}, Length(words=4)])
    assert "diverse" in str(guided.trace)
    assert "bigrams" not in str(guided.trace)
    record = guided.settings["guidance"]
    assert record["budget"] == "own"
    assert pipe(**call, guidance=record).texts == guided.texts
    assert pipe(**call, guidance=Composition("diverse", budget=1.0)).settings["guidance"]["budget"] == 1.0


def test_candidates_share_half_of_the_way_with_bigrams_too():
    pipe = DiffusionLMPipeline.from_pretrained("restaurant")
    pipe.set_progress_bar_config(disable=True)
    rows = [
        len(state.posterior.log_probs) if hasattr(state, "posterior") else len(state.log_probs)
        for state in pipe.stream("The [SPAN:4].", steps=4, seed=0, best_of=4)
        if hasattr(state, "step")
    ]
    assert rows == [1, 1, 4, 4]


def test_what_is_said_where_there_are_no_counts_or_others(model, folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="guides --for CHECKPOINT --only bigrams"):
        Bigrams().bind(model.vocabulary)
    pipe = DiffusionLMPipeline.from_pretrained("restaurant")
    with pytest.raises(ValueError, match="vocabulary"):
        Bigrams(tables=folder).bind(pipe.tokenizer.vocabulary)
    with pytest.raises(ValueError, match="no text"):
        BigramTables.count([], model.vocabulary, {})
    (folder / "model.safetensors").write_bytes(b"x")
    with pytest.raises(ValueError, match="counts of neighbours"):
        BigramTables.load(folder)


def test_counts_of_a_training_run_are_those_of_its_texts(tmp_path):
    from diffusionlm.training.bigram_counts import write_counts
    from diffusionlm.training.corpus import TokenCorpus

    pipe = DiffusionLMPipeline.from_pretrained("restaurant")
    texts = ["The Mill is cheap.", "The Mill is a pub."]
    corpus = TokenCorpus.from_pairs([("", text) for text in texts], pipe.tokenizer, 32)
    write_counts(corpus, pipe.tokenizer.vocabulary, tmp_path, tmp_path / "older")
    own = BigramTables.count(pipe.tokenizer.encode_batch(texts), pipe.tokenizer.vocabulary, {})
    found = BigramTables.load(tmp_path / "readers" / "bigrams")
    assert torch.equal(found.pairs, own.pairs)
    assert torch.equal(found.counts, own.counts)
