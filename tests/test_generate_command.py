"""``diffusionlm generate`` and ``info``: settings, groups, JSON, errors with exit code 2."""

import json
import sys
import warnings

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
        (["model=guestbook"], "There is no setting 'model' here: weights are chosen by checkpoint=guestbook."),
        (["model=small"], "chosen by checkpoint=small"),
        (["steps=0"], "steps must be"),
        (["sampler=eular"], "did you mean 'euler'"),
        (["guidance=lenth"], "length"),
        (["--steps", "3"], "settings are written key=value, as in steps=..."),
        (["--steps=3"], "settings are written key=value, as in steps=..."),
        (["steps", "=", "3"], "Settings are written without spaces around '=', as in steps=16."),
        (["format=xml"], "format must be"),
        (["dtype=int8"], "dtype must be"),
        (["seed=abc"], "seed must be an integer that is not negative, got 'abc'"),
        (["device=bogus"], "The device 'bogus' cannot be used here"),
        (["+step=3"], "There is no setting 'step'; did you mean 'steps'?"),
        (["guidance={length: 5}"], "The settings of the plugin 'length' must be a mapping"),
        (["guidance=[{length: {words: 5}}]"], "guidance takes a name, names in [], or a mapping"),
        (["guidance=length", "guidance.wrods=5"], "has no setting 'wrods'; did you mean 'words'?"),
        (["guidance=length", "guidance.words=2", "guidance.weight=abc"], "weight of 'length' must be a finite number"),
        (["guidance=classifier"], "guidance.model is not set; give guidance.model=..."),
        (["guidance={phrases: {include: [pub], exclude: [pub]}}"], "no text obeys both"),
        (["no span here"], "no span"),
    ],
)
def test_mistakes_end_with_one_sentence_and_code_2(checkpoint, capsys, arguments, words) -> None:
    assert main(["generate", checkpoint, *arguments]) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert "Traceback" not in captured.err
    assert len(captured.err.strip().splitlines()) == 1


@pytest.mark.parametrize("name", ["restorant", "", "null", "5"])
def test_unknown_checkpoint(capsys, name) -> None:
    assert main(["generate", f"checkpoint={name}"]) == 2
    assert "undled" in capsys.readouterr().err


@pytest.mark.parametrize("prompt", ["name[The Mill], food[Italian]", "'name[The Mill], food[Italian]'"])
def test_a_prompt_is_taken_as_it_is_with_or_without_quotes(checkpoint, capsys, prompt, tiny_pipe) -> None:
    assert main(["generate", checkpoint, f"prompt={prompt}", "num_samples=1", "steps=2", "seed=0", "format=json"]) == 0
    text = json.loads(capsys.readouterr().out)["samples"][0][0]["text"]
    assert text == tiny_pipe(prompt="name[The Mill], food[Italian]", steps=2, seed=0).texts[0]


def test_quotes_and_backslashes_in_a_prompt(checkpoint, monkeypatch, capsys) -> None:
    from diffusionlm.pipeline import DiffusionLMPipeline

    seen = []
    call = DiffusionLMPipeline.__call__
    monkeypatch.setattr(
        DiffusionLMPipeline, "__call__", lambda self, *a, **k: seen.append(k["prompt"]) or call(self, *a, **k)
    )
    for prompt in ("name[Zizzi's]", r"a\b", r"a\'b", "5"):
        assert main(["generate", checkpoint, f"prompt={prompt}", "num_samples=1", "steps=1"]) == 0
    assert seen == ["name[Zizzi's]", r"a\b", r"a\'b", "5"]


PLUGIN = """
from diffusionlm.guidance import Guidance

class Breaks(Guidance):
    def energy(self, state):
        raise KeyError("no such thing")
"""


