"""JSONSchema, Grammar and Choice as plugins: sixty schemas over tokens, spans, certificates, refusals."""

import json

import pytest
import torch

from benchmarks.schemas import SCHEMAS
from diffusionlm.guidance import Choice, Grammar, JSONSchema, Length, UnsatisfiableConstraint, automata
from diffusionlm.guidance.guidance import Guidance
from diffusionlm.guidance.structured.ebnf import UnsupportedGrammar
from diffusionlm.guidance.structured.json_schema import is_valid
from diffusionlm.guidance.structured.spanwise import spanwise
from diffusionlm.spans import Canvas

LENGTH = 110


@pytest.mark.parametrize("name", SCHEMAS)
def test_twenty_texts_of_a_random_posterior_are_valid(name, vocabulary):
    plugin = JSONSchema(SCHEMAS[name])
    plugin.bind(vocabulary)
    allowed = torch.ones(len(vocabulary), dtype=torch.bool)
    bound = automata.bind(plugin.compiled, ["", ""], [0] * LENGTH, allowed)
    generator = torch.Generator().manual_seed(0)
    log_p = (3 * torch.randn(20, LENGTH, len(vocabulary), generator=generator)).log_softmax(-1)
    texts = [vocabulary.decode(row).removeprefix(" ") for row in bound.sample(log_p, generator).tolist()]
    texts += [vocabulary.decode(row).removeprefix(" ") for row in bound.viterbi(log_p[:2]).tolist()]
    assert all(is_valid(SCHEMAS[name], text) for text in texts)


def test_there_are_sixty_schemas():
    assert len(SCHEMAS) == 60


def test_a_schema_holds_in_the_whole_text_and_is_certified_by_jsonschema(pipe):
    plugin = JSONSchema({"title": "Stars", "type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"]})
    result = pipe(guidance=plugin, num_samples=4, steps=3, seed=0)
    assert all(json.loads(text)["n"] in (1, 2) for text in result.texts)
    assert result.certificates == [{"follows the JSON Schema 'Stars'": True}] * 4
    assert not plugin.certify('{"n": 3}', [])["follows the JSON Schema 'Stars'"]


def test_a_schema_reads_known_text(pipe):
    plugin = JSONSchema({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"enum": ["x", "yy"]}}})
    result = pipe('{"a": [SPAN], "b": "[SPAN:2]"}', guidance=plugin, num_samples=3, steps=3, seed=0)
    assert {json.loads(text)["b"] for text in result.texts} == {"yy"}
    with pytest.raises(UnsatisfiableConstraint, match="JSON Schema"):
        pipe('{"c": [SPAN]}', guidance=JSONSchema({"type": "object", "properties": {"c": False}}), steps=1)


def test_a_schema_holds_in_one_span_alone(pipe):
    plugin = JSONSchema({"type": "array", "items": {"enum": [7]}, "minItems": 2, "maxItems": 2}, span=1)
    result = pipe(
        "The [SPAN:2] as JSON: [SPAN] is it.", guidance=plugin, max_span_length=8, num_samples=3, steps=3, seed=0
    )
    assert all(json.loads(spans[1]) == [7, 7] for spans in result.spans)
    assert all(all(held.values()) for held in result.certificates)
    with pytest.raises(ValueError, match="span 1, but the text has 1 span"):
        pipe("[SPAN]", guidance=plugin, steps=1)


def test_plugins_are_plain_data_and_come_back():
    for plugin in (JSONSchema({"type": "integer"}, span=0, depth=2), Choice(["a", "b"]), Grammar('start: "a"')):
        data = json.loads(json.dumps(plugin.to_dict()))
        assert Guidance.from_dict(data).to_dict() == plugin.to_dict()


def test_a_schema_may_be_text_a_model_or_a_typed_dict():
    from typing import TypedDict

    from pydantic import BaseModel

    class Point(BaseModel):
        x: int

    class Other(TypedDict):
        x: int

    for given in ('{"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}', Point, Other):
        (language,) = JSONSchema(given).languages()
        assert language.accepts_each(['{"x": 1}', "{}", '{"x": "1"}']).tolist() == [True, False, False]
    for wrong, message in (("{", "no JSON"), (3, "got int"), (None, "needs a schema")):
        with pytest.raises(ValueError, match=message):
            JSONSchema(wrong)


@pytest.mark.parametrize(("setting", "value"), [("depth", 0), ("whitespace", -1), ("decimals", 99), ("span", -1)])
def test_settings_out_of_range_are_refused(setting, value):
    with pytest.raises(ValueError, match=setting):
        JSONSchema({"type": "integer"}, **{setting: value})


def test_a_required_key_is_written_in_bytes_where_no_token_has_its_letters(vocabulary):
    assert "ï" not in vocabulary.strings
    plugin = JSONSchema({"enum": ["naïve"]})
    plugin.bind(vocabulary)
    bound = automata.bind(plugin.compiled, ["", ""], [0] * 12, torch.ones(len(vocabulary), dtype=torch.bool))
    ids = bound.viterbi(torch.zeros(1, 12, len(vocabulary)))
    assert vocabulary.decode(ids[0].tolist()).removeprefix(" ") == '"naïve"'


