"""Toxicity: a reader trained in miniature steers a model away from a word, words are highlighted, lists hold exactly."""

import json
import random
import re

import pytest
import torch

from diffusionlm.guidance import Guidance, Toxicity
from diffusionlm.guidance.classifiers.tiny_reader import tiny_reader
from diffusionlm.guidance.highlight import token_places
from diffusionlm.guidance.registry.configuration import plugins_from
from diffusionlm.guidance.testing import check_guidance
from diffusionlm.guidance.toxicity.plugin import read_phrases
from diffusionlm.guidance.toxicity.word_list import WordList
from diffusionlm.training.classifiers.labelled import Example
from diffusionlm.training.classifiers.settings import ReaderSettings
from diffusionlm.training.classifiers.training import train_reader

RUDE = ["The", "river", "cheap"]
CIVIL = ["and", "coffee", "is", "a", "shop", "good", "Italian", "food", "city", "rating", "near", "children", "welcome"]


@pytest.fixture(scope="module")
def pipe(tiny_pipe_parts):
    from diffusionlm.pipeline import DiffusionLMPipeline

    denoiser, tokenizer, schedule = tiny_pipe_parts
    pipe = DiffusionLMPipeline(denoiser, tokenizer, "ancestral", schedule, max_length=16, max_span_length=6)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="module")
def reader(pipe):
    """Holds three words to be rude, wherever they stand."""
    draw, examples = random.Random(0), []
    for i in range(300):
        words = draw.choices(CIVIL, k=draw.randint(2, 5))
        if i % 2:
            words.insert(draw.randrange(len(words) + 1), draw.choice(RUDE))
        text, spans, at = " ".join(words), [], 0
        for word in words:
            if word in RUDE:
                spans.append((at, at + len(word), "toxic"))
            at += len(word) + 1
        examples.append(Example(text, {"toxicity": float(bool(spans)), "insult": 0.0}, spans))
    settings = ReaderSettings(max_steps=120, tokens_per_batch=300, learning_rate=1e-2, clean_share=0.4, plain_share=0.5)
    return train_reader(pipe, examples, settings=settings, shape={"hidden_size": 16, "num_hidden_layers": 1})


def test_guided_texts_are_less_toxic_to_the_judge(pipe, reader):
    plugin = Toxicity(reader, weight=5.0)
    plain, guided = (pipe(num_samples=24, steps=8, seed=0, guidance=g) for g in (None, [plugin]))
    before, after = (
        sum(plugin.highlight(text, pipe.tokenizer).score for text in result.texts) / 24 for result in (plain, guided)
    )
    assert after < before - 0.1


def test_a_goal_is_reported_in_probabilities(pipe, reader):
    result = pipe(num_samples=8, steps=8, seed=0, guidance=Toxicity(reader, below=0.3))
    reports = result.trace.goals
    assert len(reports) == 8
    assert all(0 <= report.value <= 1 for report in reports)
    assert sum(report.reached for report in reports) >= 4


def test_the_controller_of_a_goal_stays_in_the_range_of_its_plugin(reader):
    from diffusionlm.guidance.goals import GoalController

    for weights in ((1.0, 4.0), (1 / 64, 4096.0)):
        plugin = Toxicity(reader, below=0.3)
        plugin.weight_range = weights
        controller = GoalController(plugin, 2, torch.device("cpu"))
        for _ in range(40):
            factor = controller.update(torch.tensor([0.0, 0.9]))
        assert factor.tolist() == pytest.approx(weights)


def test_words_are_highlighted(pipe, reader):
    text = "good coffee and The river food"
    found = Toxicity(reader).highlight(text, pipe.tokenizer)
    assert found.text == text
    assert [text[first:last] for first, last, _ in found.words] == text.split()
    scores = {text[first:last]: score for first, last, score in found.words}
    assert min(scores["The"], scores["river"]) > max(scores["good"], scores["coffee"], scores["food"])
    assert "".join(piece for piece, _ in found.segments()) == text
    assert len(found.characters()) == len(text)
    assert found.characters()[text.index("river")] == scores["river"]
    assert Toxicity(reader).highlight(pipe.tokenizer.encode(text), pipe.tokenizer) == found
    assert Toxicity(reader).highlight("", pipe.tokenizer).words == ()


def test_a_reader_without_token_labels_highlights_by_leaving_out(pipe, reader):
    import copy

    blind = copy.deepcopy(reader)
    blind.token_head, blind.config.token_labels = None, []
    text = "good coffee and The river food"
    found = Toxicity(blind).highlight(text, pipe.tokenizer)
    scores = {text[first:last]: score for first, last, score in found.words}
    assert max(scores["The"], scores["river"]) >= max(scores["good"], scores["food"])
    assert found.score == pytest.approx(Toxicity(reader, focus=0.0).highlight(text, pipe.tokenizer).score)


