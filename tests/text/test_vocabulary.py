"""The vocabulary: surfaces of tokens, and what guidance asks of them."""

import pytest

from diffusionlm.text import TextTokenizer, Vocabulary

SURFACES = (b"", b" The", b" pub", b"s", b" THE", "é".encode()[:1], "é".encode()[1:], b" ")


@pytest.fixture
def vocabulary():
    return Vocabulary(SURFACES, 0, frozenset({0}))


def test_decoding_joins_surfaces_and_mends_nothing_but_whole_characters(vocabulary):
    assert len(vocabulary) == 8
    assert vocabulary.decode([1, 2, 3]) == " The pubs"
    assert vocabulary.decode([0, 2, 0]) == " pub"
    assert vocabulary.decode([5, 6]) == "é"
    assert vocabulary.decode([5]) == "�"
    assert vocabulary.strings[5] == "�"


def test_where_asks_of_the_word_itself_and_never_of_special_tokens(vocabulary):
    assert vocabulary.where(str.isupper).tolist() == [4]
    assert vocabulary.where(lambda text: True).tolist() == [1, 2, 3, 4, 5, 6]
    assert vocabulary.where(lambda text: False).tolist() == []


def test_words_begin_with_a_space(vocabulary):
    assert vocabulary.starts_with_space.tolist() == [False, True, True, False, True, False, False, True]


def test_the_fingerprint_tells_vocabularies_apart(vocabulary):
    same = Vocabulary(SURFACES, 0, frozenset({0}))
    assert same.fingerprint == vocabulary.fingerprint
    others = [
        Vocabulary(SURFACES[:-1], 0, frozenset({0})),
        Vocabulary((*SURFACES[:-2], b" x", b" "), 0, frozenset({0})),
        Vocabulary(SURFACES, 0, frozenset({0, 3})),
        Vocabulary((b"", b" Th", b"e pub", *SURFACES[3:]), 0, frozenset({0})),  # the same bytes, cut elsewhere
    ]
    assert len({v.fingerprint for v in [vocabulary, *others]}) == 5


def test_the_pad_is_a_special_token():
    with pytest.raises(ValueError, match=r"pad_id 1 must be one of the special ids \[0\]"):
        Vocabulary(SURFACES, 1, frozenset({0}))


def test_a_tokenizers_vocabulary_has_all_its_tokens():
    tokenizer = TextTokenizer.train_words(["a pub a pub"], min_count=1)
    assert tokenizer.vocabulary.surfaces == (b"", b"", b" a", b" pub")
    assert tokenizer.vocabulary.special_ids == {0, 1}
