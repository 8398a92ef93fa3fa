"""Neighbours in training batches: other texts of the same prompt, in the memory that retrieved passages have later."""

import numpy as np
import pytest
import torch

from diffusionlm.training.batches import BatchSource
from diffusionlm.training.corpus import TokenCorpus
from diffusionlm.training.neighbours import Neighbours
from diffusionlm.training.step import TrainingStep

PAIRS = [
    ("name[The Mill]", "The Mill is a cheap pub."),
    ("name[The Mill]", "There is a pub called The Mill."),
    ("name[The Mill]", "The Mill is a cheap pub."),
    ("name[The Eagle]", "The Eagle is a coffee shop."),
    ("", "Prices start at £20."),
    ("", "Children are welcome."),
]


@pytest.fixture
def corpus(tiny_tokenizer):
    return TokenCorpus.from_pairs(PAIRS, tiny_tokenizer, 64)


def test_neighbours_are_other_texts_of_the_same_prompt(corpus):
    neighbours = Neighbours(corpus, k=2)
    for seed in range(10):
        drawn = neighbours.draw(np.arange(6), np.random.default_rng(seed))
        assert [len(own) for own in drawn[3:]] == [0, 0, 0]
        assert np.array_equal(drawn[0][0], corpus.text(1))
        assert len(drawn[0]) == len(drawn[2]) == 1  # its double is no neighbour
        assert all(np.array_equal(text, corpus.text(0)) for text in drawn[1])


def test_batches_carry_them_and_the_step_reads_them_as_the_pipeline_does(corpus, tiny_pipe_parts):
    from diffusionlm.denoiser import CANVAS, RETRIEVED, Piece, Places, span_model

    denoiser, tokenizer, _ = tiny_pipe_parts
    source = BatchSource(
        corpus,
        tokenizer.pad_id,
        512,
        (32,),
        task_weights={"whole": 1.0},
        neighbours=Neighbours(corpus, 1, 1.0),
        prompt_share=0.0,
    )
    batch = source.batch(0)
    assert batch.retrieved_ids is not None
    assert torch.equal(batch.rows(1, 3).retrieved_ids, batch.retrieved_ids[1:3])
    assert torch.equal(batch.retrieved_ids, source.batch(0).retrieved_ids)
    context = {k: v for k, v in batch.tensors().items() if k.startswith(("known", "prompt", "retrieved"))}
    trained = TrainingStep(denoiser).memory(**context)
    rows = []
    for ids, mask, at in zip(
        batch.retrieved_ids[:, 0], batch.retrieved_mask[:, 0], batch.retrieved_positions[:, 0], strict=True
    ):
        rows.append([Piece(RETRIEVED, tuple(ids[mask].tolist()), at[mask], ids[mask])] if mask.any() else [])
    count = len(rows)
    places = Places(
        torch.ones(count, 1).bool(), torch.zeros(count, 1).long(), torch.zeros(count, 1).bool(), (1,) * count
    )
    served = span_model(denoiser).condition(rows, places)
    for row in range(count):
        ours, theirs = (memory.keys[1][row][:, memory.mask[row]] for memory in (trained, served))
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    assert CANVAS != RETRIEVED


def test_what_cannot_be_is_refused(corpus, tiny_tokenizer):
    alone = TokenCorpus.from_pairs(PAIRS[3:], tiny_tokenizer, 64)
    with pytest.raises(ValueError, match="no two texts"):
        Neighbours(alone)
    for settings in (0, True, {"k": 2, "share": 0}, {"kk": 2}, "all"):
        with pytest.raises(ValueError, match=r"data\.retrieve"):
            Neighbours.from_settings(settings, corpus)
