"""A run folder belongs to one model, tokenizer and data; everything else may change on the way."""

import json

import pytest
from miniature_run import make_config, write_texts

from diffusionlm.text import TextTokenizer
from diffusionlm.training.run import build_trainer


@pytest.fixture
def begun(tmp_path, texts):
    """Settings of a run that has begun."""
    build_trainer(make_config(tmp_path / "run", texts))
    return lambda **changes: make_config(tmp_path / "run", texts, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model__hidden_size": 32}, "model.hidden_size was 16, now 32"),
        ({"data__limits": [16]}, r"data.limits was \[8, 16\], now \[16\]"),
        ({"data__task_weights__whole": 0.9}, "data.task_weights.whole was 0.5, now 0.9"),
        ({"data__tokenizer__min_count": 2}, "data.tokenizer.min_count was 1, now 2"),
        ({"schedule__mu": 1.0}, "schedule.mu was 2.0, now 1.0"),
        ({"optimizer__name": "adamw"}, 'optimizer.name was "muon", now "adamw"'),
        ({"seed": 2, "model__num_experts": 4}, "seed was 1, now 2; model.num_experts was null, now 4"),
    ],
)
def test_other_settings_are_refused_and_named(begun, changes, message):
    with pytest.raises(ValueError, match=rf"was begun with other settings: {message}\. .*folder=") as error:
        build_trainer(begun(**changes))
    assert error.value.args[0].count("was ") == 1 + len(changes)


def test_other_texts_are_refused(begun, tmp_path):
    with pytest.raises(ValueError, match=r"other settings: data.train \(content\) has changed\."):
        build_trainer(begun(data__train=str(write_texts(tmp_path / "other.txt", seed=1))))


def test_another_tokenizer_is_refused(begun, tmp_path):
    TextTokenizer.bytes().save_pretrained(tmp_path / "run" / "tokenizer")
    with pytest.raises(ValueError, match=r"other settings: tokenizer \(content\) has changed\."):
        build_trainer(begun())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"trainer__max_steps": 99},
        {"optimizer__learning_rate": 1e-4},
        {"trainer__log_every": 3, "trainer__precision": "bf16"},
        {"data__valid": None},
        {"cache": "cache"},
    ],
    ids=str,
)
def test_the_rest_may_change(begun, changes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    build_trainer(begun(**changes))


def test_the_data_may_lie_elsewhere(begun, texts, tmp_path):
    moved = tmp_path / "moved.text"
    moved.write_bytes(texts.read_bytes())
    build_trainer(begun(data__train=str(moved)))


def test_a_run_from_before_identities_gets_one(begun, tmp_path):
    path = tmp_path / "run" / "run.json"
    identity = json.loads(path.read_text())
    path.unlink()
    build_trainer(begun())
    assert json.loads(path.read_text()) == identity


def test_an_unreadable_identity_is_no_leave_to_go_on(begun, tmp_path):
    (tmp_path / "run" / "run.json").write_text("{")
    with pytest.raises(ValueError, match=r"run.json cannot be read .* delete it if you know"):
        build_trainer(begun())


@pytest.mark.parametrize(
    "changes",
    [
        {"model__hidden_size": 33},
        {"optimizer__name": "sgd"},
        {"data__prompt_share": 3.0},
        {"data__limits": [16], "data__limit_weights": [1.0, 2.0]},
    ],
    ids=str,
)
def test_a_mistake_in_the_settings_begins_no_run(tmp_path, texts, changes):
    with pytest.raises(ValueError, match=r"\w"):
        build_trainer(make_config(tmp_path / "run", texts, data__tokenizer__min_count=3, **changes))
    assert not (tmp_path / "run" / "run.json").exists()
    _, tokenizer = build_trainer(make_config(tmp_path / "run", texts))  # corrected, with another tokenizer
    _, fresh = build_trainer(make_config(tmp_path / "fresh", texts))
    assert tokenizer.vocabulary.surfaces == fresh.vocabulary.surfaces


def test_a_run_with_checkpoints_keeps_its_tokenizer(begun, tmp_path):
    (tmp_path / "run" / "run.json").unlink()
    (tmp_path / "run" / "checkpoints").mkdir()
    TextTokenizer.bytes().save_pretrained(tmp_path / "run" / "tokenizer")
    assert build_trainer(begun())[1].kind == "byte"
