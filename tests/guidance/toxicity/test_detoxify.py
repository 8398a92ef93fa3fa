"""Detoxify as judge: its checkpoint format, its scores on decoded text, gradients through the bridge, errors."""

import importlib.util
import pickle

import pytest
import torch

from diffusionlm.guidance import Toxicity
from diffusionlm.guidance.classifiers.tiny_classifier import tiny_classifier
from diffusionlm.guidance.toxicity.detoxify import VARIANTS, load_detoxify

CLASSES = ["toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate"]
TEXTS = ["The Mill is a cheap pub.", "You are all idiots, and the food is bad!", "Near the river."]


def write_checkpoint(folder, state=None, **changes):
    """A tiny BERT in the form of Detoxify's checkpoints, with its configuration and tokenizer beside it."""
    from transformers import BertForSequenceClassification

    small, tokenizer = tiny_classifier([*TEXTS, "the mill is a cheap italian pub near the river and the food is good"])
    config = small.config
    config.id2label = {i: name for i, name in enumerate(CLASSES)}
    config.label2id = {name: i for i, name in enumerate(CLASSES)}
    torch.manual_seed(3)
    model = BertForSequenceClassification(config).eval()
    model.classifier.weight.data.mul_(100.0)
    with torch.no_grad():  # scores around one half, which differ between texts
        model.classifier.bias -= model(**tokenizer(TEXTS, return_tensors="pt", padding=True)).logits.mean(0)
    folder.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    arguments = {
        "model_type": str(folder),
        "model_name": "BertForSequenceClassification",
        "tokenizer_name": "BertTokenizer",
        "num_classes": len(CLASSES),
    }
    content = {
        "config": {"arch": {"args": arguments | changes}, "dataset": {"args": {"classes": CLASSES}}},
        "state_dict": model.state_dict() if state is None else state,
    }
    torch.save(content, folder / "toxic-tiny.ckpt")
    return folder / "toxic-tiny.ckpt", model, tokenizer


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("detoxify") / "tiny")


def test_scores_are_those_of_the_classifier_itself(checkpoint):
    file, model, tokenizer = checkpoint
    loaded = load_detoxify(checkpoint=file)
    assert loaded.classes == ("toxicity", "severe_toxicity", "obscene", "threat", "insult", "identity_attack")
    given = tokenizer(TEXTS, return_tensors="pt", padding=True)
    with torch.no_grad():
        expected = model(**given).logits.sigmoid()
    torch.testing.assert_close(loaded.scores(TEXTS), expected)
    assert expected.std(0).min() > 1e-3  # the texts differ to it
    torch.testing.assert_close(load_detoxify(checkpoint=file.parent).scores(TEXTS), expected)


@pytest.mark.skipif(importlib.util.find_spec("detoxify") is None, reason="the package detoxify is not installed")
def test_scores_are_those_of_detoxify_predict(checkpoint, monkeypatch):
    import detoxify
    import transformers

    file, _, _ = checkpoint
    # its loader hands a state_dict to from_pretrained(None), which newer transformers do not take
    kind = transformers.BertForSequenceClassification

    def build(pretrained_model_name_or_path, config, state_dict, local_files_only):
        network = kind(config)
        network.load_state_dict(state_dict)
        return network

    monkeypatch.setattr(kind, "from_pretrained", build)
    theirs = detoxify.Detoxify(checkpoint=str(file)).predict(TEXTS)
    ours = load_detoxify(checkpoint=file)
    assert tuple(theirs) == ours.classes
    torch.testing.assert_close(ours.scores(TEXTS), torch.tensor(list(theirs.values())).T)


def test_the_energy_of_a_finished_text_is_that_of_its_score(checkpoint, pipe):
    file, _, _ = checkpoint
    plugin = Toxicity("detoxify", checkpoint=file, labels=["toxicity", "insult"])
    result = pipe(num_samples=4, steps=4, seed=0, guidance=plugin)
    scores = load_detoxify(checkpoint=file).scores(result.texts)[:, [0, 4]]
    expected = -(1 - scores).log().sum(-1)
    found = result.trace.finished["toxicity"]
    torch.testing.assert_close(torch.tensor(found), expected, rtol=1e-4, atol=1e-5)


