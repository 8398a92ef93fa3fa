"""A classifier whose head is random is refused; a function of text is a scorer by its form."""

import pytest
from transformers import BertForMaskedLM, BertForSequenceClassification, BertModel

from diffusionlm.guidance import Classifier, FunctionGuidance, TextScorer, compose, from_config
from diffusionlm.guidance.classifiers.tiny_classifier import tiny_classifier
from diffusionlm.guidance.testing.toy import toy_vocabulary
from diffusionlm.guidance.toxicity.detoxify import load_detoxify


@pytest.mark.parametrize("kind", [BertModel, BertForMaskedLM, BertForSequenceClassification])
def test_a_folder_without_a_trained_head_is_no_classifier(tmp_path, kind):
    model, tokenizer = tiny_classifier()
    tokenizer.save_pretrained(tmp_path)
    if kind is BertForSequenceClassification:
        model.save_pretrained(tmp_path)
        compose(Classifier(str(tmp_path), "positive"), toy_vocabulary())
        return
    kind(model.config).save_pretrained(tmp_path)
    with pytest.raises(
        ValueError, match=r"has no trained head: its files lack .*classifier.*Train it on labelled texts"
    ):
        compose(Classifier(str(tmp_path), "positive"), toy_vocabulary())
    with pytest.raises(ValueError, match="has no trained head"):
        load_detoxify(checkpoint=tmp_path)


def by_name(text):
    return float(len(text))


def by_annotation(candidate: str) -> float:
    return float(len(candidate))


def of_state(state):
    return state.probs[..., 5].sum(-1)


def untold(x):
    return x


@pytest.mark.parametrize("function", [by_name, by_annotation, lambda text: 0.0, lambda text, scale=2.0: scale])
def test_a_function_of_text_is_a_scorer(function):
    (plugin,) = from_config(function)
    assert isinstance(plugin, TextScorer)
    assert plugin.function is function


@pytest.mark.parametrize("function", [of_state, untold])
def test_other_functions_are_energies_of_the_state(function):
    (plugin,) = from_config(function)
    assert isinstance(plugin, FunctionGuidance)


def test_a_function_of_text_that_does_not_look_like_one_is_told_of_the_scorer(tiny_pipe):
    def shouting(x):
        return x.upper().count("!")

    with pytest.raises(Exception, match=r"'shouting' .*If it is a function of the text, give TextScorer\(shouting\)"):
        tiny_pipe("A [SPAN:2]", steps=1, seed=0, guidance=shouting)
