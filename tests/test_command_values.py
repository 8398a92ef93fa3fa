"""Values on the command line: what was typed is what the setting gets, or the sentence says how to write it."""

import inspect
import re
import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffusionlm.cli import main
from diffusionlm.commands._compose import compose_config
from diffusionlm.commands._kinds import kind_of_annotation, kind_of_key
from diffusionlm.commands._values import ANY, OPTIONAL_TEXT, TEXT, Kind, quoted, read_value
from diffusionlm.guidance import Phrases, Regex
from diffusionlm.guidance.registry.plugins import PLUGINS, get
from diffusionlm.guidance.registry.signatures import settings_of

TEXTS = Kind(text=True, listed=True)
PATTERNS = Kind(text=True, listed=True, optional=True, pattern=True)
AWKWARD = [
    "Café", "tëxt.txt", "日本語", "🙂", "don't", "'tis", "dogs'", "the 'Mill'", '5" pipe', '"quoted" word', "(cheap|good) food",
    "^The", "end$", "a?b", "C++", "a*b", "x=y", "a,b", "one, two", "two words", " edges ", "a:b", "http://x.org/?q=1&r=2",
    "C:\\texts\\a.txt", "back\\slash\\", "50%", "#1", "@home", "!", "~/texts", "&", "a;b", "`x`", "$HOME", "${name}",
    "\\${name}", "20", "007", "1e5", "1_000", "3.50", "-7", "true", "False", "yes", "null", "None", "???", "", "[0-9]+",
    "[a][b]", "${oc.env:HOME}", "E\\d{6}", "{a}", "{a: b}", "[SPAN", "[", "]", "{", "}", "tab\there", "line\nbreak",
]  # fmt: skip
PHRASES = {"_target_": "diffusionlm.guidance.Phrases"}
REGEX = {"name": "regex"}
SETTINGS = {
    "guidance.include": PHRASES, "guidance.exclude": PHRASES, "guidance.require": REGEX, "guidance.match": REGEX,
    "guidance.secrets": {"name": "pii"}, "guidance.labels": {"name": "toxicity"}, "prompt": None, "data.train": None,
    "data.valid": None, "init": None, "out": None, "checkpoint": None, "name": None, "judge": None,
}  # fmt: skip
DEFAULTS = {"data.train": "???", "checkpoint": "restaurant", "name": "model", "judge": "smollm2"}


def read(key, typed):
    return read_value(key, typed, kind_of_key(key, DEFAULTS.get(key), SETTINGS[key], typed))


def outcome(take, typed):
    """The value, or None and the sentence of the refusal."""
    try:
        return take(typed), ""
    except ValueError as refusal:
        return None, str(refusal)


def advised(sentence):
    """The settings that a refusal says one could write, as a shell reads them."""
    return [shlex.split(found)[0] for found in re.findall(r"'[\w.]+=(?:[^']|'\"'\"')*'", sentence, re.DOTALL)]


@pytest.mark.parametrize("key", SETTINGS)
def test_a_text_is_taken_as_it_was_typed_or_its_quotes_are_named(key):
    for typed in AWKWARD:
        if typed == "{a: b}" and key in ("data.train", "data.valid"):  # which may be mappings
            continue
        value, refusal = outcome(lambda text: read(key, text), typed)
        if refusal:
            assert "++" not in refusal
            assert typed in [read(key, option.partition("=")[2]) for option in advised(refusal)]
        else:
            assert value == typed or (typed == "null" and value is None)  # null where the setting need not be a text


@pytest.mark.parametrize("key", SETTINGS)
def test_a_text_between_quotes_is_that_text(key):
    for typed in AWKWARD:
        assert read(key, quoted(typed)) == typed


@given(
    text=st.text() | st.text(st.sampled_from("ab'\"\\[]{}:, ${}"), max_size=12),
    kind=st.sampled_from((TEXT, TEXTS, ANY)),
)
def test_quotes_hold_every_text(text, kind):
    assert read_value("k", quoted(text), kind) == text
    assert read_value("k", f"[{quoted(text)},{quoted(text)} ]", TEXTS) == [text, text]
    assert read_value("k", f"{{a: {quoted(text)}}}") == {"a": text}


@given(text=st.text(st.sampled_from("ab'\"\\[]{}:, $()?0"), max_size=12), kind=st.sampled_from((TEXT, TEXTS, PATTERNS)))
def test_any_text_is_taken_as_it_stands_or_as_what_its_brackets_and_quotes_say(text, kind):
    value, refusal = outcome(lambda typed: read_value("k", typed, kind), text)
    if refusal:
        assert text[0] in "[{"
        assert text in [read_value("k", option.partition("=")[2], kind) for option in advised(refusal)]
        return
    if isinstance(value, list):
        assert text[0] == "["
        assert text[-1] == "]"
    elif value != text:
        assert text[0] == text[-1]
        assert text[0] in "'\""


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("[Café]", ["Café"]),
        ("[don't]", ["don't"]),
        ("['tis, 'twas]", ["'tis", "'twas"]),
        ("[20, 007, true, null]", ["20", "007", "true", "null"]),
        ("[The Mill, 'a, b', \"c\"]", ["The Mill", "a, b", "c"]),
        ("[[0-9]+, (a|b)]", ["[0-9]+", "(a|b)"]),
        ("[[a], {b}]", ["[a]", "{b}"]),
        ("[]", []),
        ("[a,b,]", ["a", "b"]),
    ],
)
def test_lists_of_texts(typed, value):
    assert read_value("guidance.include", typed, TEXTS) == value


