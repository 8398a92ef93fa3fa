"""Chains of phrases against the enumeration of every canvas."""

import itertools

import numpy as np
import pytest
import torch

from diffusionlm.guidance import automata
from diffusionlm.guidance.automata.chain_inference import ChainInference
from diffusionlm.guidance.automata.orders import PhraseChain
from diffusionlm.text import Vocabulary

VOCABULARY = Vocabulary((b"", b" a", b"b", b"ab", b" ", b"a", b" b"), pad_id=0, special_ids=frozenset({0}))
CASES = [
    (["a", "b"], ["", ""], [0] * 4, True),
    (["ab", "a"], ["", ""], [0] * 4, True),
    (["ab", "ba"], ["", ""], [0] * 4, False),
    (["a b", "b a"], ["", ""], [0] * 4, True),
    (["a", "b"], [" a b", "b", ""], [0, 0, 1, 1], True),
    (["ab", "bb"], ["", "b", ""], [0, 0, 1, 1], False),
    (["a", "b", "ab"], ["", ""], [0] * 4, True),
]


class Canvas:
    def __init__(self, phrases, literals, spans, whole_words):
        self.languages = [automata.contains_any([phrase], whole_words=whole_words) for phrase in phrases]
        compiled = [automata.compile_language(language, VOCABULARY) for language in self.languages]
        self.literals, self.spans = literals, spans
        self.chain = PhraseChain(compiled, literals, np.array(spans), np.ones(len(VOCABULARY), dtype=bool))
        self.allowed = torch.ones(len(spans), len(VOCABULARY), dtype=torch.bool)
        every = itertools.product(range(len(VOCABULARY)), repeat=len(spans))
        self.canvases = torch.tensor([ids for ids in every if self.accepts(ids)])

    def accepts(self, ids):
        if any(a == 0 and b and s == t for a, b, s, t in zip(ids, ids[1:], self.spans, self.spans[1:], strict=False)):
            return False
        text = self.literals[0]
        for span, literal in enumerate(self.literals[1:]):
            text += VOCABULARY.decode(i for i, own in zip(ids, self.spans, strict=True) if own == span) + literal
        return all(language.accepts(text.removeprefix(" ")) for language in self.languages)

    def orders(self):
        return list(itertools.permutations(range(len(self.languages))))


def distributions(canvas, batch=1, seed=0, scale=2.0):
    shape = batch, len(canvas.spans), len(VOCABULARY)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (scale * noise).log_softmax(-1)


@pytest.mark.parametrize("case", CASES, ids=[" ".join(case[0]) + str(len(case[1])) for case in CASES])
def test_the_best_order_has_the_best_text_and_every_order_only_texts_with_all_phrases(case):
    canvas = Canvas(*case)
    log_p = distributions(canvas)
    scores = log_p[0, torch.arange(len(canvas.spans)), canvas.canvases].sum(-1)
    accepted = {tuple(ids) for ids in canvas.canvases.tolist()}
    found = []
    for order in canvas.orders():
        inference = ChainInference(canvas.chain, [order], canvas.allowed)
        try:
            conditioned = inference.posterior(log_p)
        except automata.UnsatisfiableConstraint:
            continue
        ids, _ = inference.viterbi(log_p)
        assert tuple(ids[0].tolist()) in accepted
        found.append(log_p[0, torch.arange(len(canvas.spans)), ids[0]].sum().item())
        assert conditioned.log_partition.item() <= scores.logsumexp(0).item() + 1e-9
        torch.testing.assert_close(
            conditioned.marginals.exp().sum(-1), torch.ones(1, len(canvas.spans), dtype=torch.float64)
        )
    assert max(found) == pytest.approx(scores.max().item())


def test_one_phrase_is_what_its_automaton_says():
    canvas = Canvas(["a b"], ["", " b", ""], [0, 0, 1, 1], True)
    log_p = distributions(canvas, batch=3)
    inference = ChainInference(canvas.chain, [(0,)] * 3, canvas.allowed)
    exact = automata.bind(canvas.chain.automata, canvas.literals, canvas.spans)
    ours, theirs = inference.posterior(log_p), exact.posterior(log_p)
    torch.testing.assert_close(ours.log_partition, theirs.log_partition)
    torch.testing.assert_close(ours.marginals.exp(), theirs.marginals.exp(), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(ours.divergence, theirs.divergence)
    assert torch.equal(inference.viterbi(log_p)[0], exact.viterbi(log_p))


def test_rows_of_a_batch_have_their_own_orders():
    canvas = Canvas(["a", "b", "ab"], ["", ""], [0] * 5, True)
    log_p, orders = distributions(canvas, batch=6), canvas.orders()
    together = ChainInference(canvas.chain, orders, canvas.allowed).posterior(log_p)
    for row, order in enumerate(orders):
        alone = ChainInference(canvas.chain, [order], canvas.allowed).posterior(log_p[row : row + 1])
        torch.testing.assert_close(together.marginals[row].exp(), alone.marginals[0].exp())
        torch.testing.assert_close(together.log_partition[row], alone.log_partition[0])


def test_whatever_stays_on_the_way_of_the_best_text_holds_all_phrases():
    canvas = Canvas(["a", "b"], ["", ""], [0] * 5, True)
    log_p = distributions(canvas, batch=20, seed=3)
    inference = ChainInference(canvas.chain, [(1, 0)] * 20, canvas.allowed)
    accepted = {tuple(ids) for ids in canvas.canvases.tolist()}
    _, ways = inference.viterbi(log_p)
    for way in ways:
        options = [
            [t for t in range(len(VOCABULARY)) if own is None or canvas.chain.token_class[t] in own] for own in way
        ]
        for ids in itertools.product(*options):
            if not any(a == 0 and b for a, b in itertools.pairwise(ids)):
                assert ids in accepted


def test_states_grow_with_the_phrases_and_not_with_their_sets():
    words = [f"w{n:02}" for n in range(20)]
    vocabulary = Vocabulary((b"", *(f" {word}".encode() for word in words), b"."), 0, frozenset({0}))
    compiled = [automata.compile_language(automata.contains_any([w], whole_words=True), vocabulary) for w in words]
    chain = PhraseChain(compiled, ["", ""], np.zeros(30, dtype=int), np.ones(len(vocabulary), dtype=bool))
    assert chain.num_states <= 20 * 12
    order = tuple(reversed(range(20)))
    inference = ChainInference(chain, [order], torch.ones(30, len(vocabulary), dtype=torch.bool))
    ids, _ = inference.viterbi(torch.zeros(1, 30, len(vocabulary)).log_softmax(-1))
    text = vocabulary.decode(ids[0].tolist())
    assert [text.index(f" w{n:02}") for n in order] == sorted(text.index(f" w{n:02}") for n in order)
