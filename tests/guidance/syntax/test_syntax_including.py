"""Phrases beside rules of syntax, and what a sample looks like from the bundled model."""

import pytest

from diffusionlm import DiffusionLMPipeline
from diffusionlm.guidance import Constituents, Dependencies, PartOfSpeech, UnsatisfiableConstraint
from diffusionlm.guidance.syntax.including import cut, including
from diffusionlm.text import Vocabulary

WORDS = Vocabulary((b"", b" a", b" b", b"c", b" ab", b"b"), 0, frozenset({0}))


def accepts(automaton, tokens):
    state = automaton.start
    for token in tokens:
        state = automaton.delta[state, automaton.token_class[token]]
    return bool(automaton.accepting[state])


def test_a_phrase_is_cut_into_the_longest_tokens():
    assert cut("ab a", WORDS) == [4, 1]
    with pytest.raises(ValueError, match="cannot spell 'x'"):
        cut("x", WORDS)


def test_one_of_the_phrases_is_held():
    automaton = including(["a b a", "b b"], WORDS)
    assert accepts(automaton, [1, 2, 1])
    assert accepts(automaton, [1, 2, 2])  # what failed of one phrase goes on with the other
    assert accepts(automaton, [3, 2, 2, 5])
    assert not accepts(automaton, [1, 2, 3, 1, 2])
    assert not accepts(automaton, [])


@pytest.fixture(scope="module")
def pipe():
    pipe = DiffusionLMPipeline.from_pretrained("restaurant")
    pipe.set_progress_bar_config(disable=True)
    return pipe


def test_a_written_text_has_its_tags_and_its_phrase(pipe):
    rule = PartOfSpeech("DET PROPN AUX DET ADJ NOUN PUNCT", including=["The Mill"])
    result = pipe(num_samples=2, steps=4, seed=0, guidance=rule, max_length=12)
    for text, held in zip(result.texts, result.certificates, strict=True):
        assert text.startswith("The Mill "), text
        assert all(held.values()), (text, held)


def test_known_text_counts(pipe):
    result = pipe("The Mill [SPAN:3] pub.", steps=3, seed=0, guidance=PartOfSpeech("DET PROPN AUX DET ADJ NOUN PUNCT"))
    assert all(result.certificates[0].values()), result.texts
    with pytest.raises(UnsatisfiableConstraint, match="parts of speech"):
        pipe("The Mill [SPAN:3] pub.", steps=3, seed=0, guidance=PartOfSpeech("DET NOUN"))


@pytest.mark.parametrize("empty", ["", "  ", [], {}])
def test_no_tags_are_refused_when_the_rule_is_made(empty):
    with pytest.raises(ValueError, match="as in|are given as a pattern"):
        PartOfSpeech(empty)


def test_rules_join(pipe):
    rules = [Constituents("NP 0-1"), Dependencies("det(1, 0)"), PartOfSpeech({2: "AUX"})]
    result = pipe(num_samples=1, steps=3, seed=0, guidance=rules, max_length=12)
    assert all(result.certificates[0].values()), (result.texts, result.certificates)


def test_guestbook_brings_tables_of_its_own():
    guests = DiffusionLMPipeline.from_pretrained("guestbook")
    guests.set_progress_bar_config(disable=True)
    result = guests(num_samples=2, steps=4, seed=1, guidance=PartOfSpeech("DET NOUN AUX ADV ADJ PUNCT"), max_length=12)
    for text, held in zip(result.texts, result.certificates, strict=True):
        assert all(held.values()), (text, held)
        assert len(text.removesuffix(".").split()) == 5
    for rule in (Constituents("NP 0-1"), Dependencies("det(1, 0)")):
        (held,) = guests(steps=4, seed=1, guidance=rule, max_length=12).certificates
        assert all(held.values()), held
