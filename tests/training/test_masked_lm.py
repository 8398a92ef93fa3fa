"""A masked language model of transformers learns to write: what it starts from, what it keeps, what is written."""

import json
import warnings

import pytest
import torch
from miniature_run import make_config, write_texts

from diffusionlm import DiffusionLMPipeline
from diffusionlm.families.tiny import tiny_module
from diffusionlm.training.adaptation import adapts_somebody_else_s, build_adaptation
from diffusionlm.training.masked_lm import (
    END,
    MASK,
    SEPARATOR,
    is_masked_lm,
    load_base,
    move_vocabulary,
    train_vocabulary,
)

TEXTS = ["The river runs past the old mill.", "Good food near the river.", "Is the pub cheap?"] * 20


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    """Folders of a tiny random BERT, ModernBERT and Llama."""
    folder = tmp_path_factory.mktemp("bases")
    for name in ("bert", "modernbert", "llama"):
        module, source = tiny_module(name)
        module.save_pretrained(folder / name)
        source.save_pretrained(folder / name)
    return folder


@pytest.fixture
def build(tmp_path, bases):
    """Builds a run in an empty folder."""

    def make(base="bert", kind="bpe", where="run", texts=None, **changes):
        changes = {
            "trainer__clean_share": 0.0,
            "trainer__self_condition_share": 0.0,
            "trainer__valid_batches": 1,
            **changes,
        }
        texts = write_texts(tmp_path / "texts.txt") if texts is None else texts
        config = make_config(tmp_path / where, texts, **changes)
        config |= {
            "init": str(bases / base),
            "adapter": {"kind": "none"},
            "samples": 1,
            "sampler": {"name": "unmasking"},
        }
        config["export"] = str(tmp_path / where / "pipeline")
        config["data"] |= {"tokenizer": {"kind": kind, "vocab_size": 300}, "max_length": 32, "limits": [32]}
        config["data"] |= {"tokens_per_batch": 256}
        config["schedule"] = {"kind": "masking"}
        config["optimizer"] = {"name": "adamw", "learning_rate": 1e-2}
        return build_adaptation(config)

    return make


@pytest.mark.parametrize("base", ["bert", "modernbert"])
def test_the_bound_falls_and_the_folder_is_a_pipeline(build, base):
    run = build(base, trainer__max_steps=25, trainer__valid_every=100, trainer__save_every=100)
    before = run.trainer.validate()["valid_bound"]
    run.trainer.run()
    after = run.trainer.validate()["valid_bound"]
    assert after < 0.8 * before
    folder = run.write({"name": "mine"})
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # it was trained to write from nothing
        pipe = DiffusionLMPipeline.from_pretrained(folder)
    assert pipe.card["training"]["valid_bound"] == pytest.approx(after)
    assert pipe.max_length == 32
    assert pipe.bigrams == 0.5  # the neighbours of its texts come with it
    assert "river" in pipe("The [SPAN:4].", steps=4, seed=0, guidance={"phrases": {"include": ["river"]}}).texts[0]


def test_a_run_goes_on_where_it_stopped(build):
    whole = build(trainer__max_steps=8, trainer__save_every=4)
    whole.trainer.run()
    build(where="cut", trainer__max_steps=4, trainer__save_every=4).trainer.run()
    cut = build(where="cut", trainer__max_steps=8, trainer__save_every=4)
    cut.trainer.run()
    for (name, one), (_, other) in zip(
        whole.trainer.denoiser.named_parameters(), cut.trainer.denoiser.named_parameters(), strict=True
    ):
        assert torch.equal(one, other), name


def test_new_tokens_begin_as_their_pieces_and_the_old_vocabulary_can_stay(bases):
    module, own = tiny_module("bert")
    old = module.get_input_embeddings().weight.detach().clone()
    source = train_vocabulary(TEXTS, 300)
    move_vocabulary(module, own, source)
    table = module.get_input_embeddings().weight
    assert table.shape[0] == len(source) == module.get_output_embeddings().weight.shape[0] == module.config.vocab_size
    assert table.data_ptr() == module.get_output_embeddings().weight.data_ptr()  # tied as before
    word = source.convert_tokens_to_ids("Ġriver")
    assert torch.allclose(table[word], old[own.encode("river", add_special_tokens=False)].mean(0))
    assert torch.equal(table[source.convert_tokens_to_ids(MASK)], old[own.mask_token_id])
    assert torch.equal(table[source.convert_tokens_to_ids(END)], old[own.sep_token_id])

    kept = load_base(bases / "bert", None, 300)
    assert len(kept.source) == len(own)
    assert torch.equal(kept.module.get_input_embeddings().weight, tiny_module("bert")[0].get_input_embeddings().weight)


def test_a_prompt_ends_in_a_token_of_its_own_even_when_cut(build, tmp_path):
    file = tmp_path / "pairs.jsonl"
    rows = [{"text": text, "prompt": "is it good? " * (1 + 9 * (n % 2))} for n, text in enumerate(TEXTS)]
    file.write_text("\n".join(map(json.dumps, rows)))
    run = build(texts=file, data__prompt_field="prompt", data__format="jsonl", data__max_prompt_length=12)
    corpus, source = run.trainer.train_source.corpus, run.loaded.tokenizer.source
    separator = source.convert_tokens_to_ids(SEPARATOR)
    lengths = set()
    for row in range(len(corpus)):
        prompt = corpus.prompt(row).tolist()
        assert prompt[-1] == separator
        assert prompt.count(separator) == 1
        lengths.add(len(prompt))
    assert max(lengths) == 12 > min(lengths)


def test_what_can_be_trained_so(bases):
    assert is_masked_lm("minilm")
    assert is_masked_lm(bases / "modernbert")
    assert not is_masked_lm("restaurant")
    assert not is_masked_lm(bases / "llama")
    assert adapts_somebody_else_s({"init": str(bases / "bert")})
    with pytest.raises(ValueError, match="experiment=masked_lm"):
        adapts_somebody_else_s({"init": str(bases / "bert"), "adapter": {"kind": "lora"}})
    with pytest.raises(ValueError, match="experiment=adapt init"):
        adapts_somebody_else_s({"init": str(bases / "llama"), "adapter": {"kind": "none"}})


def test_settings_that_cannot_be(build):
    with pytest.raises(ValueError, match="byte-level BPE or its own"):
        build(kind="word")
    with pytest.raises(ValueError, match="at least 259"):
        train_vocabulary(TEXTS, 100)
