"""``diffusionlm generate`` and ``info``: settings, groups, JSON, errors with exit code 2."""

import json

import pytest

from diffusionlm.cli import main


@pytest.fixture
def checkpoint(tiny_pipe, tmp_path):
    tiny_pipe.save_pretrained(tmp_path / "pipe")
    return f"checkpoint={tmp_path / 'pipe'}"


def test_texts_and_spans(checkpoint, capsys) -> None:
    assert main(["generate", checkpoint, "num_samples=2", "steps=2", "seed=0"]) == 0
    assert capsys.readouterr().out.strip()
    inputs = ["The [SPAN:2] pub", "A [SPAN:1]"]
    assert main(["generate", *inputs, checkpoint, "num_samples=2", "steps=2", "seed=0"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("The ") >= 2
    assert printed.count(" pub\n") == 2
    assert printed.count("\nA ") == 2


@pytest.mark.parametrize(
    ("choice", "name"),
    [
        ("sampler=euler", "euler"),
        ("sampler=DDIMScheduler", "DDIMScheduler"),
        ("sampler={name: churn}", "churn"),
    ],
)
def test_samplers_as_group_name_or_mapping(checkpoint, capsys, choice, name) -> None:
    assert main(["generate", checkpoint, choice, "num_samples=1", "steps=2", "seed=0", "format=json"]) == 0
    assert json.loads(capsys.readouterr().out)["settings"]["sampler"]["name"] == name


@pytest.mark.parametrize(
    "choice",
    [
        ["guidance=regex", "guidance.forbid='[0-9]'"],
        ["guidance={regex: {forbid: '[0-9]'}, length: {tokens: 6}}"],
        ["guidance={name: regex, forbid: '[0-9]'}"],
    ],
)
def test_guidance_as_group_or_mapping(checkpoint, capsys, choice) -> None:
    assert main(["generate", checkpoint, *choice, "num_samples=2", "steps=2", "seed=0", "format=json"]) == 0
    samples = json.loads(capsys.readouterr().out)["samples"][0]
    assert all(all(sample["certificates"].values()) and sample["certificates"] for sample in samples)
    assert not any(any(char.isdigit() for char in sample["text"]) for sample in samples)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["stepz=3"], "Did you mean steps"),
        (["steps=0"], "steps must be"),
        (["sampler=eular"], "did you mean 'euler'"),
        (["guidance=lenth"], "length"),
        (["--steps", "3"], "key=value"),
        (["format=xml"], "format must be"),
        (["dtype=int8"], "dtype must be"),
        (["no span here"], "no span"),
    ],
)
def test_mistakes_end_with_one_sentence_and_code_2(checkpoint, capsys, arguments, words) -> None:
    assert main(["generate", checkpoint, *arguments]) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert "Traceback" not in captured.err
    assert len(captured.err.strip().splitlines()) == 1


def test_unknown_checkpoint(capsys) -> None:
    assert main(["generate", "checkpoint=restorant"]) == 2
    assert "Bundled checkpoints" in capsys.readouterr().err


def test_info(tiny_pipe, checkpoint, capsys) -> None:
    folder = checkpoint.partition("=")[2]
    assert main(["info", folder, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["parameters"] == sum(value.numel() for value in tiny_pipe.denoiser.state_dict().values())
    assert main(["info", folder]) == 0
    assert "schedule" in capsys.readouterr().out
    assert main(["info"]) == 0
    assert main(["info", "nowhere"]) == 2
