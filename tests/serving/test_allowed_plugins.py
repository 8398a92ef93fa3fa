"""The allow-list: what requests may say about guidance, and what never becomes a file, an import or a connection."""

from dataclasses import fields

import pytest

from diffusionlm.guidance.registry.plugins import available, get
from diffusionlm.serving.plugins import ALLOWED, COMMON, check_guidance, from_key, to_key


@pytest.mark.parametrize(
    "given",
    [
        [{"name": "phrases", "include": ["Mill"]}],
        [{"name": "length", "words": [3, None]}, {"name": "regex", "forbid": "[0-9]", "ignore_case": True}],
        {"length": {"words": 12}, "classifier-free": {"weight": 2.0}},
        {"name": "pii", "secrets": ["hunter2 hunter2"], "names": {"PERSON": 0.5}},
        [{"name": "part-of-speech", "tags": {"3": "NOUN"}, "window": [0.8, 0.0]}],
        [{"name": "constituents", "spans": [[0, 1, "NP"]]}],
    ],
)
def test_plain_settings_of_listed_plugins_pass(given) -> None:
    assert check_guidance(given)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([{"_target_": "os.system", "command": "ls"}], "needs its name"),
        ([{"name": "phrases", "_target_": "os.system"}], "no setting '_target_'"),
        ([{"name": "classifier", "model": "/tmp/x"}], "'classifier' is not among"),
        ([{"name": "text-scorer", "function": {"_function_": "os:system"}}], "'text-scorer' is not among"),
        ([{"name": "toxicity", "judge": "/etc"}], "no setting 'judge'"),
        ([{"name": "toxicity", "checkpoint": "x"}], "no setting 'checkpoint'"),
        ([{"name": "toxicity", "exclude": "/etc/passwd"}], "exclude of the plugin 'toxicity' must be a list of texts"),
        ([{"name": "pii", "secrets": "/etc/passwd"}], "must be a list of texts"),
        ([{"name": "part-of-speech", "tables": "/etc"}], "no setting 'tables'"),
        ([{"name": "constituents", "windows": "/etc"}], "no setting 'windows'"),
        ([{"name": "phrases", "include": [{"_function_": "os:getcwd"}]}], "must be a list of texts"),
        ([{"name": "phrases", "include": ["a"], "schedule": {"_function_": "os:getcwd"}}], "must be one of constant"),
        (
            [{"name": "phrases", "include": ["a"], "strategy": {"name": "particles", "count": 10**6}}],
            "must be one of tilt",
        ),
        ([{"name": "toxicity", "attempts": 1000}], "in 1..4"),
        ([{"name": "length", "words": True}], "must be a whole number"),
        ([{"name": "length", "weight": float("inf")}], "must be a number"),
        ([{"name": "phrases", "includ": ["a"]}], "did you mean 'include'"),
        ([{"name": "phrase"}], "did you mean 'phrases'"),
        ([{"name": 3}], "needs its name"),
        ([{"name": "length"}] * 9, "at most 8"),
        ([{"name": "phrases", "exclude": ["x" * 30_000]}], "characters as JSON"),
        ([{"name": "json-schema", "schema": {"properties": {"a": {"$ref": "http://x/y"}}}}], "begin with #"),
        ("phrases", "must be a list"),
        (["phrases"], "must be a list"),
        ({"length": 3}, "must be a mapping"),
    ],
)
def test_anything_else_is_refused_by_name(given, words) -> None:
    with pytest.raises(ValueError, match=words):
        check_guidance(given)


def test_plugins_of_the_operator_take_plain_settings_only() -> None:
    assert check_guidance([{"name": "ours", "level": 3, "words": ["a"]}], also=["ours"])
    for bad in ({"level": {"_function_": "os:getcwd"}}, {"_target_": "os.system"}, {"schedule": {"a": 1}}):
        with pytest.raises(ValueError, match="ours"):
            check_guidance([{"name": "ours", **bad}], also=["ours"])


def test_every_listed_setting_is_one_of_its_plugin() -> None:
    for name in set(ALLOWED) & set(available()):
        known = {item.name for item in fields(get(name)) if item.init}
        assert set(ALLOWED[name]) <= known, name
        assert set(COMMON) <= known, name


def test_a_key_gives_the_plugins_back_and_keeps_the_order_of_a_schema() -> None:
    guidance = [{"name": "phrases", "include": ["Mill"]}, {"name": "length", "words": [3, 9]}]
    first, second = from_key(to_key(guidance))
    assert (first.include, second.words) == (["Mill"], (3, 9))
    assert to_key([]) == ""
    assert from_key("") is None
    schema = {"name": "json-schema", "schema": {"properties": {"z": {}, "a": {}}}}
    assert to_key([schema]).index('"z"') < to_key([schema]).index('"a"')
