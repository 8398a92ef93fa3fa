"""Inference with weighed words against enumeration of every text."""

import itertools

import pytest
import torch

from diffusionlm.guidance import PartOfSpeech, Phrases, UnsatisfiableConstraint
from diffusionlm.guidance.automata.algebra import AutomatonTooLarge
from diffusionlm.guidance.constraints.constraint import bind_rules
from diffusionlm.guidance.syntax.pattern import parse_pattern
from diffusionlm.guidance.testing.toy import ToyLayout, toy_vocabulary
from diffusionlm.guidance.weighted import arcs
from diffusionlm.guidance.weighted.bound import BoundChain
from diffusionlm.guidance.weighted.by_class import ByClass
from diffusionlm.guidance.weighted.chain import WordChain
from diffusionlm.text import Vocabulary

WORDS = Vocabulary((b"", b" the", b" pub", b"s", b"-", b" good"), 0, frozenset({0}))
LEXICON = {"the": ["DET"], "pub": ["NOUN", "VERB"], "good": ["ADJ"], "-": ["PUNCT"]}


def part_of_speech(pattern, seed=0):
    """The plugin with random positive weights, so that no symmetry hides a mistake."""
    plugin = PartOfSpeech(pattern, lexicon=LEXICON)
    plugin.bind(WORDS)
    draw = torch.Generator().manual_seed(seed)
    opening = torch.rand(plugin.words.opening.shape, generator=draw, dtype=torch.float64)
    inside = torch.rand(plugin.words.inside.shape, generator=draw, dtype=torch.float64)
    half = plugin.pattern.num_states
    opening *= (plugin.words.opening > 0).repeat(1, 1)[:, :half].repeat(1, 2)  # words may be one token or more
    opening[:, [0, half]] = inside[:, [0, half]] = 0.0
    inside[[0, 1, 2, 4, 5]] = 0.0
    plugin.words = WordChain("test", plugin.pattern, opening, inside, lambda automaton: (opening, inside))
    return plugin


def weight_of(ids, plugin):
    """Sum over all readings of a text, by recursion over its tokens."""
    automaton, words = plugin.pattern, plugin.words
    length = next((i for i, v in enumerate(ids) if v == 0), len(ids))
    if any(ids[length:]) or length == 0 or ids[0] not in (1, 2, 5):
        return 0.0

    half = automaton.num_states

    def on(i, state):
        if i == length:
            return float(state < half and automaton.accepting[state])
        total = 0.0
        for k in range(1, half):
            for target in (k, half + k):
                if state == half + k:
                    total += float(words.inside[ids[i], target]) * on(i + 1, target)
                elif state < half and state in automaton.predecessors[k]:
                    total += float(words.opening[ids[i], target]) * on(i + 1, target)
        return total

    return on(0, 0)


def bound_on(plugins, length=4):
    layout = ToyLayout(length=length)

    allowed = layout.allowed(WORDS)
    return bind_rules(plugins, layout, WORDS, allowed)


@pytest.mark.parametrize(
    "pattern", ["DET ADJ? NOUN", "(DET|ADJ)* [NOUN VERB] .*", ". NOUN PUNCT? .*", "DET NOUN VERB?"]
)
@pytest.mark.parametrize("phrase", [None, "good"])
@pytest.mark.parametrize("passes", ["arcs", "by class", "logarithms"])
def test_marginals_are_those_of_all_texts(pattern, phrase, passes, monkeypatch):
    if passes == "by class":
        monkeypatch.setattr(arcs, "MOST_ARCS", 0)
    plugin = part_of_speech(pattern)
    rules = [plugin]
    if phrase:
        rules.append(Phrases(include=[phrase]))
        rules[1].bind(WORDS)
    log_p = torch.randn(2, 4, len(WORDS), generator=torch.Generator().manual_seed(1), dtype=torch.float64).log_softmax(
        -1
    )
    bound = bound_on(rules) if not phrase or "ADJ" in pattern or "." in pattern else None
    if bound is None:
        with pytest.raises(UnsatisfiableConstraint):
            bound_on(rules).posterior(log_p)
        return
    if passes == "logarithms":
        bound.passes = None
    found, log_z, divergence = bound.posterior(log_p)
    expected = torch.zeros_like(log_p)
    for ids in itertools.product(range(len(WORDS)), repeat=4):
        weight = weight_of(ids, plugin)
        if phrase and 5 not in ids[: (ids.index(0) if 0 in ids else 4)]:
            weight = 0.0
        if phrase and any(a == 5 and b == 3 for a, b in itertools.pairwise(ids)) and weight:
            places = [i for i, v in enumerate(ids) if v == 5]
            if all(i + 1 < 4 and ids[i + 1] == 3 for i in places):
                weight = 0.0  # "goods" does not mention "good"
        if weight:
            p = weight * log_p[:, range(4), ids].sum(-1).exp()
            expected[:, range(4), ids] += p[:, None]
    z = expected.sum(-1)[:, :1]
    torch.testing.assert_close(found.exp(), expected / z[..., None])
    torch.testing.assert_close(log_z, z[:, 0].log())
    q = expected / z[..., None]
    kl = torch.where(q > 0, q * (q.log() - log_p), 0.0).sum(-1)
    torch.testing.assert_close(divergence, kl)


