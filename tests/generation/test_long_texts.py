"""Texts longer than the model takes: rules hold across the borders of blocks, cost grows with the length, memory does not."""

import copy
import re

import pytest
import torch

from diffusionlm import DiffusionLMPipeline
from diffusionlm.denoiser import DenoiserConfig, SpanDenoiser
from diffusionlm.guidance import Length, Phrases, Regex
from diffusionlm.text import TextTokenizer

PATTERN = r"[a-z] ?[a-z]"
ONCE = [Phrases(include=["The Eagle"]), Regex(forbid=r"Eagle[\s\S]*Eagle")]


@pytest.fixture(params=["gaussian", "masked"])
def pipe(request, tiny_pipe, tiny_pipe_parts):
    """The tiny pipeline, of both processes."""
    if request.param == "gaussian":
        return tiny_pipe
    denoiser, tokenizer, _ = tiny_pipe_parts
    masked = copy.deepcopy(denoiser)
    masked.config.process = "masked"
    pipe = DiffusionLMPipeline(masked, tokenizer, max_length=24, max_span_length=6)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def borders(pipe, sample, block):
    """Characters at which blocks of a text from nothing end."""
    (ids,) = sample.token_ids
    decode = pipe.tokenizer.vocabulary.decode
    return [len(decode(ids[:end])) - 1 for end in range(block, len(ids), block)]


def test_a_forbidden_pattern_stands_across_no_border(pipe):
    call = {"num_samples": 9, "steps": 2, "block_length": 4, "seed": 3}
    free = pipe("[SPAN:24]", **call)
    crossing = [
        match
        for sample in free.samples[0]
        for border in borders(pipe, sample, 4)
        for match in re.finditer(PATTERN, sample.text)
        if match.start() < border < match.end()
    ]
    assert crossing, "the rule would have nothing to do at a border"
    held = pipe("[SPAN:24]", **call, guidance=Regex(forbid=PATTERN))
    assert [text for text in held.texts if re.search(PATTERN, text)] == []
    assert all(all(own.values()) for own in held.certificates)
    assert [len(ids) for (ids,) in held.token_ids] == [24] * 9


def test_a_phrase_stands_once_and_the_length_is_that_of_the_whole_text(pipe):
    result = pipe(max_length=72, num_samples=2, steps=2, seed=1, guidance=[*ONCE, Length(words=(17, 19))])
    for text, held in zip(result.texts, result.certificates, strict=True):
        assert text.count("The Eagle") == 1
        assert 17 <= len(text.split()) <= 19
        assert len(held) == 3
        assert all(held.values())


def test_what_is_still_owed_comes_in_the_last_block(tiny_pipe):
    rules = [Phrases(include=["The Eagle", "coffee"]), Length(tokens=20)]
    for text in tiny_pipe(max_length=20, block_length=7, num_samples=2, steps=1, seed=0, guidance=rules).texts:
        assert "The Eagle" in text
        assert "coffee" in text
        assert len(tiny_pipe.tokenizer.encode(text)) >= 10


def test_cost_grows_with_the_length_and_memory_does_not(tiny_pipe, monkeypatch):
    passes: list[tuple[int, int]] = []
    forward = SpanDenoiser.forward

    def counted(self, latents, gamma, memory=None, *rest, **others):
        passes.append((latents.shape[1], 0 if memory is None else memory.length))
        return forward(self, latents, gamma, memory, *rest, **others)

    monkeypatch.setattr(SpanDenoiser, "forward", counted)
    positions = []
    for length in (64, 96, 128):
        passes.clear()
        tiny_pipe(f"[SPAN:{length}]", steps=1, block_length=16, seed=0)
        assert max(own + memory for own, memory in passes) == 64  # what the model takes
        positions.append(sum(own + memory for own, memory in passes))
    assert positions[2] - positions[1] == positions[1] - positions[0] == 2 * 64


def test_blocks_come_as_they_are_written(tiny_pipe):
    states = list(tiny_pipe.stream("Near the river [SPAN:20].", steps=2, block_length=8, seed=0))
    text = states.pop().texts[0]
    assert len(states) == 3 * 2  # 20 positions in blocks of 7, 7 and 6
    seen = [state.texts()[0] for state in states]
    assert text.startswith("Near the river ")
    assert text.endswith(".")
    assert not seen[0].endswith("..")
    last = seen[-1]
    assert last.startswith("Near the river ")
    assert len(seen[1]) < len(seen[3]) < len(last)


def test_a_text_does_not_depend_on_what_is_written_beside_it(tiny_pipe):
    long, short = "[SPAN:70] by the [SPAN:3] river.", "A [SPAN:4]."
    both = tiny_pipe([long, short], steps=2, seed=5)
    assert both.texts[0] == tiny_pipe(long, steps=2, seed=5).texts
    assert both.texts[1] == tiny_pipe(short, steps=2, seed=5).texts
    assert both.texts[0][0].endswith(" river.")
    assert " by the " in both.texts[0][0]


def test_known_text_longer_than_the_model_takes_stays_as_it_is(tiny_pipe):
    known = "The Mill is a cheap pub near the river. " * 8
    (text,) = tiny_pipe(known + "[SPAN:4] end [SPAN]", steps=2, seed=0, guidance=Regex(forbid="q")).texts
    assert text.startswith(known)


def test_bytes_end_no_block_within_a_character():
    tokenizer = TextTokenizer.bytes()
    torch.manual_seed(3)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 16}
    config = DenoiserConfig(
        vocab_size=257,
        embedding_size=8,
        condition_size=8,
        max_position_embeddings=24,
        patch_size=2,
        process="masked",
        **sizes,
    )
    pipe = DiffusionLMPipeline(SpanDenoiser(config).eval(), tokenizer)
    pipe.set_progress_bar_config(disable=True)
    for guidance in (None, Phrases(include=["pub 🍺"])):
        result = pipe("[SPAN:23]", num_samples=2, steps=1, seed=0, block_length=5, guidance=guidance)
        for text, (ids,) in zip(result.texts, result.token_ids, strict=True):
            assert "\ufffd" not in text
            assert b"".join(tokenizer.vocabulary.surfaces[i] for i in ids).decode() in (text, " " + text)
            assert guidance is None or "pub 🍺" in text


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            {"guidance": Phrases(include=list("abcde"))},
            "'phrases' cannot be handed on from block to block.*at most 4 phrases",
        ),
        ({"block_length": 65}, r"block_length must lie in 1\.\.64.*got 65"),
        ({"block_length": 0}, "block_length must be an integer of at least 1"),
        ({"guidance": [Phrases(include=["The Eagle"]), Length(words=1)]}, "not all together"),
    ],
)
def test_what_cannot_be_is_refused_before_work_starts(tiny_pipe, monkeypatch, call, words):
    monkeypatch.setattr(tiny_pipe.denoiser, "forward", None)
    with pytest.raises(ValueError, match=words):
        tiny_pipe(max_length=100, **call)
    with pytest.raises(ValueError, match="posterior of the text all at once"):
        tiny_pipe.choose("[SPAN:80] is a [CHOICE:pub|bar]", steps=1, draws=2)
