"""Objects and probabilities of options from a pipeline with random weights."""

import itertools
import json

import pytest
import torch

from diffusionlm.guidance import JSONSchema, Length, Regex, UnsatisfiableConstraint
from diffusionlm.guidance.constraints.constraint import JointConstraint
from diffusionlm.spans import Canvas
from diffusionlm.structured import choose, generate_json, json_canvas
from diffusionlm.structured.choosing import _Watch
from diffusionlm.structured.json_objects import without_idle_blanks

PLACE = {
    "type": "object",
    "properties": {"n": {"type": "string", "maxLength": 6}, "stars": {"enum": [1, 2]}, "kind": {"const": "pub"}},
    "required": ["n", "stars", "kind"],
}


def test_a_fixed_structure_is_known_text(tiny_pipe):
    canvas = json_canvas(tiny_pipe, JSONSchema(PLACE))
    assert canvas.literals == ('{"n": "', '", "stars": ', ', "kind": "pub"}')
    objects = tiny_pipe.json(PLACE, num_samples=3, steps=2, seed=0, template=True)
    assert [item["kind"] for item in objects] == ["pub"] * 3
    assert all(item["stars"] in (1, 2) and 1 <= len(item["n"]) <= 6 for item in objects)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": {"type": "integer"}},
        {"type": "object", "properties": {"a": {"type": "integer"}}},
        {"anyOf": [{"type": "integer"}, {"type": "null"}]},
    ],
)
def test_an_open_structure_is_written_as_a_whole(tiny_pipe, schema):
    assert json_canvas(tiny_pipe, JSONSchema(schema)) is None
    assert len(generate_json(tiny_pipe, schema, num_samples=2, steps=2, seed=0)) == 2
    with pytest.raises(ValueError, match="template=True needs an object that requires all"):
        generate_json(tiny_pipe, schema, template=True)


def test_nested_structures_and_references_are_known_text_too(tiny_pipe):
    point = {"type": "object", "properties": {"x": {"enum": [1, 2]}}, "required": ["x"]}
    schema = {"$defs": {"p": point}, "type": "object", "properties": {"a": {"$ref": "#/$defs/p"}, "b": point}}
    schema["required"] = ["a", "b"]
    assert json_canvas(tiny_pipe, JSONSchema(schema)).literals == ('{"a": {"x": ', '}, "b": {"x": ', "}}")
    (item,) = tiny_pipe.json(schema, steps=2, seed=0)
    assert item["a"]["x"] in (1, 2)


def test_json_inside_of_texts_and_for_several_prompts(tiny_pipe):
    schema = {"type": "integer", "minimum": 10, "maximum": 12}
    groups = tiny_pipe.json(schema, ["It is [SPAN].", "Or [SPAN]"], span=0, num_samples=2, steps=2, seed=0)
    assert [len(group) for group in groups] == [2, 2]
    assert all(10 <= value <= 12 for group in groups for value in group)
    with pytest.raises(ValueError, match="give the text"):
        tiny_pipe.json(schema, span=0)


def test_models_come_back_as_models(tiny_pipe):
    from pydantic import BaseModel

    class Stars(BaseModel):
        n: bool

    (item,) = tiny_pipe.json(Stars, steps=2, seed=0)
    assert isinstance(item, Stars)


@pytest.mark.parametrize(
    ("schema", "text", "tidied"),
    [
        ({}, '{" a": [" b", {"c": "\\nd e "}], "n": 1.50}', '{" a": ["b", {"c": "d e"}], "n": 1.5}'),
        ({"items": {"enum": [" a", "b"]}}, '[" a", "b"]', '[" a", "b"]'),
        ({"items": {"minLength": 2}}, '[" a", " bc"]', '[" a", "bc"]'),
        ({"uniqueItems": True}, '[" a", "a"]', '[" a", "a"]'),
        ({}, "[0.30]", "[0.30]"),
        ({}, '" The Mill"', '"The Mill"'),
    ],
)
def test_objects_have_no_blanks_at_the_ends_of_strings_but_where_the_schema_needs_them(schema, text, tidied):
    assert without_idle_blanks(schema, text) == tidied


def test_objects_of_a_model_have_no_idle_blanks(tiny_pipe):
    schema = {"type": "object", "properties": {"n": {"type": "string", "pattern": "^ ?[ab]+$"}}, "required": ["n"]}
    rule = Regex(match=r'\{"n": " .*')  # the text has the space
    (item,) = tiny_pipe.json(schema, guidance=rule, steps=2, seed=0)
    assert item["n"] == item["n"].strip() != ""


def test_other_plugins_hold_as_well(tiny_pipe):
    schema = {"enum": ["a", "a b", "a b c"]}
    assert tiny_pipe.json(schema, guidance=Length(words=2), steps=2, seed=0) == ["a b"]


def test_what_cannot_fit_is_refused_with_the_tokens_it_needs(tiny_pipe):
    schema = {"type": "array", "items": {"const": "long"}, "minItems": 20}
    with pytest.raises(UnsatisfiableConstraint, match=r"takes 1\d\d tokens of this model, the span has 24"):
        tiny_pipe.json(schema)


# ---- probabilities of options ---------------------------------------------------------------------------------------


