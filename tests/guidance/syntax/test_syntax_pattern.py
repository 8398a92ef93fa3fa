"""Patterns over parts of speech, trees, words and charts."""

import itertools
import re

import pytest
import torch

from diffusionlm.guidance.syntax.automaton import intersect, place_automaton, sequence_automaton, wish_automaton
from diffusionlm.guidance.syntax.chart import best_spans, log_partition, span_marginals
from diffusionlm.guidance.syntax.constituents import read_spans
from diffusionlm.guidance.syntax.dependencies import read_arcs
from diffusionlm.guidance.syntax.pattern import parse_pattern
from diffusionlm.guidance.syntax.trees import parse_tree
from diffusionlm.guidance.syntax.words import split_words, token_openings, words_of

SHORT = {"DET": "d", "ADJ": "a", "NOUN": "n", "PUNCT": "p"}


@pytest.mark.parametrize(
    "pattern",
    [
        "DET ADJ* NOUN",
        "(DET|ADJ)+ NOUN? PUNCT",
        "DET{2} NOUN{1,2} PUNCT*",
        ". NOUN .*",
        "[ADJ NOUN] DET{2,}",
        "[^PUNCT] PUNCT",
        "(DET NOUN?)*",
    ],
)
def test_patterns_accept_what_re_accepts(pattern):
    automaton = parse_pattern(pattern)
    as_re = pattern.replace("[ADJ NOUN]", "[an]").replace("[^PUNCT]", "[^p]")
    for tag, letter in SHORT.items():
        as_re = as_re.replace(tag, letter)
    as_re = re.compile(as_re.replace(" ", ""))
    for size in range(5):
        for sequence in itertools.product(SHORT, repeat=size):
            letters = "".join(SHORT[tag] for tag in sequence)
            assert automaton.accepts(sequence) == bool(as_re.fullmatch(letters)), letters


@pytest.mark.parametrize(
    ("pattern", "message", "at"),
    [
        ("DET NUON", "did you mean 'NOUN'", 5),
        ("DET (ADJ NOUN", "never closed", 5),
        ("DET) NOUN", "closes nothing", 4),
        ("* NOUN", "repeats nothing", 1),
        ("NOUN{3,2}", "impossible", 5),
        ("NOUN{x}", "a number of times", 5),
        ("NOUN & DET", "no meaning", 6),
        ("[] NOUN", "empty choice", 1),
    ],
)
def test_errors_point_at_the_character(pattern, message, at):
    with pytest.raises(ValueError, match=message) as caught:
        parse_pattern(pattern)
    assert f"(character {at})" in str(caught.value)


def test_wishes_leave_the_rest_free():
    automaton = wish_automaton({1: "NOUN"})
    assert automaton.accepts(["PUNCT", "NOUN"])
    assert automaton.accepts(["DET", "NOUN", "VERB", "PUNCT"])
    assert not automaton.accepts(["DET", "VERB", "NOUN"])
    assert not automaton.accepts(["DET"])


def test_a_run_at_a_place():
    automaton = place_automaton(2, [("VERB", ("DET", "NOUN"), "END"), ("VERB", ("DET", "NOUN"), "PUNCT")])
    assert automaton.accepts(["PRON", "VERB", "DET", "NOUN"])
    assert automaton.accepts(["PRON", "VERB", "DET", "NOUN", "PUNCT", "X"])
    assert not automaton.accepts(["PRON", "VERB", "DET", "NOUN", "ADP"])
    assert not automaton.accepts(["PRON", "AUX", "DET", "NOUN"])


def test_intersection_is_what_both_accept():
    a, b = parse_pattern("(DET|ADJ)* NOUN PUNCT?"), parse_pattern(". . .?")
    both = intersect(a, b)
    for size in range(5):
        for sequence in itertools.product(SHORT, repeat=size):
            assert both.accepts(sequence) == (a.accepts(sequence) and b.accepts(sequence))
    with pytest.raises(ValueError, match="No sequence"):
        intersect(sequence_automaton(["DET"]), sequence_automaton(["NOUN"]))


def test_words_are_cut_as_in_treebanks():
    text = "It isn't kid-friendly, £20-25; the Mill's customers' 5-star café can't open."
    assert words_of(text) == [
        "It", "is", "n't", "kid", "-", "friendly", ",", "£", "20", "-", "25", ";", "the", "Mill", "'s", "customers", "'",
        "5-star", "café", "ca", "n't", "open", ".",
    ]  # fmt: skip


def test_tokens_open_words_or_go_on_with_them():
    text = "a pub isn't"
    words = split_words(text)
    places = [(0, 1), (1, 4), (4, 5), (5, 9), (9, 11)]  # "a", " pu", "b", " isn", "'t"
    assert token_openings(text, places, words) == [0, 1, -1, -2 - 3, -1]


def test_trees_read_and_written():
    tree = parse_tree("(ROOT (S (NP-SBJ (DT The) (NN pub)) (VP (VBZ is) (ADJP (JJ cheap))) (. .)))")
    assert tree.words() == ["The", "pub", "is", "cheap", "."]
    assert tree.spans() == [(0, 4, "S"), (0, 1, "NP"), (2, 3, "VP"), (3, 3, "ADJP")]
    assert parse_tree(str(tree)) == tree
    assert parse_tree("(NP DET NOUN)").tags() == ["DET", "NOUN"]


@pytest.mark.parametrize(("text", "at"), [("(NP (DT The)", 1), ("(NP))", 5), ("NP", 1), ("(NP (DT The)) x", 15)])
def test_broken_trees_are_pointed_at(text, at):
    with pytest.raises(ValueError, match=rf"character {at}\)"):
        parse_tree(text)


def test_spans_and_arcs_in_words_and_objects():
    assert read_spans("PP 3-5, np 0") == [(3, 5, "PP"), (0, 0, "NP")] == read_spans([(3, 5, "PP"), (0, 0, "NP")])
    assert read_arcs("nsubj(2, 1) det(1,0)") == [(1, 2, "nsubj"), (0, 1, "det")]
    assert read_arcs("obj(*, 3)") == [(3, None, "obj")]
    with pytest.raises(ValueError, match="did you mean 'PP'"):
        read_spans("NPP 0-1")
    with pytest.raises(ValueError, match="overlap"):
        read_spans("NP 0-2, VP 1-3")
    with pytest.raises(ValueError, match="did you mean 'nsubj'"):
        read_arcs("nsbj(2, 1)")


def _bracketings(first, last):
    """All binary bracketings of words first to last, each as a list of spans."""
    if first == last:
        yield [(first, last)]
    for k in range(first, last):
        for left in _bracketings(first, k):
            for right in _bracketings(k + 1, last):
                yield [(first, last), *left, *right]


def test_charts_sum_over_all_bracketings():
    scores = torch.randn(2, 5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    lengths = torch.tensor([5, 3])
    marginals = span_marginals(scores, lengths)
    for row, n in enumerate(lengths.tolist()):
        weights, held = [], torch.zeros(5, 5, dtype=torch.float64)
        every = list(_bracketings(0, n - 1))
        for spans in every:
            weights.append(torch.stack([scores[row, i, j] for i, j in spans]).sum())
            for i, j in spans:
                held[i, j] += weights[-1].exp()
        total = torch.stack(weights).logsumexp(0)
        torch.testing.assert_close(log_partition(scores, lengths)[row], total)
        torch.testing.assert_close(marginals[row], held / total.exp())
        assert sorted(best_spans(scores, lengths)[row]) == sorted(every[int(torch.stack(weights).argmax())])
