"""The cache of memory: pieces are encoded once over all calls, other weights empty it, texts are those of a call without it."""

import torch

from diffusionlm.context import SOURCES, Source
from diffusionlm.context.source import text_piece
from diffusionlm.denoiser import RETRIEVED
from diffusionlm.denoiser.memory_cache import MemoryCache


class Note(Source):
    """A passage, or several."""

    name, segment = "note", RETRIEVED

    def __init__(self, *texts):
        self.texts = texts

    def pieces(self, rows):
        own = [text_piece(rows, self.segment, text, "The note") for text in self.texts]
        return [own for _ in rows.rows]


A, B = "The Mill is a cheap pub.", "Near the river."


def encoded(pipe, monkeypatch):
    """Shapes of what the network encodes from now on, a list that grows."""
    calls, encode = [], pipe.denoiser.encode_context
    monkeypatch.setattr(
        pipe.denoiser, "encode_context", lambda ids, *rest: calls.append(rest[-1]) or encode(ids, *rest)
    )
    return calls


def log_probs(pipe, *texts):
    states = pipe.stream("The [SPAN:4] pub.", prompt="name[Mill]", context=[Note(*texts)], seed=0, steps=1)
    return next(iter(states)).log_probs


def test_a_piece_is_encoded_once_over_all_calls_and_says_the_same(tiny_pipe, monkeypatch):
    tiny_pipe.context_cache.limit = 0
    plain = {texts: log_probs(tiny_pipe, *texts) for texts in ((A,), (B,), (A, B))}
    tiny_pipe.context_cache.limit = 2**20
    calls = encoded(tiny_pipe, monkeypatch)
    for texts, expected in plain.items():
        torch.testing.assert_close(log_probs(tiny_pipe, *texts), expected, atol=1e-5, rtol=1e-5)
    assert calls.count(RETRIEVED) == 2
    info = tiny_pipe.context_cache.info()
    assert (info.pieces, info.misses, info.hits) == (2, 2, 2)
    assert 0 < info.bytes <= info.limit
    tiny_pipe.context_cache.clear()
    assert tiny_pipe.context_cache.info().pieces == tiny_pipe.context_cache.info().hits == 0
    first = log_probs(tiny_pipe, A)
    assert torch.equal(first, log_probs(tiny_pipe, A))


def test_other_weights_empty_it(tiny_pipe):
    weight = tiny_pipe.denoiser.context_in.weight
    before = log_probs(tiny_pipe, A)
    with torch.no_grad():
        weight.mul_(1.5)
    try:
        assert not torch.allclose(log_probs(tiny_pipe, A), before)
        assert tiny_pipe.context_cache.info().pieces == 1
    finally:
        with torch.no_grad():
            weight.div_(1.5)


def test_it_forgets_what_was_used_longest_ago(tiny_pipe):
    log_probs(tiny_pipe, A)
    size = tiny_pipe.context_cache.info().bytes
    tiny_pipe.context_cache = MemoryCache(size + 1)
    for texts in ((A,), (B,), (A,)):
        log_probs(tiny_pipe, *texts)
        assert tiny_pipe.context_cache.info().bytes <= size + 1
    assert tiny_pipe.context_cache.info().misses == 3


def test_sources_are_written_down_as_plain_data(tiny_pipe, tmp_path):
    import pytest

    from diffusionlm.context.written import read_written

    tiny_pipe.learn_concept("mill", [A], vectors=2, steps=1, batch_size=1)
    sources = read_written([{"concept": "mill"}, {"each": [{"image": "a.png"}, None]}], tiny_pipe)
    assert [source.name for source in sources] == ["concept", "each"]
    assert sources[1].sources[0].given == "a.png"
    for value, words in (
        ({"concep": "mill"}, "did you mean 'concept'"),
        ({"concept": {"nam": "mill"}}, "no setting 'nam'"),
        ("mill", "takes sources with their settings"),
        ({"retrieved": {"store": 3}}, "cannot be made"),
        ({"canvas": {}}, "no source of memory 'canvas'"),
    ):
        with pytest.raises(ValueError, match=words):
            read_written(value, tiny_pipe)
    with pytest.raises(FileNotFoundError, match="no store at"):
        read_written({"retrieved": str(tmp_path)}, tiny_pipe)
    assert "each" in SOURCES.available()