def test_probabilities_are_the_sums_over_all_spellings(tiny_tokenizer):
    """Brute force over all token sequences of two choices, with a free span between them."""
    layout = Canvas.parse("It is a [CHOICE:pub|river] [SPAN:1] [CHOICE:a|at].").lay_out(tiny_tokenizer, 3)
    allowed = layout.allowed(tiny_tokenizer.vocabulary)
    log_p = torch.randn(2, layout.length, len(allowed[0]), generator=torch.Generator().manual_seed(0))
    log_p = log_p.masked_fill(~allowed, -torch.inf).log_softmax(-1)
    watch = _Watch()
    combinations = list(itertools.product(("pub", "river"), ("a", "at")))
    watch.rules = [{0: first, 2: second} for first, second in combinations]
    watch.bind(tiny_tokenizer.vocabulary)
    joint = JointConstraint([watch], [layout] * 2, allowed.expand(2, -1, -1), tiny_tokenizer.vocabulary)
    joint.marginals(log_p)
    (seen,) = watch.seen
    surfaces, pad = tiny_tokenizer.vocabulary.surfaces, tiny_tokenizer.pad_id

    def spellings(text, room):
        if not text:
            yield (pad,) * room
            return
        if room:
            for token, surface in enumerate(surfaces):
                if surface and text.startswith(surface):
                    for rest in spellings(text[len(surface) :], room - 1):
                        yield (token, *rest)

    positions = [torch.nonzero(layout.span_index == n).flatten().tolist() for n in range(3)]
    for row in range(2):
        weights = []
        for first, second in combinations:
            total = 1.0
            for span, option in ((0, first), (2, second)):
                ways = [
                    sum(float(log_p[row, place, token]) for place, token in zip(positions[span], tokens, strict=True))
                    for tokens in spellings(f" {option}".encode(), len(positions[span]))
                ]
                total *= torch.tensor(ways, dtype=torch.float64).exp().sum().item()
            weights.append(total)
        expected = torch.tensor(weights, dtype=torch.float64) / sum(weights)
        torch.testing.assert_close(seen[row], expected, rtol=1e-5, atol=1e-8)


def test_choose_gives_probabilities_of_each_choice_and_of_all_together(tiny_pipe):
    text = "The Mill is a [CHOICE:pub|cheap pub] near [SPAN:2], [CHOICE:It|The river]."
    answer = tiny_pipe.choose(text, draws=4, steps=3, seed=0)
    assert sum(answer.joint.values()) == pytest.approx(1)
    assert answer.of(0)["pub"] == pytest.approx(sum(p for c, p in answer.joint.items() if c[0] == "pub"))
    assert set(answer.of(1)) == {"It", "The river"}
    assert answer.best == max(answer.joint, key=answer.joint.get)
    assert all(error >= 0 for error in answer.errors_of(1).values())
    again = tiny_pipe.choose(text, draws=4, steps=3, seed=0, batch_size=3)
    assert again.joint == pytest.approx(answer.joint, abs=1e-4)
    assert tiny_pipe.choose(text, draws=4, steps=3, seed=9).joint != pytest.approx(answer.joint, abs=1e-4)


def test_choose_under_a_rule_leaves_only_what_the_rule_allows(tiny_pipe):
    answer = choose(tiny_pipe, "It is a [SPAN]", ["pub", "cheap pub"], guidance=[Length(words=4)], draws=2, steps=2)
    assert answer.probabilities == pytest.approx({"pub": 1.0, "cheap pub": 0.0})


@pytest.mark.parametrize(
    ("text", "options", "settings", "message"),
    [
        ("It is [SPAN].", None, {}, "leaves no choice"),
        ("It is good.", None, {}, r"'It is good.' leaves no choice; write \[CHOICE:a\|b\]"),
        ("It is [SPAN] [SPAN].", ["a", "b"], {}, "one \\[SPAN\\] and no"),
        ("It is [SPAN].", ["a"], {}, "at least two"),
        ("It is [CHOICE:a|b].", None, {"draws": 1}, "at least 2"),
        ("It is [CHOICE:a|b].", None, {"levels": (0, 1)}, "levels must be"),
        ("[CHOICE:a|b|c|d|e] " * 4, None, {}, "625 combinations"),
    ],
)
def test_choices_that_cannot_be_asked_are_refused(tiny_pipe, text, options, settings, message):
    with pytest.raises(ValueError, match=message):
        choose(tiny_pipe, text, options, **settings)


def test_objects_are_what_the_text_says(tiny_pipe):
    result = tiny_pipe(guidance=JSONSchema({"enum": ["a", {"b": None}]}), num_samples=2, steps=2, seed=3)
    assert [json.loads(text) for text in result.texts] == tiny_pipe.json(
        {"enum": ["a", {"b": None}]}, num_samples=2, steps=2, seed=3
    )


def test_choose_names_its_own_settings_for_a_misspelt_one(tiny_pipe):
    text = "It is a [CHOICE:pub|place]."
    with pytest.raises(TypeError, match=r"choose\(\) has no argument 'draw'; did you mean 'draws'\?"):
        tiny_pipe.choose(text, draw=3)
    with pytest.raises(TypeError, match=r"choose\(\) has no argument 'num_samples'; did you mean 'draws'\?"):
        tiny_pipe.choose(text, num_samples=3)