def test_a_class_of_characters_is_never_taken_for_a_list():
    for typed in ("[0-9]", "[a-z]", "[aeiou]", "[0-9, ]"):
        with pytest.raises(ValueError, match="can be one pattern or a list of patterns") as refusal:
            read("guidance.require", typed)
        one, many = advised(str(refusal.value))
        assert read("guidance.require", one.partition("=")[2]) == typed
        assert isinstance(read("guidance.require", many.partition("=")[2]), list)
        assert read("guidance.match", typed) == typed  # which is one pattern in any case
    assert read("guidance.require", '["[0-9]", "x"]') == ["[0-9]", "x"]


def test_what_is_no_text_is_a_number_yes_no_or_nothing():
    cases = {"3": 3, "0.5": 0.5, "1e-3": 0.001, "-2": -2, "true": True, "False": False, "null": None, "abc": "abc"}
    assert {typed: read_value("steps", typed) for typed in cases} == cases
    assert read_value("guidance.words", "[3, 8]") == [3, 8]
    assert read_value("x", "{a: {b: [1, x]}, 'c d': null}") == {"a": {"b": [1, "x"]}, "c d": None}
    with pytest.raises(ValueError, match="has a bracket that is not closed"):
        read_value("guidance", "{phrases: {include: [a}")


def test_the_sources_of_plugins_name_the_settings_that_the_classes_have():
    for name in PLUGINS.built_in:
        assert sorted(settings_of(name)) == sorted(inspect.signature(get(name)).parameters)


def test_kinds_of_settings():
    assert kind_of_annotation("Sequence[str]") == TEXTS
    assert kind_of_annotation("str | None") == OPTIONAL_TEXT
    assert kind_of_annotation("Pattern | Sequence[Pattern] | None") == PATTERNS
    assert kind_of_annotation("str | Path | Sequence[str]") == TEXTS
    assert (
        kind_of_annotation("float")
        == kind_of_annotation("str | int")
        == kind_of_annotation("Mapping[str, float]")
        == ANY
    )


def test_texts_within_a_mapping_of_plugins_stay_texts():
    typed = "{phrases: {include: [20, don't, Café]}, regex: {match: [0-9]}, length: {words: 12}, pii: {allow: 007}}"
    read_back = read_value("guidance", typed, kind_of_key("guidance", None, None, typed))
    assert read_back == {
        "phrases": {"include": ["20", "don't", "Café"]}, "regex": {"match": "[0-9]"}, "length": {"words": 12},
        "pii": {"allow": "007"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("command", "key"),
    [("train", "data.train"), ("train", "init"), ("evaluate", "judge"), ("evaluate", "data.root"),
     ("train_classifier", "data.train"), ("train_classifier", "checkpoint"), ("generate", "prompt")],
)  # fmt: skip
def test_commands_compose_to_what_was_typed(command, key):
    for typed in ("tëxt (1)'s, ${x}\\${y} = $^?.txt", "2024"):
        config = compose_config(command, [f"{key}={typed}"])
        for part in key.split("."):
            config = config[part]
        assert config == typed


def test_names_still_stand_for_folders():
    config = compose_config("train", ["name=it's (2)", "experiment=tiny", "data.train=a.txt"])
    assert config["folder"] == "runs/it's (2)"
    assert compose_config("train", ["export=out/${name}"])["export"] == "out/model"
    sources = compose_config("train", ["data.train=[{path: 2024.txt, weight: 2}, b.txt]"])["data"]["train"]
    assert sources == [{"path": "2024.txt", "weight": 2}, "b.txt"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["guidance=regex", "guidance.forbid=[0-9]"], "write 'guidance.forbid=\"[0-9]\"' for the pattern"),
        (["guidance=phrases", "guidance.include=null"], "guidance.include cannot be null; write 'guidance.include=[]'"),
        (["guidance=phrases", "guidance.include=[The"], "has a bracket that is not closed"),
        (
            ["guidance=phrases", "guidance.incude=[x]"],
            "The plugin 'phrases' has no setting 'incude'; did you mean 'include'?",
        ),
        (["guidance={regex: {forbit: x}}"], "The plugin 'regex' has no setting 'forbit'; did you mean 'forbid'?"),
        (["guidance={phrases: {include: [x]}, lenght: {words: 3}}"], "There is no guidance plugin 'lenght'"),
        (["sampler=euler", "sampler.ettta=1"], "There is no key 'sampler.ettta'"),
    ],
)
def test_mistakes_are_told_before_pytorch_is_loaded(arguments, words, tmp_path):
    import subprocess
    import sys

    code = f"""
import sys
from diffusionlm.cli import main
code = main(["generate", *{arguments!r}])
assert "torch" not in sys.modules
sys.exit(code)
"""
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=False)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert "++" not in done.stderr


def test_a_number_for_a_phrase_is_its_text(tiny_pipe, tmp_path, capsys):
    tiny_pipe.save_pretrained(tmp_path / "pipe")
    checkpoint = f"checkpoint={tmp_path / 'pipe'}"
    settings = ["guidance=phrases", "guidance.exclude=20", "num_samples=1", "steps=1", "seed=0", "format=json"]
    assert main(["generate", checkpoint, *settings]) == 0
    assert "excludes '20'" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("kind", "settings", "words"),
    [
        (Phrases, {"include": None, "exclude": ["x"]}, "include must be a phrase or a list of phrases"),
        (Phrases, {"include": 20}, "got 20"),
        (Phrases, {"any_of": ["a", 3]}, "any_of must hold texts, got 3"),
        (Regex, {"require": 3}, "require of 'regex' must be a pattern or a list of patterns"),
        (Regex, {"match": ["a"]}, "match of 'regex' must be one pattern"),
    ],
)
def test_in_python_what_is_no_text_is_named(kind, settings, words):
    with pytest.raises(TypeError, match=words):
        kind(**settings)