def test_rules_of_spans_leave_other_spans_free_and_do_not_read_known_text(tokenizer):
    layout = Canvas.parse("The [SPAN:3] is [SPAN:2], [SPAN:2].").lay_out(tokenizer, 4)
    rule = spanwise({1: automata.regex("cheap|pub")}, layout, tokenizer.vocabulary, "rule")
    bound = automata.bind(
        [rule], list(layout.internal_literals), layout.span_index, layout.allowed(tokenizer.vocabulary)
    )
    log_p = torch.randn(40, layout.length, len(tokenizer.vocabulary), generator=torch.Generator().manual_seed(0))
    ids = bound.sample(log_p.log_softmax(-1), torch.Generator().manual_seed(1))
    written = [layout.assemble(row, tokenizer.vocabulary)[1] for row in ids.tolist()]
    assert {spans[1] for spans in written} == {"cheap", "pub"}
    assert len({spans[0] for spans in written}) == 40


# ---- choices --------------------------------------------------------------------------------------------------------


def test_a_choice_in_a_text_is_one_of_its_options(pipe):
    texts = ["The Mill is a [CHOICE:pub|coffee shop] near [SPAN:2].", "[CHOICE:It|The Eagle] is [CHOICE: cheap |fast]."]
    result = pipe(texts, num_samples=4, steps=3, seed=0)
    assert all(spans[0] in ("pub", "coffee shop") for spans in result.spans[0])
    assert all(spans[0] in ("It", "The Eagle") and spans[1] in ("cheap", "fast") for spans in result.spans[1])
    assert all(held and all(held.values()) for group in result.certificates for held in group)


def test_texts_that_differ_in_their_options_alone_keep_their_own(pipe):
    first, second = pipe(["It is [CHOICE:pub|fast]", "It is [CHOICE:cheap|low]"], num_samples=3, steps=2, seed=0).spans
    assert {spans[0] for spans in first} <= {"pub", "fast"}
    assert {spans[0] for spans in second} <= {"cheap", "low"}


def test_choices_go_with_other_plugins_and_a_batch_without_choices(pipe):
    texts = ["It is a [CHOICE:pub|cheap coffee shop].", "It is [SPAN:2]."]
    first, second = pipe(texts, guidance=Length(words=(4, 5)), num_samples=2, steps=2, seed=0).texts
    assert set(first) == {"It is a pub."}
    assert all(len(text.split()) in (4, 5) for text in second)


def test_the_plugin_choice_is_about_the_span_it_names(pipe):
    result = pipe(
        "It [SPAN:2] [SPAN].", guidance=Choice(["pub", "coffee shop"], span=1), num_samples=3, steps=2, seed=0
    )
    assert all(spans[1] in ("pub", "coffee shop") for spans in result.spans)
    assert all(all(held.values()) for held in result.certificates)


@pytest.mark.parametrize("wrong", ["pub", ["a", "a"], ["a", ""], [" "], None, 3, [["a"]], ["a", None], {"a": 1}, b"ab"])
def test_options_that_are_none_are_refused(wrong):
    with pytest.raises(ValueError, match="options must be"):
        Choice(wrong)


# ---- grammars -------------------------------------------------------------------------------------------------------

ARITHMETIC = """
%import common.INT
%import common.WS
%ignore WS
start: sum
?sum: product (("+"|"-") product)*
?product: atom ("*" atom)*
atom: INT | "(" sum ")" -> paren
"""


@pytest.mark.parametrize(
    ("grammar", "settings", "good", "bad"),
    [
        ('start: "a" start "b" | "ab"', {}, ["ab", "aabb", "aaabbb"], ["aab", "aaaabbbb", ""]),
        (ARITHMETIC, {"depth": 2}, ["1+2", "1 + 2 * (3-4)", " 7 "], ["(1", "((2))", "1 2", "+"]),
        ('start: NAME ("," NAME)~0..2\nNAME: /[a-z]+/i | "X".."Z"', {}, ["a", "A,b,c"], ["a,b,c,d", "a,"]),
        ('start: ["very "] "good"i // a comment', {}, ["good", "very GOOD"], ["very "]),
        ('%llguidance {}\nstart: "x=" %json {"type": "integer", "maximum": 9}', {}, ["x=7", "x=-3"], ["x=10", "x="]),
        (
            "%import common (ESCAPED_STRING, SIGNED_NUMBER)\nstart: ESCAPED_STRING | SIGNED_NUMBER",
            {},
            ['"a"', "-1.5"],
            ['"a'],
        ),
        ('yes: "y"+ | no\nno: "n"?', {"start": "yes"}, ["yy", "n", ""], ["yn"]),
    ],
)
def test_grammars_accept_their_texts(grammar, settings, good, bad):
    (language,) = Grammar(grammar, **settings).languages()
    assert language.accepts_each(good).all()
    assert not language.accepts_each(bad).any()


@pytest.mark.parametrize(
    ("grammar", "message"),
    [
        ("start: foo", "uses 'foo' in start, which it does not define"),
        ('start "a"', "not valid at line 1"),
        ("start: /(?=x)/", "look-ahead"),
        ('A: A "x"\nstart: A', "contains itself"),
        ("start: start", "No text follows the grammar"),
        ('a: "x"', "no rule 'start'"),
        ('start: x{"a"}\nx{y}: y', "parameters"),
        ("%declare A\nstart: A", "%declare"),
        ("%import common.NOPE\nstart: NOPE", "common.NOPE"),
        ("", "needs rules"),
    ],
)
def test_grammars_that_cannot_be_are_refused(grammar, message):
    with pytest.raises(UnsupportedGrammar, match=message):
        Grammar(grammar)


def test_a_grammar_holds_in_written_text(pipe):
    result = pipe(
        "It is [SPAN].", guidance=Grammar('start: "It is " ("very ")~0..1 "cheap."'), num_samples=3, steps=2, seed=0
    )
    assert set(result.texts) <= {"It is cheap.", "It is very cheap."}
    assert all(all(held.values()) for held in result.certificates)
