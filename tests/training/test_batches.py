"""Batches: a pure function of (seed, stream, step), padded to common lengths, drawn fairly."""

import hashlib

import numpy as np
import pytest
import torch

from diffusionlm.training.batches import BatchSource, collate
from diffusionlm.training.corpus import TokenCorpus
from diffusionlm.training.tasks import draw_infill, draw_whole

PAD = 0


def flat(lengths):
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return (np.arange(offsets[-1]) % 50 + 1).astype(np.int32), offsets


@pytest.fixture(scope="module")
def corpus():
    rng = np.random.default_rng(7)
    lengths, prompts = rng.integers(1, 33, 200), rng.integers(0, 9, 200)
    return TokenCorpus(*flat(lengths), *flat(prompts))


def source(corpus, **changes):
    return BatchSource(corpus, PAD, **{"tokens_per_batch": 256, "limits": (32,), **changes})


@pytest.mark.parametrize(
    ("settings", "digest"),
    [
        ({}, "39ae0fcc6588d25bee435436c1ef5022585f096cce6f83d7ef3fcaec1a8262ef"),
        (
            {"limits": (16, 32), "limit_weights": (0.3, 0.7), "prompt_share": 0.9, "seed": 3},
            "ec84152b90e1aab4b8555ac056ede06feb5e584b1c87e1a4a8e9827a07b8e000",
        ),
    ],
)
def test_what_a_step_draws_is_part_of_the_checkpoint_format(corpus, settings, digest):
    found = hashlib.sha256()
    batches = source(corpus, **settings)
    for stream in (0, 1, 10):
        for step in range(12):
            for name, tensor in batches.batch(step, stream).tensors().items():
                found.update(name.encode() + str(tuple(tensor.shape)).encode() + tensor.numpy().tobytes())
    assert found.hexdigest() == digest, "runs that have begun would not continue to the same losses"


def equal(one, other):
    return all(torch.equal(one.tensors()[name], other.tensors()[name]) for name in one.tensors())


def test_a_batch_depends_on_seed_stream_and_step_and_on_no_batch_before_it(corpus):
    again = source(corpus)
    again.batch(3)
    assert equal(source(corpus).batch(5), again.batch(5))
    shapes = {
        (seed, stream, step): source(corpus, seed=seed).batch(step, stream).span_ids
        for seed in (0, 1)
        for stream in (0, 1)
        for step in (5, 6)
    }
    distinct = {tuple(ids.flatten().tolist()) for ids in shapes.values()}
    assert len(distinct) == len(shapes)


def test_every_row_holds_a_text_of_the_corpus(corpus):
    texts = {tuple(corpus.text(i).tolist()) for i in range(len(corpus))}
    for step in range(20):
        batch = source(corpus).batch(step)
        for row in range(batch.span_ids.shape[0]):
            span, known = batch.span_mask[row], batch.known_mask[row]
            positions = torch.cat((batch.span_positions[row][span], batch.known_positions[row][known]))
            tokens = torch.cat((batch.span_ids[row][span], batch.known_ids[row][known]))[positions.argsort()]
            assert tuple(tokens[tokens != PAD].tolist()) in texts


def test_prompts_stand_before_position_zero_and_come_with_their_share(corpus):
    shown = [source(corpus, prompt_share=0.3).batch(step).prompt_ids.shape[1] > 0 for step in range(200)]
    assert 0.2 < np.mean(shown) < 0.4
    batch = next(b for b in map(source(corpus, prompt_share=1.0).batch, range(9)) if b.prompt_mask.any())
    assert (batch.prompt_positions[batch.prompt_mask] < 0).all()
    assert batch.prompt_positions[batch.prompt_mask].max() == -1


def test_tasks_come_with_their_shares(corpus):
    batches = source(corpus, task_weights={"whole": 0.5, "infill": 0.5})
    tasks = [batches.batch(step).task for step in range(200)]
    assert set(tasks) == {"whole", "infill"}
    assert 0.4 < tasks.count("whole") / 200 < 0.6


def test_the_limit_is_drawn_before_the_text(corpus):
    batches = source(corpus, limits=(16, 32), task_weights={"whole": 1.0})
    short = [b for b in map(batches.batch, range(100)) if b.span_ids.shape[1] == 16]
    assert 30 < len(short) < 70
    lengths = np.concatenate([(b.span_ids != PAD).sum(1).numpy() for b in short])
    expected = corpus.lengths[corpus.lengths <= 16]
    assert abs(lengths.mean() - expected.mean()) < 1.0  # all fitting texts equally, not those that fill the limit


