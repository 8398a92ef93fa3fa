"""The tokenizers: text comes back, decoding is concatenation, and saved ones are the same ones."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffusionlm.text import TextTokenizer

CORPUS = ["The Mill is a pub near the river.", "The Wrestlers is a cheap pub.", "A cheap pub near The Mill."] * 4

BPE = TextTokenizer.train_bpe(CORPUS, vocab_size=300)
WORDS = TextTokenizer.train_words(CORPUS, min_count=4)
BYTES = TextTokenizer.bytes()


@given(st.text(max_size=60))
@pytest.mark.parametrize("tokenizer", [BPE, BYTES], ids=["bpe", "byte"])
def test_any_text_comes_back_byte_for_byte(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(st.lists(st.sampled_from(["The", "Mill", "is", "a", "pub", "cheap"]), min_size=1, max_size=9).map(" ".join))
def test_known_words_come_back(text):
    assert WORDS.decode(WORDS.encode(text)) == text
    assert len(WORDS.encode(text)) == len(text.split())


@given(st.text(max_size=30), st.text(max_size=30))
@pytest.mark.parametrize("tokenizer", [BPE, BYTES], ids=["bpe", "byte"])
def test_decoding_is_concatenation(tokenizer, one, other):
    ids = tokenizer.encode(one) + tokenizer.encode(other, continues=True)
    assert tokenizer.decode(ids) == one + other
    assert b"".join(tokenizer.vocabulary.surfaces[i] for i in ids) == f" {one}{other}".encode()


@pytest.mark.parametrize("tokenizer", [BPE, WORDS, BYTES], ids=["bpe", "word", "byte"])
def test_a_word_has_one_spelling_wherever_it_stands(tokenizer):
    first, later = tokenizer.encode("pub"), tokenizer.encode("a pub")
    assert later[-len(first) :] == first


@pytest.mark.parametrize("tokenizer", [BPE, WORDS, BYTES], ids=["bpe", "word", "byte"])
def test_a_batch_is_its_texts(tokenizer):
    assert tokenizer.encode_batch(CORPUS) == [tokenizer.encode(text) for text in CORPUS]
    assert tokenizer.encode_batch([]) == []


@pytest.mark.parametrize("tokenizer", [BPE, WORDS, BYTES], ids=["bpe", "word", "byte"])
def test_pads_vanish_in_the_text(tokenizer):
    ids = tokenizer.encode("a pub")
    assert tokenizer.decode([*ids, tokenizer.pad_id, tokenizer.pad_id]) == "a pub"
    assert tokenizer.pad_id not in ids


def test_rare_words_are_unknown_and_the_unknown_stands_for_no_text():
    ids = WORDS.encode("The zebra pub")
    assert WORDS.decode(ids) == "The pub"
    assert WORDS.vocab_size == 2 + len({word for text in CORPUS for word in text.split()})


def test_the_vocabulary_has_the_size_that_was_asked_for_and_all_bytes():
    assert BPE.vocab_size <= 300
    assert {bytes([i]) for i in range(256)} <= set(BPE.vocabulary.surfaces)
    assert BYTES.vocab_size == 257
    assert TextTokenizer.train_words(["a b c d"], min_count=1, max_size=2).vocab_size == 4


@pytest.mark.parametrize("tokenizer", [BPE, WORDS, BYTES], ids=["bpe", "word", "byte"])
def test_a_saved_tokenizer_is_the_same_one(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    again = TextTokenizer.from_pretrained(tmp_path)
    assert again.kind == tokenizer.kind
    assert again.pad_id == tokenizer.pad_id
    assert again.vocabulary.fingerprint == tokenizer.vocabulary.fingerprint
    assert [again.encode(text) for text in CORPUS] == [tokenizer.encode(text) for text in CORPUS]


def test_training_twice_gives_one_tokenizer():
    again = TextTokenizer.train_bpe(CORPUS, vocab_size=300)
    assert again.vocabulary.fingerprint == BPE.vocabulary.fingerprint


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_meta.json"])
def test_a_missing_file_is_named(tmp_path, name):
    BPE.save_pretrained(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"No {name} in "):
        TextTokenizer.from_pretrained(tmp_path)


@pytest.mark.parametrize(("name", "content"), [("tokenizer.json", "{"), ("tokenizer_meta.json", "[]")])
def test_a_damaged_file_is_one_sentence(tmp_path, name, content):
    BPE.save_pretrained(tmp_path)
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=rf"The tokenizer.s .*{name} cannot be read"):
        TextTokenizer.from_pretrained(tmp_path)


def test_what_cannot_be_a_tokenizer_is_refused(tmp_path):
    with pytest.raises(ValueError, match="vocab_size must be at least 257"):
        TextTokenizer.train_bpe(CORPUS, vocab_size=100)
    with pytest.raises(ValueError, match="Unknown kind of tokenizer 'letters'"):
        TextTokenizer(BPE.backend, "letters")
    BPE.save_pretrained(tmp_path)
    (tmp_path / "tokenizer_meta.json").write_text(json.dumps({"kind": "letters"}))
    with pytest.raises(ValueError, match="Unknown kind of tokenizer 'letters'"):
        TextTokenizer.from_pretrained(tmp_path)
