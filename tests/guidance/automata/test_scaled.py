"""Scaled sums of products against logarithms and enumerations, to the end of their range and beyond."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from diffusionlm.guidance import automata
from diffusionlm.guidance.automata import scaled
from diffusionlm.guidance.automata.algebra import Budget, product
from diffusionlm.guidance.automata.chain_inference import ChainInference
from diffusionlm.guidance.automata.orders import PhraseChain
from diffusionlm.guidance.automata.pairs import least_of, met_together
from diffusionlm.text import Vocabulary

VOCABULARY = Vocabulary((b"", b" a", b"b", b"ab", b" ", b"a", b" b"), pad_id=0, special_ids=frozenset({0}))
CANVASES = {
    "free": (["", ""], [0] * 5),
    "known text": (["", " b", ""], [0, 0, 0, 0, 1, 1, 1, 1]),
}


def rules(*phrases):
    languages = [automata.contains_any([phrase], whole_words=True) for phrase in phrases]
    return [automata.compile_language(language, VOCABULARY) for language in languages]


def chain_of(phrases, literals, spans):
    return PhraseChain(rules(*phrases), literals, np.array(spans), np.ones(len(VOCABULARY), dtype=bool))


def distributions(batch, length, scale=2.0, seed=0):
    noise = torch.randn((batch, length, len(VOCABULARY)), generator=torch.Generator().manual_seed(seed)).double()
    return (scale * noise).log_softmax(-1)


def gives_up(monkeypatch):
    monkeypatch.setattr(scaled, "WIDEST", -torch.inf)


@pytest.mark.parametrize("canvas", CANVASES.values(), ids=CANVASES)
@pytest.mark.parametrize("batch", [1, 3])
def test_sums_and_logarithms_agree_on_products_and_chains(canvas, batch, monkeypatch):
    literals, spans = canvas
    log_p = distributions(batch, len(spans))
    bound = automata.bind(rules("a", "b"), literals, spans)
    chain = chain_of(["a", "ab", "b"], literals, spans)
    inference = ChainInference(chain, [(0, 1, 2), (2, 1, 0), (1, 0, 2)][:batch], torch.ones(log_p.shape[1:]).bool())
    found = [bound.posterior(log_p), inference.posterior(log_p)]
    gives_up(monkeypatch)
    for ours, theirs in zip(found, [bound.posterior(log_p), inference.posterior(log_p)], strict=True):
        for mine, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("positions", [scaled.SCALE_EVERY - 1, 3 * scaled.SCALE_EVERY + 1])
@pytest.mark.parametrize("at_once", [0, scaled.AT_ONCE])
def test_long_texts_neither_vanish_nor_overflow(positions, at_once, monkeypatch):
    monkeypatch.setattr(scaled, "AT_ONCE", at_once)
    monkeypatch.setattr(scaled, "CHUNK", 10)
    bound = automata.bind(rules("a"), ["", ""], [0] * positions)
    log_p = distributions(2, positions) - 90.0  # weights need not sum to one
    ours = bound.posterior(log_p)
    gives_up(monkeypatch)
    theirs = bound.posterior(log_p)
    torch.testing.assert_close(ours.log_partition, theirs.log_partition, rtol=1e-12, atol=1e-9)
    torch.testing.assert_close(ours.marginals, theirs.marginals, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("gap", [300.0, 900.0])
def test_accepted_ways_beyond_the_range_are_found_in_logarithms(gap):
    spans = [0] * 4
    chain = chain_of(["a", "b"], ["", ""], spans)
    log_p = torch.zeros(1, 4, len(VOCABULARY)).double()
    log_p[..., 4] = gap  # spaces alone, four times over
    inference = ChainInference(chain, [(0, 1)], torch.ones(4, len(VOCABULARY)).bool())
    exact = [
        sum(log_p[0, i, token].item() for i, token in enumerate(ids))
        for ids in itertools.product(range(1, len(VOCABULARY)), repeat=4)
        if chain.hold(ids) and first_of(ids, "a") < first_of(ids, "b")
    ]
    found = inference.posterior(log_p)
    # a text may also end early: the same, with pads; two words need two positions at least
    assert found.log_partition.item() >= max(exact) - 1e-9
    assert found.log_partition.item() <= max(exact) + np.log(len(VOCABULARY) ** 4)
    torch.testing.assert_close(found.marginals.exp().sum(-1), torch.ones(1, 4).double())


def first_of(ids, word):
    words = VOCABULARY.decode(ids).split()
    return words.index(word)


def test_what_is_possible_beyond_the_range_is_not_taken_for_impossible():
    bound = automata.bind(rules("a"), ["", ""], [0] * 2)
    log_p = torch.zeros(1, 2, len(VOCABULARY)).double()
    log_p[0, 1, 4] = 1000.0  # a space, before which only " a" and "a" will do
    marginals = bound.posterior_marginals(log_p)[0]
    assert torch.isfinite(marginals[0, 4])  # " " and then "a", which is as good as nothing beside it
    assert marginals[0, 4] < -500
    log_p[0, 1, [1, 5]] = -torch.inf
    assert torch.isneginf(bound.posterior_marginals(log_p)[0, 0, 4])
    assert torch.isfinite(bound.posterior_marginals(log_p)[0, 0, 1])


@pytest.mark.parametrize("seed", range(5))
def test_states_met_together_are_those_of_the_product(seed):
    random = np.random.default_rng(seed)
    maps = [random.integers(0, size, (size, 3)) for size in (5, 7)]
    for own in maps:
        own[0] = 0  # lost
    met = met_together(maps, (1, 2), (0, 0))
    states = product(maps, [1, 2], Budget("both"), [0, 0])[1]
    expected = {tuple(own) for own in states.tolist()} - {(0, 0)}
    assert {tuple(own) for own in np.argwhere(met).tolist()} - {(0, 0)} == expected


def test_the_least_state_is_below_all_that_are_met():
    below = np.array([[1, 1, 1], [0, 1, 0], [0, 0, 1]], dtype=bool)
    met = np.array([[1, 1, 0], [0, 1, 1], [0, 0, 1], [0, 0, 0]], dtype=bool)
    assert least_of(met, below).tolist() == [0, -1, 2, -1]


def test_orders_asked_for_at_once_are_those_asked_for_in_turn():
    phrases = ["a", "b", "ab", "ba", "bb"]
    orders = list(itertools.permutations(range(len(phrases))))
    alone, shared = (chain_of(phrases, ["", ""], [0] * 12) for _ in range(2))
    with ThreadPoolExecutor(8) as pool:
        graphs = list(pool.map(shared.in_order, orders))
    for order, graph in zip(orders, graphs, strict=True):
        expected = alone.in_order(order)
        assert [shared.labels[n].tolist() for n in graph.label] == [alone.labels[n].tolist() for n in expected.label]