def test_a_plugin_that_raises_in_the_middle_is_one_sentence(checkpoint, capsys, tmp_path, monkeypatch) -> None:
    (tmp_path / "breaking_plugin.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["generate", checkpoint, "guidance={_target_: breaking_plugin.Breaks}", "steps=2"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("diffusionlm generate: The guidance plugin 'Breaks' (")
    assert "at step 0 of 2 (u = 1.000), raised KeyError: 'no such thing'" in error
    assert error.count("\n") == 1


OWN = """
from diffusionlm.guidance import Guidance

class Shorter(Guidance):
    \"\"\"Fewer tokens.\"\"\"
    def energy(self, state):
        return (1 - state.probs[..., state.vocabulary.pad_id]).sum(-1)
"""
FUNCTION = """
def longer(state):
    \"\"\"More tokens.\"\"\"
    return state.probs[..., state.vocabulary.pad_id].sum(-1)

def twice(number):
    return 2 * number
"""


@pytest.fixture
def own_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, source in {"own_plugin.py": OWN, "it's mine.py": FUNCTION, "random.py": OWN}.items():
        (tmp_path / name).write_text(source)
    (tmp_path / "both.py").write_text(OWN + OWN.replace("Shorter", "Shortest"))
    (tmp_path / "empty.py").write_text("def _hidden(state): ...\ndef two(state, more): ...\n")
    (tmp_path / "folder.py").mkdir()


@pytest.mark.parametrize(
    ("arguments", "plugins"),
    [
        (["guidance=own_plugin.py"], {"Shorter": None}),
        (["guidance=./own_plugin.py", "guidance.weight=3"], {"Shorter": 3}),
        (["guidance=it's mine.py"], {"longer": None}),
        (["guidance=[own_plugin.py, it's mine.py, digit-runs]"], {"Shorter": None, "longer": None, "digit-runs": None}),
        (["guidance={own_plugin.py: {weight: 2}, length: {words: 5}}"], {"Shorter": 2, "length": None}),
        (["guidance=random.py"], {"Shorter": None}),
        (["guidance=both.py"], {"Shorter": None, "Shortest": None}),
    ],
)
@pytest.mark.usefixtures("own_files")
def test_plugins_in_files_that_the_user_names(checkpoint, capsys, arguments, plugins) -> None:
    import random

    assert main(["generate", checkpoint, *arguments, "num_samples=1", "steps=2", "seed=0", "format=json"]) == 0
    used = json.loads(capsys.readouterr().out)["settings"]["guidance"]["plugins"]
    names = [plugin.get("name") or plugin["_target_"].rpartition(".")[2] for plugin in used]
    assert dict(zip(names, (plugin.get("weight") for plugin in used), strict=True)) == plugins  # None: its own
    assert sys.modules["random"] is random  # a file of that name did not take its place


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["guidance=nowhere.py"], "nowhere.py does not exist; give the name of a plugin or the path"),
        (["guidance=folder.py"], "folder.py is a folder"),
        (["guidance=empty.py"], "empty.py has no plugin: write a subclass"),
        (["guidance=own_plugin.py", "guidance.wieght=3"], "'Shorter' has no setting 'wieght'; did you mean 'weight'?"),
        (["guidance=both.py", "guidance.weight=3"], "both.py has several plugins (Shorter, Shortest)"),
        (["guidance={own_plugin.py: 3}"], "The settings of the plugin 'own_plugin.py' must be a mapping"),
        (
            ["guidance=[own_plugin.py, length]", "guidance.words=3"],
            'guidance.words does not show which of own_plugin.py, length is meant; write guidance="{own_plugin.py: {words: 3}',
        ),
    ],
)
@pytest.mark.usefixtures("own_files")
def test_what_is_wrong_with_a_file_is_one_sentence(checkpoint, capsys, arguments, words) -> None:
    assert main(["generate", checkpoint, *arguments, "steps=2"]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


@pytest.mark.usefixtures("own_files")
def test_only_the_command_line_runs_a_file(tiny_pipe) -> None:
    with pytest.raises(ValueError, match=r"guidance=FILE\.py to 'diffusionlm generate'"):
        tiny_pipe(guidance=["own_plugin.py"], steps=2)


@pytest.mark.parametrize("arguments", [["a=b [SPAN:2]"], ["--", "a=b [SPAN:2]"]])
def test_a_text_with_an_equals_sign(checkpoint, capsys, arguments) -> None:
    assert main(["generate", checkpoint, "num_samples=1", "steps=2", *arguments]) == 0
    assert capsys.readouterr().out.startswith("a=b ")
    assert main(["generate", checkpoint, "num_samples=1", "steps=2", "--", "seed=3 is [SPAN:2]"]) == 0
    assert capsys.readouterr().out.startswith("seed=3 is ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["seed=3 is [SPAN]"], "A TEXT that looks like a setting goes behind --: ... -- 'seed=3 is [SPAN]'"),
        (["a=b"], "There is no key 'a'; the top level has"),
        (["a=b"], "A TEXT that looks like a setting goes behind --"),
        (["--", "A [SPAN:2]", "steps=2"], "'steps=2' stands behind --, so it is a TEXT; settings stand in front of it"),
    ],
)
def test_what_is_no_setting_says_where_texts_go(checkpoint, capsys, arguments, words) -> None:
    assert main(["generate", checkpoint, *arguments]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.filterwarnings("default")
def test_a_warning_is_one_sentence_without_our_source(checkpoint, capsys, monkeypatch) -> None:
    from diffusionlm.pipeline import DiffusionLMPipeline

    call = DiffusionLMPipeline.__call__

    def warning(self, *arguments, **settings):
        warnings.warn("The field 'foo' is unknown.", stacklevel=2)
        return call(self, *arguments, **settings)

    monkeypatch.setattr(DiffusionLMPipeline, "__call__", warning)
    before = warnings.showwarning
    assert main(["generate", checkpoint, "num_samples=1", "steps=1"]) == 0
    assert capsys.readouterr().err.splitlines()[0] == "diffusionlm generate: The field 'foo' is unknown."
    assert warnings.showwarning is before


def test_no_guidance_is_an_empty_list(checkpoint, capsys) -> None:
    assert main(["generate", checkpoint, "guidance=[]", "num_samples=1", "steps=1", "format=json"]) == 0
    assert json.loads(capsys.readouterr().out)["settings"]["guidance"] is None


def test_info_on_a_damaged_checkpoint_is_one_sentence(checkpoint, capsys) -> None:
    from pathlib import Path

    folder = Path(checkpoint.partition("=")[2])
    damages = {
        "denoiser/config.json": ["{", None],
        "model_index.json": ["{", "[]"],
        "denoiser/model.safetensors": ["short", None],
    }
    for name, contents in damages.items():
        whole = (folder / name).read_bytes()
        for content in contents:
            (folder / name).unlink() if content is None else (folder / name).write_text(content)
            assert main(["info", str(folder)]) == 2
            error = capsys.readouterr().err
            assert Path(name).name in error
            assert error.count("\n") == 1
            (folder / name).write_bytes(whole)
    assert main(["info", str(folder)]) == 0


def test_info(tiny_pipe, checkpoint, capsys) -> None:
    folder = checkpoint.partition("=")[2]
    assert main(["info", folder, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["parameters"] == sum(value.numel() for value in tiny_pipe.denoiser.state_dict().values())
    assert main(["info", folder]) == 0
    assert "schedule" in capsys.readouterr().out
    assert main(["info"]) == 0
    assert main(["info", "nowhere"]) == 2