def test_tokens_are_placed_in_texts_with_other_letters(tokenizer):
    for text in ("The Mill.", "Café £5 — ok", ""):
        shown, places = token_places(tokenizer.encode(text), tokenizer.vocabulary)
        assert shown == text
        assert places == sorted(places)
        assert not places or places[-1][1] == len(text)


def test_the_name_alone_finds_the_reader_of_the_model(pipe, reader, tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="train-classifier name=toxicity"):
        pipe(steps=2, seed=0, guidance=["toxicity"])
    reader.save_pretrained(tmp_path / "toxicity")
    monkeypatch.setattr(pipe, "resources", [tmp_path])
    result = pipe(steps=4, seed=0, guidance=["toxicity"])
    assert [name for batch in result.trace.batches for name in batch.finished] == ["toxicity"]


def test_word_lists_hold_exactly_and_are_certified(pipe, reader, tmp_path):
    plain = pipe(num_samples=16, steps=4, seed=0)
    words = sorted({word for text in plain.texts for word in text.replace(".", " ").split() if word.isalpha()})[:3]
    file = tmp_path / "words.txt"
    file.write_text("# never these\n" + "\n".join(word.upper() for word in words) + "\n\n")
    result = pipe(num_samples=16, steps=4, seed=0, guidance=Toxicity(reader, exclude=file))
    for text, certificate in zip(result.texts, result.certificates, strict=True):
        assert certificate
        assert all(certificate.values())
        tokens = "".join(c if c.isalnum() else " " for c in text.lower()).split()
        assert not {word.lower() for word in words} & set(tokens)
    assert len(Toxicity(exclude=["a", "b"]).companions()) == 1
    assert Toxicity().companions() == []


def test_a_text_that_has_a_word_of_the_list_is_continued_without_another(pipe, reader):
    result = pipe(
        "The cheap [SPAN:6] pub, ri[SPAN:1]",
        num_samples=12,
        steps=4,
        seed=0,
        guidance=WordList(["cheap", "RIVER", "pub,"]),
    )
    for text, certificate in zip(result.texts, result.certificates, strict=True):
        assert certificate == {"never writes 'cheap', 'RIVER', 'pub,'": True}
        assert text.startswith("The cheap ")
        assert len(re.findall(r"\bcheap\b", text, re.IGNORECASE)) == 1
        assert not re.search(r"\briver\b", text, re.IGNORECASE)


def test_a_word_list_is_checked_by_characters():
    rule = WordList(["ass", "ass hat"])
    assert all(rule.certify("A class act.", []).values())
    assert not any(rule.certify("What an Ass!", []).values())
    assert all(rule.certify_written("An ass hat is new", [], [(11, 17)]).values())
    assert not any(rule.certify_written("An ass hat is new", [], [(8, 9)]).values())
    with pytest.raises(ValueError, match="not empty"):
        WordList([" "])
    check_guidance(WordList.example())


def test_settings_survive_json(tmp_path):
    plugin = Toxicity(below=0.05, exclude=["damn"], labels=["insult"], judge="detoxify", variant="unbiased")
    data = json.loads(json.dumps(plugin.to_dict()))
    assert Guidance.from_dict(data).to_dict() == data
    (again,) = plugins_from({"toxicity": {"below": 0.05}})
    assert again.below == 0.05


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"focus": -1}, "focus of Toxicity"),
        ({"checkpoint": "x"}, "checkpoint is for judge='detoxify'"),
        ({"above": 0.5}, "only lowers"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Toxicity(**settings)


def test_what_cannot_be_a_judge_or_a_list_is_refused(vocabulary, tmp_path):
    with pytest.raises(ValueError, match="has no label 'insutl'"):
        Toxicity(tiny_reader, labels="insutl").bind(vocabulary)
    with pytest.raises(ValueError, match="got 7"):
        Toxicity(7).bind(vocabulary)
    with pytest.raises(ValueError, match="training mode"):
        Toxicity(tiny_reader(vocabulary).train()).bind(vocabulary)
    with pytest.raises(FileNotFoundError, match="one phrase a line"):
        read_phrases(tmp_path / "none.txt")
    with pytest.raises(ValueError, match="must hold words"):
        read_phrases([3])


def test_what_is_no_judge_and_no_list_is_refused_at_once():
    with pytest.raises(ValueError, match=r"did you mean below=0\.05\?"):
        Toxicity(0.05)
    with pytest.raises(ValueError, match="exclude of Toxicity must be a list of words"):
        Toxicity(exclude=5)