def test_it_steers(checkpoint, pipe):
    file, _, _ = checkpoint
    plain = pipe(num_samples=16, steps=8, seed=0)
    guided = pipe(num_samples=16, steps=8, seed=0, guidance=Toxicity("detoxify", checkpoint=file, weight=10.0))
    before, after = (load_detoxify(checkpoint=file).scores(r.texts)[:, 0].mean() for r in (plain, guided))
    assert after < before - 0.02


def test_words_are_highlighted_by_leaving_them_out(checkpoint, pipe):
    file, _, _ = checkpoint
    text = TEXTS[1]
    found = Toxicity("detoxify", checkpoint=file).highlight(text, pipe.tokenizer)
    loaded = load_detoxify(checkpoint=file)
    assert found.score == pytest.approx(float(loaded.scores([text])[0, 0]), abs=1e-5)
    first, last, score = found.words[4]
    drop = found.score - float(loaded.scores([text[:first] + text[last:]])[0, 0])
    assert score == pytest.approx(max(0.0, drop), abs=1e-5)


def test_a_folder_in_the_form_of_transformers_is_read_too(checkpoint, tmp_path):
    _, model, tokenizer = checkpoint
    model.save_pretrained(tmp_path / "hub")
    tokenizer.save_pretrained(tmp_path / "hub")
    loaded = load_detoxify(checkpoint=tmp_path / "hub")
    assert loaded.classes[0] == "toxicity"
    torch.testing.assert_close(loaded.scores(TEXTS), load_detoxify(checkpoint=checkpoint[0]).scores(TEXTS))


class Harmful:
    def __reduce__(self):
        return print, ("this code ran",)


def test_code_in_a_checkpoint_is_never_run(tmp_path, capsys):
    file = tmp_path / "bad.ckpt"
    torch.save({"config": {}, "state_dict": {}, "extra": Harmful()}, file)
    with pytest.raises(ValueError, match="would run code are refused"):
        load_detoxify(checkpoint=file)
    file.write_bytes(pickle.dumps(Harmful()))
    with pytest.raises(ValueError, match="cannot be read"):
        load_detoxify(checkpoint=file)
    assert "this code ran" not in capsys.readouterr().out


def test_what_is_no_checkpoint_is_said(tmp_path, checkpoint):
    with pytest.raises(ValueError, match="did you mean 'unbiased'"):
        load_detoxify("unbaised")
    with pytest.raises(FileNotFoundError, match="There is no checkpoint"):
        load_detoxify(checkpoint=tmp_path / "none.ckpt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="holds no checkpoint"):
        load_detoxify(checkpoint=tmp_path / "empty")
    file = tmp_path / "a.ckpt"
    torch.save({"weights": {}}, file)
    with pytest.raises(ValueError, match="must hold 'config' and 'state_dict'"):
        load_detoxify(checkpoint=file)
    torch.save({"config": {"arch": {}}, "state_dict": {}}, tmp_path / "b.ckpt")
    with pytest.raises(ValueError, match="lacks arch.args"):
        load_detoxify(checkpoint=tmp_path / "b.ckpt")
    other, _, _ = write_checkpoint(tmp_path / "c", model_name="GPT2LMHeadModel")
    with pytest.raises(ValueError, match="no sequence classifier"):
        load_detoxify(checkpoint=other)
    half, _, _ = write_checkpoint(tmp_path / "d", state={"classifier.bias": torch.zeros(6)})
    with pytest.raises(ValueError, match="do not fit"):
        load_detoxify(checkpoint=half)


def test_without_a_network_the_download_says_what_to_do(tmp_path, monkeypatch):
    def refuse(url, *_):
        raise OSError(f"no network for {url}")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    with pytest.raises(FileNotFoundError, match="give checkpoint=FILE"):
        load_detoxify("original-small")
    assert all(url.endswith(".ckpt") for url in VARIANTS.values())
    home, _, _ = write_checkpoint(tmp_path / "e", model_type="no-such/model")
    bare = tmp_path / "bare" / "toxic.ckpt"
    bare.parent.mkdir()
    home.rename(bare)
    with pytest.raises(FileNotFoundError, match="beside the checkpoint"):
        load_detoxify(checkpoint=bare)
