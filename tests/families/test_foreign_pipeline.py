"""Somebody else's model through our pipeline: infilling, hard rules, soft plugins, seeds, and what is refused."""

import pytest
import torch

from diffusionlm import DiffusionLMPipeline, Guidance
from diffusionlm.families.tiny import tiny_loaded, tiny_module

NAMES = ["bert", "modernbert", "qwen3", "llama", "mdlm", "langflow"]


@pytest.fixture(scope="module", params=NAMES)
def pipe(request):
    loaded = tiny_loaded(request.param)
    made = DiffusionLMPipeline(loaded.model, loaded.tokenizer, **loaded.defaults)
    made.set_progress_bar_config(disable=True)
    return made


class Likes(Guidance):
    """Wants one token."""

    def energy(self, state):
        return -(state.probs[..., 120] * state.undecided if hasattr(state, "undecided") else state.probs[..., 120]).sum(
            -1
        )


def test_known_text_stays_and_hard_rules_hold_for_every_seed(pipe):
    guidance = [{"phrases": {"include": ["river"], "exclude": ["pub"]}}, {"length": {"words": (5, 9)}}]
    texts = ["the [SPAN:8] near [SPAN:4].", "the food was [SPAN:9]"]
    result = pipe(texts, num_samples=6, steps=4, seed=3, guidance=guidance)
    flat = [text for group in result.texts for text in ([group] if isinstance(group, str) else group)]
    assert len(flat) == 12
    for text in flat:
        words = text.split()
        assert text.startswith("the ")
        assert 5 <= len(words) <= 9
        assert "river" in text
        assert "pub" not in [word.strip(".,") for word in words]


def test_the_same_seed_gives_the_same_text_whatever_stands_beside_it(pipe):
    alone = pipe("the [SPAN:5] is near.", steps=3, seed=5).texts
    beside = pipe(["the food [SPAN:7]", "the [SPAN:5] is near."], steps=3, seed=5).texts
    assert alone[0] in (beside[1], *(beside[1] if isinstance(beside[1], list) else ()))


def test_a_soft_plugin_gets_more_of_what_it_wants(pipe):
    counts = []
    for guidance in (None, Likes(weight=30.0, budget=3.0)):
        result = pipe("the [SPAN:6] is near", num_samples=6, steps=3, seed=0, guidance=guidance)
        counts.append(str(result.token_ids).count(" 120,") + str(result.token_ids).count("[120,"))
    assert counts[1] > counts[0]


def test_a_whole_text_and_a_prompt(pipe):
    assert pipe(steps=3, seed=0, max_length=6).texts
    assert pipe("it is [SPAN:3]", prompt="a pub", steps=3, seed=0).texts


def test_latents_are_refused_before_work_where_there_are_none(pipe):
    wish = Likes(strategy="latent", weight=2.0)
    if pipe.model.process == "gaussian":
        assert pipe("the [SPAN:3]", steps=3, seed=0, guidance=wish).texts
        return
    with pytest.raises(ValueError, match="noisy embeddings"):
        pipe("the [SPAN:3]", steps=3, seed=0, guidance=wish)


def test_a_canvas_over_the_length_of_the_model_is_refused(pipe):
    with pytest.raises(ValueError, match="the model takes"):
        pipe("the [SPAN:500]", steps=2)


def test_langflow_answers_the_call_of_our_own_network():
    loaded = tiny_loaded("langflow")
    made = DiffusionLMPipeline(loaded.model, loaded.tokenizer, **loaded.defaults)
    z = torch.randn(2, 5, 32)
    logits = made.denoiser(z, torch.tensor(1.0), None, torch.zeros(2, 5, 32)).logits
    assert logits.shape == (2, 5, made.tokenizer.vocab_size)
    assert made.schedule.kind == "information"


def test_from_model_takes_objects_and_says_what_is_missing():
    module, source = tiny_module("qwen3")
    with pytest.raises(ValueError, match="family='masked'"):
        DiffusionLMPipeline.from_model(module, source)
    made = DiffusionLMPipeline.from_model(module, source, family="masked", shift=1, attention="blocks:4")
    assert made.model.switches.shift == 1
    assert made.sampler.settings["block"] == 4
    made.set_progress_bar_config(disable=True)
    assert made("the [SPAN:4]", steps=2, seed=0).texts
    with pytest.raises(TypeError, match="no argument 'shfit'"):
        DiffusionLMPipeline.from_model(module, source, family="masked", shfit=1)
    with pytest.raises(ValueError, match="no token of the tokenizer"):
        DiffusionLMPipeline.from_model(module, source, family="masked", mask_token="<nothing>")
    with pytest.raises(ValueError, match="family must be 'masked'"):
        DiffusionLMPipeline.from_model(module, source, family="causal")
    with pytest.raises(ValueError, match="keeps its own format"):
        made.save_pretrained("nowhere")