def test_every_text_is_drawn_equally_often(corpus):
    batches = source(corpus, task_weights={"prefix": 1.0}, prompt_share=0.0)
    lengths = []
    for step in range(150):
        batch = batches.batch(step)
        lengths += ((batch.span_ids != PAD).sum(1) + batch.known_mask.sum(1)).tolist()
    assert abs(np.mean(lengths) - corpus.lengths.mean()) < 1.5


def test_rows_of_a_batch_are_alike_in_length(corpus):
    batches = source(corpus, task_weights={"infill": 1.0}, prompt_share=0.0)
    spread = []
    for step in range(30):
        batch = batches.batch(step)
        spread.append(float(((batch.span_ids != PAD).sum(1) + batch.known_mask.sum(1)).double().std()))
    assert np.mean(spread) < corpus.lengths.std() / 3


def test_sources_are_drawn_by_their_shares():
    few, many = flat([4] * 10), flat([5] * 190)
    none = flat([0] * 10), flat([0] * 190)
    corpora = [TokenCorpus(*few, *none[0]), TokenCorpus(*many, *none[1])]
    drawn = source(TokenCorpus.mix(corpora, [3, 1]), limits=(8,), task_weights={"whole": 1.0})
    lengths = np.concatenate([(drawn.batch(step).span_ids != PAD).sum(1).numpy() for step in range(60)])
    assert 0.7 < (lengths == 4).mean() < 0.8
    equally = source(TokenCorpus.mix(corpora), limits=(8,), task_weights={"whole": 1.0})
    lengths = np.concatenate([(equally.batch(step).span_ids != PAD).sum(1).numpy() for step in range(60)])
    assert 0.02 < (lengths == 4).mean() < 0.1


def test_no_batch_has_fewer_rows_than_promised(corpus):
    batches = source(corpus, limits=(16, 32), prompt_share=0.5)
    assert min(batches.batch(step).span_ids.shape[0] for step in range(100)) >= batches.min_rows
    assert source(corpus, tokens_per_batch=40).min_rows == 1


def test_collate_pads_to_a_multiple_and_masks_what_it_added():
    rng = np.random.default_rng(0)
    ids = np.arange(1, 10, dtype=np.int32)
    layouts = [draw_infill(ids, 0.4, PAD, rng), draw_infill(ids[:4], 0.6, PAD, rng)]
    batch = collate(layouts, [ids[:3], ids[:0]], PAD, multiple=8)
    for name in ("span", "known", "prompt"):
        assert getattr(batch, f"{name}_ids").shape[1] == 8
        assert getattr(batch, f"{name}_ids").shape == getattr(batch, f"{name}_mask").shape
    for row, layout in enumerate(layouts):
        length = len(layout.span_ids)
        assert batch.span_ids[row, :length].tolist() == layout.span_ids.tolist()
        assert batch.open_mask[row, :length].tolist() == layout.open_mask.tolist()
        assert batch.span_mask[row].tolist() == [True] * length + [False] * (8 - length)
        assert not batch.open_mask[row, length:].any()
    assert batch.prompt_mask.tolist() == [[True] * 3 + [False] * 5, [False] * 8]
    assert batch.num_tokens == sum(len(layout.span_ids) for layout in layouts)


def test_a_part_that_no_row_has_takes_no_room():
    ids = np.arange(1, 5, dtype=np.int32)
    batch = collate([draw_whole(ids, 8, PAD)], [ids[:0]], PAD, multiple=8)
    assert batch.known_ids.shape == batch.prompt_ids.shape == (1, 0)


def test_rows_split_a_batch(corpus):
    batch = source(corpus).batch(2)
    size = batch.span_ids.shape[0]
    parts = [batch.rows(0, 3), batch.rows(3, size)]
    for name, tensor in batch.tensors().items():
        assert torch.equal(torch.cat([part.tensors()[name] for part in parts]), tensor)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"task_weights": {"hole": 1.0}}, "data.task_weights must weigh some of"),
        ({"task_weights": {"whole": 0.0}}, "data.task_weights must weigh some of"),
        ({"task_weights": {"whole": 2.0, "infill": -1.0}}, "data.task_weights must weigh some of"),
        ({"limit_weights": (1.0, 2.0)}, "one weight for each limit"),
        ({"limits": ()}, "one weight for each limit"),
        ({"limits": (0, 32)}, "the shortest has 1 tokens; raise the lowest of data.limits"),
        ({"tokens_per_batch": 0}, "data.tokens_per_batch must be at least 1"),
        ({"prompt_share": 1.5}, r"data.prompt_share in \[0, 1\]"),
    ],
)
def test_settings_that_cannot_be_are_refused(corpus, settings, message):
    with pytest.raises(ValueError, match=message):
        source(corpus, **settings)
