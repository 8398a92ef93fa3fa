"""What a result says of its guidance can be given back and steers alike."""

import json

import pytest
import torch

from diffusionlm.cli import main
from diffusionlm.guidance import Composition, Guidance, Length, Phrases, TextScorer, compose, from_config
from diffusionlm.guidance.registry.plugins import available, get
from diffusionlm.guidance.testing.toy import toy_vocabulary


def recorded(guidance):
    return compose(guidance, toy_vocabulary()).to_dict()


@pytest.mark.parametrize("name", [name for name, entry in available().items() if entry.kind == "built-in"])
def test_every_plugin_comes_back_from_json(name):
    plugin = get(name).example()
    try:
        data = plugin.to_dict()
    except TypeError:  # it holds a network that was made for the example
        with pytest.raises(ValueError, match="recorded in words only"):
            compose(recorded(plugin), toy_vocabulary())
        return
    again = Guidance.from_dict(json.loads(json.dumps(data)))
    assert type(again) is type(plugin)
    assert again.to_dict() == data


@pytest.mark.parametrize(
    "guidance",
    [
        Length(words=(2, 3)),
        [Length(words=3), Phrases(exclude=["pub"])],
        Composition([Length(words=3, weight=2.0), "classifier-free"], budget=0.5, total=None),
        Composition("classifier-free", budget=None),
        TextScorer(len, above=4.0),
    ],
    ids=["plugin", "list", "limits", "no-limit", "function"],
)
def test_a_record_is_guidance_and_records_itself(guidance):
    record = json.loads(json.dumps(recorded(guidance)))
    assert recorded(record) == record
    assert recorded([record]) == record
    if set(record) and (record["budget"], record["total"]) == ("own", 8.0):
        assert len(recorded([record, "classifier-free"])["plugins"]) == len(record["plugins"]) + 1


def test_texts_are_the_same_with_the_record_as_guidance(tiny_pipe):
    first = tiny_pipe("A [SPAN:6].", steps=3, seed=0, num_samples=3, guidance=Length(words=(3, 5)))
    record = json.loads(first.to_json())["settings"]["guidance"]
    again = tiny_pipe("A [SPAN:6].", steps=3, seed=0, num_samples=3, guidance=record)
    assert again.texts == first.texts
    assert again.settings == first.settings


def test_what_has_no_form_in_json_is_told_in_words_and_refused_where_it_is_given_back():
    record = json.loads(json.dumps(recorded(TextScorer(lambda text: 1.0))))
    assert "the function" in json.dumps(record)
    with pytest.raises(ValueError, match="recorded in words only .*the function .*give the object itself"):
        from_config(record["plugins"])
    with pytest.raises(ValueError, match="recorded in words only"):
        compose(record, toy_vocabulary())
    record = recorded(TextScorer(Scores()))
    with pytest.raises(ValueError, match="an object of type Scores"):
        compose(record, toy_vocabulary())


class Scores:
    def __call__(self, text):
        return torch.rand(()).item()


def test_the_command_line_takes_a_result_for_guidance(tiny_pipe, tmp_path, capsys):
    tiny_pipe.save_pretrained(tmp_path / "pipe")
    common = [
        "generate",
        f"checkpoint={tmp_path / 'pipe'}",
        "A [SPAN:5].",
        "steps=2",
        "seed=0",
        "num_samples=2",
        "format=json",
    ]
    assert main([*common, "guidance=length", "guidance.words=[2,4]"]) == 0
    printed = capsys.readouterr().out
    (tmp_path / "result.json").write_text(printed)
    (tmp_path / "own.json").write_text(json.dumps(json.loads(printed)["settings"]["guidance"]))
    for name in ("result.json", "own.json"):
        assert main([*common, f"guidance={tmp_path / name}"]) == 0
        again = json.loads(capsys.readouterr().out)
        assert again["samples"] == json.loads(printed)["samples"]
    for content, words in (
        ("{}", "holds no guidance"),
        ("[", "is no JSON"),
        ('{"plugins": [{"name": "lenth"}]}', "'length'?"),
    ):
        (tmp_path / "own.json").write_text(content)
        assert main([*common, f"guidance={tmp_path / 'own.json'}"]) == 2
        assert words in capsys.readouterr().err
    assert main([*common, f"guidance={tmp_path / 'own.json'}", "guidance.words=3"]) == 2
    assert main([*common, "guidance=nowhere.json"]) == 2


@pytest.mark.parametrize("given", ["no", "yes", 0, None, []])
def test_what_is_neither_true_nor_false_is_refused(given):
    from diffusionlm.guidance import Phrases, Regex

    for make in (
        lambda: Phrases(include=["pub"], case_sensitive=given),
        lambda: Phrases(include=["pub"], forms=given),
        lambda: Regex(require="pub", ignore_case=given),
        lambda: Phrases(include=["pub"], normalise=given),
    ):
        with pytest.raises(ValueError, match="must be True or False"):
            make()


def test_a_class_of_posix_is_refused_and_no_warning_leaks():
    import warnings

    from diffusionlm.guidance import Regex

    with pytest.raises(ValueError, match=r"\[:alpha:\], a class of POSIX"):
        Regex(require="[[:alpha:]]+")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Regex(require="[[a]").languages()[0].accepts("[")
