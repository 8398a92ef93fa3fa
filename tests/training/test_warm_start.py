"""Starting from another checkpoint: its weights, another vocabulary, and what is refused."""

import pytest
import torch
from miniature_run import make_config

from diffusionlm.training.export import export_pipeline
from diffusionlm.training.run import build_trainer
from diffusionlm.training.warm_start import pieces_of


@pytest.fixture
def base(tmp_path, texts):
    """A pipeline to start from, its trainer and its tokenizer."""
    trainer, tokenizer = build_trainer(make_config(tmp_path / "base", texts))
    trainer.average.update(trainer.denoiser, 0)
    export_pipeline(trainer, tokenizer, tmp_path / "pipeline", {"name": "euler"}, {"name": "base"})
    return tmp_path / "pipeline", trainer, tokenizer


def test_the_same_vocabulary_gives_the_same_network(base, tmp_path, texts):
    folder, first, _ = base
    changes = {"init": str(folder), "data__tokenizer": {"kind": "init"}, "seed": 5}
    second, _ = build_trainer(make_config(tmp_path / "next", texts, **changes))
    for name, value in first.denoiser.state_dict().items():
        assert torch.equal(second.denoiser.state_dict()[name], value), name


def test_tokens_that_both_have_keep_their_rows_and_others_start_at_the_mean_of_their_pieces(base, tmp_path, texts):
    folder, first, old = base
    changes = {"init": str(folder), "data__tokenizer": {"kind": "bpe", "vocab_size": 280}, "seed": 5}
    second, new = build_trainer(make_config(tmp_path / "next", texts, **changes))
    rows = pieces_of(new, old)
    assert len(rows) == new.vocab_size != old.vocab_size
    before, after = first.denoiser.state_dict(), second.denoiser.state_dict()
    shared = [i for i, s in enumerate(new.vocabulary.surfaces) if s in set(old.vocabulary.surfaces) - {b""}]
    assert len(shared) >= 3
    for i in range(new.vocab_size):
        torch.testing.assert_close(after["embeddings"][i], before["embeddings"][rows[i]].mean(0))
    for i in shared:
        assert old.vocabulary.surfaces[rows[i][0]] == new.vocabulary.surfaces[i]
        assert torch.equal(after["head.weight"][i], before["head.weight"][rows[i][0]])
    assert torch.equal(after["blocks.0.attention.q_proj.weight"], before["blocks.0.attention.q_proj.weight"])


def test_another_architecture_is_refused_and_named(base, tmp_path, texts):
    with pytest.raises(ValueError, match=r"init: the two networks differ in \d+ weights .*model="):
        build_trainer(make_config(tmp_path / "next", texts, init=str(base[0]), model__hidden_size=32))


def test_the_start_is_part_of_the_run(base, tmp_path, texts):
    build_trainer(make_config(tmp_path / "next", texts, init=str(base[0])))
    with pytest.raises(ValueError, match="init was .*now null"):
        build_trainer(make_config(tmp_path / "next", texts))


def test_its_tokenizer_cannot_be_asked_for_without_it(tmp_path, texts):
    with pytest.raises(ValueError, match="give init=NAME too"):
        build_trainer(make_config(tmp_path / "next", texts, data__tokenizer={"kind": "init"}))