@pytest.mark.parametrize("rules", [[], [Phrases(include=["good"])]])
def test_known_text_counts_alike_with_probabilities_and_with_logarithms(rules):
    plugin = part_of_speech("DET .* NOUN PUNCT? .*")
    for rule in rules:
        rule.bind(WORDS)
    beside = bound_on([plugin, *rules], length=3).bound
    bound = BoundChain(plugin.words, beside, [[1], [], [5], [2]])  # "the" before, "good" inside, "pub" behind
    assert isinstance(bound.passes, ByClass)
    log_p = torch.randn(5, 3, len(WORDS), generator=torch.Generator().manual_seed(3), dtype=torch.float64).log_softmax(
        -1
    )
    found = bound.posterior(log_p)
    bound.passes = None
    for own, expected in zip(found, bound.posterior(log_p), strict=True):
        torch.testing.assert_close(own, expected)


def test_too_many_pairs_of_states_are_refused_before_any_work(monkeypatch):
    monkeypatch.setattr("diffusionlm.guidance.weighted.bound.MOST_PAIRS", 10)
    with pytest.raises(AutomatonTooLarge, match=r"more than 10 automaton states.*fewer rules"):
        bound_on([part_of_speech("DET ADJ? NOUN")])


def test_a_row_that_probabilities_lose_is_counted_with_logarithms():
    plugin = part_of_speech("DET ADJ? NOUN")
    bound = bound_on([plugin])
    log_p = torch.full((1, 4, len(WORDS)), -2000.0, dtype=torch.float64)
    log_p[..., 3] = 0.0  # certain, and forbidden at the first two positions
    found = bound.posterior(log_p)
    assert torch.isfinite(found.log_partition).all()
    assert torch.isfinite(found.marginals[found.marginals > -1e29]).all()


def test_gradient_of_the_energy_is_the_posterior():
    plugin = part_of_speech("DET ADJ? NOUN .*")
    bound = bound_on([plugin])
    from diffusionlm.guidance.syntax.parts_of_speech import _LogPartition

    log_p = torch.randn(
        1, 4, len(WORDS), dtype=torch.float64, generator=torch.Generator().manual_seed(2)
    ).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: _LogPartition.apply(x, bound), (log_p,))


def test_the_best_text_obeys_though_the_posterior_does_not_like_it():
    plugin = part_of_speech("DET ADJ NOUN")
    bound = bound_on([plugin])
    log_p = torch.full((1, 4, len(WORDS)), -50.0, dtype=torch.float64)
    log_p[..., 3] = -1e-9
    log_p[0, 0, 1] = log_p[0, 2, 2] = -1.0
    ids = bound.viterbi(log_p)[0].tolist()
    assert weight_of(ids, plugin) > 0


def test_parse_pattern_says_of_every_state_whether_a_mark_stands_before():
    automaton = parse_pattern("(NOUN|PUNCT) NOUN")
    after = [(sorted(own), mark) for own, mark in zip(automaton.tags, automaton.previous_is_mark, strict=True)]
    assert (["NOUN"], True) in after
    assert (["NOUN"], False) in after


@pytest.mark.parametrize("space", [True, False])
def test_where_nothing_may_be_added_the_known_text_alone_obeys_or_not(space):
    vocabulary = toy_vocabulary()
    layout = ToyLayout(before="the pub ", length=2)
    allowed = torch.zeros(2, len(vocabulary), dtype=torch.bool)
    allowed[:, 0] = True  # as behind the end of an answer in the loop of another library
    allowed[0, vocabulary.strings.index(" and")] = space
    log_p = torch.zeros(1, 2, len(vocabulary)).masked_fill(~allowed, -torch.inf).log_softmax(-1)

    def bound_of(pattern):
        plugin = PartOfSpeech(pattern, lexicon={**LEXICON, "and": ["CCONJ"]})
        plugin.bind(vocabulary)
        return bind_rules([plugin], layout, vocabulary, allowed)

    bound = bound_of("DET NOUN")
    assert bound.posterior(log_p).marginals.argmax(-1).tolist() == [[0, 0]]
    assert bound.viterbi(log_p).tolist() == bound.sample(log_p, torch.full((1, 2), 0.5)).tolist() == [[0, 0]]
    with pytest.raises(UnsatisfiableConstraint):
        bound_of("DET NOUN ADJ ADJ").posterior(log_p)  # more words than can stand
