"""Tokenised corpora, and their cache on disk."""

from concurrent.futures import ThreadPoolExecutor
from threading import get_ident
from time import sleep

import numpy as np
import pytest

from diffusionlm.corpora.sources import TextSource
from diffusionlm.text import TextTokenizer
from diffusionlm.training.cache import load_corpus
from diffusionlm.training.corpus import TokenCorpus

PAIRS = [
    ("name[The Mill]", "The Mill is a pub"),
    ("", "a pub"),
    ("food[Thai]", "Thai food"),
    ("", "one of five more words"),
]


@pytest.fixture(scope="module")
def tokenizer():
    return TextTokenizer.train_words([part for pair in PAIRS for part in pair], min_count=1)


def same(one, other):
    names = ("ids", "offsets", "prompt_ids", "prompt_offsets")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


def test_texts_and_prompts_come_back(tokenizer):
    corpus = TokenCorpus.from_pairs(PAIRS, tokenizer, max_length=8)
    assert [(tokenizer.decode(corpus.prompt(i)), tokenizer.decode(corpus.text(i))) for i in range(4)] == PAIRS
    assert corpus.has_prompt.tolist() == [True, False, True, False]
    assert corpus.lengths.tolist() == [5, 2, 2, 5]


def test_long_texts_are_left_out_and_counted_and_long_prompts_are_cut(tokenizer):
    corpus = TokenCorpus.from_pairs(PAIRS, tokenizer, max_length=4, max_prompt_length=1)
    assert [tokenizer.decode(corpus.text(i)) for i in range(len(corpus))] == ["a pub", "Thai food"]
    assert corpus.left_out == 2
    assert np.diff(corpus.prompt_offsets).tolist() == [0, 1]


def test_a_corpus_without_a_fitting_text_says_what_to_do(tokenizer):
    with pytest.raises(ValueError, match=r"None of the 4 texts of 'x.txt' has 1 to 1 tokens; .* raise data.max_length"):
        TokenCorpus.from_pairs(PAIRS, tokenizer, max_length=1, name="'x.txt'")


def test_chunks_leave_no_trace(tokenizer, monkeypatch):
    whole = TokenCorpus.from_pairs(PAIRS, tokenizer, max_length=8)
    monkeypatch.setattr("diffusionlm.training.corpus._CHUNK", 3)
    assert same(TokenCorpus.from_pairs(iter(PAIRS), tokenizer, max_length=8), whole)


def test_a_mix_is_the_corpora_end_to_end(tokenizer):
    parts = [TokenCorpus.from_pairs(PAIRS[:1], tokenizer, 8), TokenCorpus.from_pairs(PAIRS[1:], tokenizer, 8)]
    assert same(TokenCorpus.mix(parts), TokenCorpus.from_pairs(PAIRS, tokenizer, 8))
    weighted = TokenCorpus.mix(parts, [1, 3])
    assert weighted.shares == (0.25, 0.75)
    assert weighted.source.tolist() == [0, 1, 1, 1]


def test_holding_out_splits_without_loss_or_overlap(tokenizer):
    pairs = [("", f"a {'pub ' * (i % 5 + 1)}".strip()) for i in range(40)]
    corpus = TokenCorpus.from_pairs([*pairs, ("", "pub " * 99)], tokenizer, 8)
    train, valid = corpus.hold_out(0.25, seed=0)
    assert (len(train), len(valid)) == (30, 10)
    assert (train.left_out, valid.left_out) == (1, 0)
    assert sorted([*train.lengths, *valid.lengths]) == sorted(corpus.lengths)
    assert same(corpus.hold_out(0.25, seed=0)[1], valid)
    assert not same(corpus.hold_out(0.25, seed=1)[1], valid)
    with pytest.raises(ValueError, match="leaves nothing"):
        corpus.hold_out(0.001, seed=0)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(text for _, text in PAIRS))
    return path


def corpora(cache):
    return [path for path in cache.iterdir() if not path.name.startswith(".lock_")]


def load(file, tokenizer, folder, max_length=8):
    return load_corpus([TextSource(str(file))], tokenizer, max_length, 128, folder)


def test_the_second_time_nothing_is_tokenised(file, tokenizer, tmp_path, monkeypatch):
    first = load(file, tokenizer, tmp_path / "cache")
    monkeypatch.setattr(TextTokenizer, "encode_batch", None)
    assert same(load(file, tokenizer, tmp_path / "cache"), first)


def test_large_arrays_are_mapped_not_read(file, tokenizer, tmp_path, monkeypatch):
    first = load(file, tokenizer, tmp_path / "cache")
    monkeypatch.setattr("diffusionlm.training.cache._SMALL", 130)
    second = load(file, tokenizer, tmp_path / "cache")
    assert same(second, first)
    assert isinstance(second.ids.base, np.memmap)
    assert not second.ids.flags.writeable


def test_runs_that_begin_together_tokenise_once(file, tokenizer, tmp_path, monkeypatch):
    made = []
    encode = TextTokenizer.encode_batch

    def slowly(self, texts):
        made.append(get_ident())
        sleep(0.2)
        return encode(self, texts)

    monkeypatch.setattr(TextTokenizer, "encode_batch", slowly)
    with ThreadPoolExecutor(4) as runs:
        found = list(runs.map(lambda _: load(file, tokenizer, tmp_path / "cache"), range(4)))
    assert all(same(corpus, found[0]) for corpus in found)
    assert len(set(made)) == 1


@pytest.mark.parametrize("change", ["content", "max_length", "tokenizer"])
def test_what_changes_the_tokens_changes_the_key(file, tokenizer, tmp_path, change):
    before = load(file, tokenizer, tmp_path / "cache")
    if change == "content":
        file.write_text("Thai food\n")
    other = TextTokenizer.bytes() if change == "tokenizer" else tokenizer
    after = load(file, other, tmp_path / "cache", max_length=2 if change == "max_length" else 30)
    assert not same(before, after)
    assert len(corpora(tmp_path / "cache")) == 2


@pytest.mark.parametrize("damage", ["cut", "mixed up", "no meta", "pickle"])
def test_a_damaged_cache_is_made_again_and_says_so(file, tokenizer, tmp_path, caplog, damage):
    first = load(file, tokenizer, tmp_path / "cache")
    (place,) = corpora(tmp_path / "cache")
    ids = place / "ids.npy"
    if damage == "cut":
        ids.write_bytes(ids.read_bytes()[:-4])
    elif damage == "mixed up":
        np.save(ids, np.zeros(3, dtype=np.int32))
    elif damage == "no meta":
        (place / "meta.json").unlink()
    else:
        np.save(ids, np.array([print], dtype=object), allow_pickle=True)
    assert same(load(file, tokenizer, tmp_path / "cache"), first)
    assert "is damaged" in caplog.text
    assert "it is made again" in caplog.text
    caplog.clear()
    load(file, tokenizer, tmp_path / "cache")
    assert caplog.text == ""


def test_a_cache_that_cannot_be_written_leaves_nothing(file, tokenizer, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("diffusionlm.training.cache.np.save", full)
    with pytest.raises(OSError, match="No space left"):
        load(file, tokenizer, tmp_path / "cache")
    assert corpora(tmp_path / "cache") == []


def test_without_a_folder_nothing_is_written(file, tokenizer, tmp_path):
    load(file, tokenizer, None)
    assert [path.name for path in tmp_path.iterdir()] == ["texts.txt"]
