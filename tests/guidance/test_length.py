"""`Length(whole=True)`: an exact length that ends where a sentence does."""

import pytest

from diffusionlm.guidance import PII, Length, UnsatisfiableConstraint
from diffusionlm.guidance.length import ends_sentence

WHOLE = ["It is.", "Is it?", "No!", "Well…", "He said 'no.'", "(It is.)", "“Yes!”", "a\nb.", "..."]
CUT = ["It is", "It is,", "It is. ", "", "'no'", "It is;", ".a"]


@pytest.mark.parametrize("text", WHOLE)
def test_sentences_end_so(text):
    assert ends_sentence().accepts(text)


@pytest.mark.parametrize("text", CUT)
def test_nothing_else_is_the_end_of_one(text):
    assert not ends_sentence().accepts(text)


def test_a_length_is_kept_and_the_sentence_ends(tiny_pipe):
    cut, whole = (
        tiny_pipe(num_samples=6, steps=2, seed=0, max_length=12, guidance=[Length(words=4, whole=whole), PII()])
        for whole in (False, True)
    )
    assert {len(text.split()) for text in (*cut.texts, *whole.texts)} == {4}
    assert not all(map(ends_sentence().accepts, cut.texts))  # or the test says nothing
    assert all(map(ends_sentence().accepts, whole.texts))
    assert all(held["ends a sentence"] for held in whole.certificates)
    assert all("ends a sentence" not in held for held in cut.certificates)


def test_known_text_is_the_end_where_it_stands_there(tiny_pipe):
    assert tiny_pipe("The [SPAN:2].", steps=1, seed=0, guidance=Length(words=(1, 9), whole=True)).texts[0].endswith(".")
    with pytest.raises(UnsatisfiableConstraint, match="ends a sentence"):
        tiny_pipe("The [SPAN:2] pub", steps=1, seed=0, guidance=Length(words=(1, 9), whole=True))


def test_whole_is_a_switch():
    with pytest.raises(ValueError, match="whole of 'length' must be True or False, got 'yes'"):
        Length(words=3, whole="yes")
    with pytest.raises(ValueError, match="needs words, tokens or characters"):
        Length(whole=True)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"words": (None, None)}, "asks for nothing"),
        ({"words": (0, None)}, "asks for nothing"),
        ({"words": 2.5}, "must be a whole number or a range of two"),
        ({"words": "5"}, "must be a whole number or a range of two"),
    ],
)
def test_a_length_that_is_none_is_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        Length(**settings)
