"""Readers of masked models: they learn from texts some of whose tokens are hidden, decided ones as they are."""

import pytest
import torch

from diffusionlm import DiffusionLMPipeline
from diffusionlm.families.tiny import tiny_loaded
from diffusionlm.training.classifiers.batches import NoisyTexts
from diffusionlm.training.classifiers.labelled import Example
from diffusionlm.training.classifiers.settings import ReaderSettings
from diffusionlm.training.classifiers.training import evaluate_reader, train_reader

EXAMPLES = [
    Example(
        f"the {name} is near the {place}.", {"river": float(place == "river")}, [], prompt="the food" if i % 2 else ""
    )
    for i, (name, place) in enumerate([("pub", "river"), ("mill", "centre"), ("food", "river"), ("pub", "centre")] * 5)
]


@pytest.fixture(scope="module", params=["qwen3", "modernbert"])
def pipe(request):
    loaded = tiny_loaded(request.param)
    made = DiffusionLMPipeline(loaded.model, loaded.tokenizer, **loaded.defaults)
    made.set_progress_bar_config(disable=True)
    made.max_length = 48
    return made


def texts_of(pipe, **changes):
    settings = ReaderSettings(tokens_per_batch=300, surer_share=0.0, clean_share=0.0, **changes)
    return NoisyTexts(pipe, EXAMPLES, ["river"], [], settings)


@pytest.mark.parametrize("plain", [False, True])
def test_the_share_of_hidden_tokens_is_that_of_the_level_and_others_are_shown(pipe, plain):
    texts = texts_of(pipe)
    for u in (0.2, 0.8):
        batches = [texts.batch(step, u, clean=False, plain=plain) for step in range(6)]
        tops = torch.cat([batch.text.probs.amax(-1)[batch.text.span_mask] for batch in batches])
        least = 0.8 if plain else 0.2  # the network is certain of pads behind a pad that is shown
        assert least * u < float((tops < 0.999).float().mean()) < 1.2 * u
        sums = torch.cat([batch.text.probs.sum(-1)[batch.text.span_mask] for batch in batches])
        torch.testing.assert_close(sums, torch.ones_like(sums))
        assert all(torch.equal(batch.gamma, batch.gamma[:1].expand_as(batch.gamma)) for batch in batches)


def test_what_is_said_of_hidden_tokens_depends_on_the_prompt(pipe):
    texts = texts_of(pipe, prompt_share=1.0, task_weights={"whole": 1.0})
    with_prompt = texts.batch(1, 0.9, clean=False)
    without = texts_of(pipe, prompt_share=0.0, task_weights={"whole": 1.0}).batch(1, 0.9, clean=False)
    same = with_prompt.text.span_mask & without.text.span_mask
    assert not torch.allclose(with_prompt.text.probs[same], without.text.probs[same])


def test_a_reader_learns_to_tell_texts_apart(pipe):
    settings = ReaderSettings(max_steps=80, tokens_per_batch=300, learning_rate=1e-2, clean_share=0.6, plain_share=0.3)
    reader = train_reader(pipe, EXAMPLES, settings=settings, shape={"hidden_size": 16, "num_hidden_layers": 1})
    assert reader.config.vocabulary_fingerprint == pipe.tokenizer.vocabulary.fingerprint
    found = evaluate_reader(reader, pipe, EXAMPLES, levels=(None, 0.95), batches=2)
    assert found["clean"]["auc river"] > 0.9
    assert found["clean"]["auc river"] >= found["u=0.95"]["auc river"]
