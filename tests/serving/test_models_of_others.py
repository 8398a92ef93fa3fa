"""Masked models, in the form of transformers, behind the service's rows and in `pipe.json`."""

import json

import pytest

from diffusionlm import DiffusionLMPipeline
from diffusionlm.families.tiny import tiny_loaded
from diffusionlm.serving.bodies import CompletionBody
from diffusionlm.serving.limits import Limits
from diffusionlm.serving.plugins import from_key
from diffusionlm.serving.reading import read_completion
from diffusionlm.serving.rows import write

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
SHAPE = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}


@pytest.fixture(scope="module", params=["qwen3", "modernbert"])
def pipe(request):
    loaded = tiny_loaded(request.param)
    made = DiffusionLMPipeline(loaded.model, loaded.tokenizer, **loaded.defaults)
    made.set_progress_bar_config(disable=True)
    return made


def written(pipe, **fields):
    order = read_completion(CompletionBody(model="theirs", steps=2, seed=0, **fields), pipe, Limits())
    (found,) = write(pipe, order.rows, from_key)
    assert not isinstance(found, Exception), found
    return found.sample.text


def test_a_completion_is_written(pipe):
    text = written(pipe, prompt="the [SPAN:3] is near.")
    assert text.startswith("the ")
    assert text.endswith(" is near.")


@pytest.mark.parametrize("prompt", ["", "the food is "])
def test_a_schema_is_about_what_is_written_beside_a_prompt(pipe, prompt):
    text = written(pipe, prompt=prompt, response_format=SHAPE, max_tokens=14)
    assert text.startswith(prompt)
    assert isinstance(json.loads(text.removeprefix(prompt))["n"], int)


def test_json_is_written_and_parsed(pipe):
    (found,) = pipe.json(SCHEMA, seed=0, steps=2)
    assert isinstance(found["n"], int)
