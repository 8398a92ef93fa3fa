"""The language of a schema against jsonschema: every text it accepts is valid, and every valid value has a text in it."""

import itertools
import json
import random
from decimal import Decimal

import pytest
from jsonschema import Draft202012Validator

from diffusionlm.guidance.structured.net import nothing
from diffusionlm.guidance.structured.schema_language import Form, SchemaCompiler
from diffusionlm.guidance.structured.schema_reading import UnsupportedSchema, check

NAMES = ["a", "b", "c"]
WORDS = ["", "a", "ab", "abc", "b", "cab", "é", 'q"q', "a\nb", "aaaa"]
NUMBERS = [-3, -1, 0, 1, 2, 3, 4, 6, 10, 12, -0.5, 0.25, 0.5, 1.5, 2.75, 3.5, 10.25]


def compiled(schema, **form):
    check(schema)
    return SchemaCompiler(schema, Form(**form)).compile()


def valid(schema, text):
    exact = json.loads(json.dumps(schema), parse_float=Decimal)
    return Draft202012Validator(exact).is_valid(json.loads(text, parse_float=Decimal))


def orders(value):
    """A value with its properties in every order, as JSON."""
    if isinstance(value, dict):
        for names in itertools.permutations(value):
            for inner in itertools.product(*(list(orders(value[name])) for name in names)):
                yield "{" + ", ".join(f'"{name}": {text}' for name, text in zip(names, inner, strict=True)) + "}"
    elif isinstance(value, list):
        for inner in itertools.product(*(list(orders(item)) for item in value)):
            yield "[" + ", ".join(inner) + "]"
    else:
        yield json.dumps(value, ensure_ascii=False)


def random_value(draw, depth=2):
    kind = draw.choice(["null", "bool", "string", "number", "number", "string", "array", "object", "object"])
    if depth == 0 and kind in ("array", "object"):
        kind = "string"
    if kind == "array":
        return [random_value(draw, depth - 1) for _ in range(draw.randint(0, 3))]
    if kind == "object":
        names = draw.sample([*NAMES, "x"], draw.randint(0, 3))
        return {name: random_value(draw, depth - 1) for name in names}
    return {"null": None, "bool": draw.random() < 0.5}.get(
        kind, draw.choice(WORDS) if kind == "string" else draw.choice(NUMBERS)
    )


def random_scalar_schema(draw):
    schema = {}
    kind = draw.choice(["string", "number", "integer", "enum", "const", "types", "boolean"])
    if kind == "enum":
        return {"enum": [draw.choice([*WORDS, *NUMBERS, None, True]) for _ in range(3)]}
    if kind == "const":
        return {"const": draw.choice([*WORDS, *NUMBERS, False, [1, 2], {"a": 1}])}
    if kind == "types":
        return {
            "type": draw.sample(["string", "integer", "null", "boolean", "number"], 2),
            "minimum": 1,
            "minLength": 2,
        }
    schema["type"] = kind
    options = (
        {"minLength": [0, 1, 2], "maxLength": [1, 2, 3], "pattern": ["a", "^a", "b$", "^[ab]+$", "c?a"]}
        if kind == "string"
        else {
            "minimum": [-1, 0, 0.5, 2],
            "maximum": [2, 3.5, 10],
            "exclusiveMinimum": [-0.5, 1],
            "exclusiveMaximum": [3, 10.25],
            "multipleOf": [1, 2, 0.5, 0.25, 3],
        }
    )
    if kind != "boolean":
        for keyword in draw.sample(sorted(options), draw.randint(0, 2)):
            schema[keyword] = draw.choice(options[keyword])
    return schema


def random_schema(draw, depth=2):
    """A schema that says what unnamed properties may be, so that no valid value lies outside of the form."""
    kinds = ["scalar"] * 2 + (["array", "object", "object", "anyOf", "oneOf", "allOf", "not", "if"] if depth else [])
    kind = draw.choice(kinds)
    if kind == "scalar":
        return random_scalar_schema(draw)
    if kind == "array":
        schema = {"type": "array", "items": random_schema(draw, depth - 1)}
        if draw.random() < 0.3:
            schema["prefixItems"] = [random_schema(draw, 0) for _ in range(draw.randint(1, 2))]
        for keyword, values in {"minItems": [1, 2], "maxItems": [2, 3]}.items():
            if draw.random() < 0.3:
                schema[keyword] = draw.choice(values)
        if draw.random() < 0.2:
            schema["contains"] = random_schema(draw, 0)
        return schema
    if kind == "object":
        names = [name for name in NAMES if draw.random() < 0.6]
        schema = {"type": "object", "properties": {name: random_schema(draw, depth - 1) for name in names}}
        schema["required"] = [name for name in names if draw.random() < 0.4]
        schema["additionalProperties"] = draw.choice([False, False, {"type": "integer"}, True])
        if draw.random() < 0.2:
            schema["patternProperties"] = {draw.choice(["^x", "a"]): {"type": "integer"}}
        if draw.random() < 0.2:
            schema["maxProperties"] = draw.choice([1, 2])
        if draw.random() < 0.2:
            schema["minProperties"] = draw.choice([1, 2])
        if draw.random() < 0.15 and len(names) > 1:
            schema["dependentRequired"] = {names[0]: names[1:]}
        if draw.random() < 0.15:
            schema["propertyNames"] = {"pattern": "^[ax]"}
        return schema
    if kind == "not":
        return {"allOf": [random_schema(draw, depth - 1), {"not": random_scalar_schema(draw)}]}
    if kind == "if":
        tests = [{"type": "string"}, {"type": "object", "required": ["a"]}, {"minimum": 2}]
        return {
            "if": draw.choice(tests),
            "then": random_schema(draw, depth - 1),
            "else": random_schema(draw, depth - 1),
        }
    return {kind: [random_schema(draw, depth - 1) for _ in range(2)]}


def random_text(language, draw, most=60):
    """A text of a language by a random walk, which heads for the nearest end after ``most`` characters."""
    distance = [0 if accepts else None for accepts in language.accepting.tolist()]
    table = language.delta.tolist()
    changed = True
    while changed:
        changed = False
        for state, row in enumerate(table):
            near = [distance[target] for target in row if distance[target] is not None]
            if near and (distance[state] is None or distance[state] > 1 + min(near)):
                distance[state], changed = 1 + min(near), True
    sample = [chr(max(int(language.cuts[list(language.classes).index(c)]), 32)) for c in range(language.delta.shape[1])]
    sample = [
        c if language.classes[sum(int(cut) <= ord(c) for cut in language.cuts) - 1] == n else None
        for n, c in enumerate(sample)
    ]
    state, text = 0, ""
    while not (language.accepting[state] and (len(text) > most or draw.random() < 0.5)):
        ways = [(n, t) for n, t in enumerate(table[state]) if distance[t] is not None and sample[n] is not None]
        if not ways:
            break
        if len(text) > most:
            nearest = min(distance[t] for _, t in ways)
            ways = [(n, t) for n, t in ways if distance[t] == nearest]
        symbol, state = draw.choice(ways)
        text += sample[symbol]
    return text if language.accepting[state] else None


@pytest.mark.parametrize("seed", range(12))
def test_random_schemas_accept_just_what_jsonschema_accepts(seed):
    draw = random.Random(seed)
    for _ in range(4):
        schema = random_schema(draw)
        values = [random_value(draw) for _ in range(40)]
        try:
            language = compiled(schema)
        except UnsupportedSchema as error:
            if "cannot be met" not in str(error):
                continue
            language = nothing("cannot be met")
        for value in values:
            texts = list(itertools.islice(orders(value), 100))
            assert bool(language.accepts_each(texts).any()) == valid(schema, texts[0]), (schema, texts[0])
        for _ in range(0 if language.is_empty() else 8):
            text = random_text(language, draw)
            assert text is None or (language.accepts(text) and valid(schema, text)), (schema, text)


CASES = [
    ({"type": "integer", "minimum": 1}, ["1", "20"], ["0", "-1", "1.0", "x"]),
    ({"type": ["string", "null"]}, ['"a"', "null"], ["1"]),
    ({"const": {"a": [1, None]}}, ['{"a":[1,null]}', '{"a": [1, null]}'], ['{"a":[1]}']),
    ({"enum": [0.3, 0.35], "multipleOf": 0.1}, ["0.3"], ["0.35"]),
    ({"enum": [1, "1"]}, ["1", '"1"'], ["true", "2"]),
    ({"enum": ["a", "bb"], "maxLength": 1}, ['"a"'], ['"bb"']),
    (
        {"type": "array", "prefixItems": [{"const": 1}], "items": {"const": 2}},
        ["[]", "[1]", "[1,2, 2]"],
        ["[2]", "[1,1]"],
    ),
    ({"type": "array", "items": False}, ["[]"], ["[1]"]),
    (
        {"type": "array", "items": {"enum": [1, 2]}, "contains": {"const": 2}, "minContains": 2},
        ["[2,1,2]"],
        ["[2,1]", "[]"],
    ),
    ({"type": "array", "items": {"enum": [1, 2, 3]}, "uniqueItems": True}, ["[]", "[3,1]", "[1,2,3]"], ["[1,1]"]),
    ({"type": "array", "items": {"type": "boolean"}, "maxItems": 1, "uniqueItems": True}, ["[true]"], ["[true,false]"]),
    (
        {"properties": {"a": {"const": 1}}, "type": "object", "additionalProperties": False},
        ["{}", '{"a":1}'],
        ['{"b":1}'],
    ),
    ({"properties": {"a": False}, "type": "object"}, ["{}"], ['{"a":1}']),
    ({"type": "object", "required": ["z"]}, ['{"z":1}'], ["{}"]),
    ({"type": "object", "properties": {"a": {}, "b": {}}, "maxProperties": 1}, ["{}", '{"b":1}'], ['{"a":1,"b":1}']),
    (
        {"type": "object", "patternProperties": {"^a": {"const": 1}}, "additionalProperties": False},
        ['{"ab":1}'],
        ['{"ab":2}', '{"b":1}'],
    ),
    (
        {"type": "object", "additionalProperties": {"const": 0}, "properties": {"a": {"const": 1}}},
        ['{"a":1,"b":0}'],
        ['{"a":0}', '{"b":1}'],
    ),
    (
        {"type": "object", "additionalProperties": {"const": 0}, "propertyNames": {"maxLength": 1}},
        ['{"a":0}'],
        ['{"ab":0}'],
    ),
    ({"type": "integer", "not": {"const": 3}, "minimum": 2, "maximum": 4}, ["2", "4"], ["3"]),
    ({"type": "integer", "not": {"minimum": 3}, "minimum": 0}, ["2"], ["3"]),
    ({"type": "string", "not": {"pattern": "a"}}, ['"b"'], ['"ba"']),
    ({"not": {"type": ["object", "array", "string"]}}, ["1", "null", "true"], ['"a"', "[]"]),
    ({"type": "integer", "anyOf": [{"minimum": 10}, {"maximum": 0}]}, ["10", "-3"], ["5"]),
    ({"type": "integer", "oneOf": [{"minimum": 3}, {"maximum": 5}]}, ["2", "6"], ["4"]),
    ({"oneOf": [{"type": "integer"}, {"type": "number", "minimum": 2}]}, ["1", "2.5"], ["2", "1.5"]),
    ({"$defs": {"p": {"type": "integer"}}, "type": "array", "items": {"$ref": "#/$defs/p"}}, ["[1,2]"], ['["a"]']),
    ({"type": "array", "items": {"$ref": "#"}}, ["[]", "[[]]", "[[[]],[]]"], ["[1]"]),
    (
        {"allOf": [{"properties": {"a": {}}, "required": ["a"], "type": "object"}], "unevaluatedProperties": False},
        ['{"a":1}'],
        ['{"b":1}'],
    ),
    ({"type": "number", "multipleOf": 0.1}, ["0.3", "1", "0.30"], ["0.35"]),
    (
        {"type": "string", "minLength": 2, "maxLength": 2},
        ['"ab"', json.dumps('é"', ensure_ascii=False)],
        ['"a"', '"abc"'],
    ),
    (True, ["1", "[]", '{"a":1}'], ["x"]),
]


@pytest.mark.parametrize(("schema", "good", "bad"), CASES)
def test_keywords_mean_what_the_standard_says(schema, good, bad):
    language = compiled(schema)
    assert language.accepts_each(good).all(), [text for text in good if not language.accepts(text)]
    assert not language.accepts_each(bad).any(), [text for text in bad if language.accepts(text)]
    assert all(valid(schema, text) for text in good)


BLANKS = [
    (
        {"type": "string"},
        ['""', '"a"', '" a"', '"a b"', r'"a\nb"', '"a  b"'],
        ['"  a"', '"a "', '" "', r'"\na"', r'"a\t"', '"\u00a0a"'],
    ),
    ({"type": "string", "minLength": 1, "maxLength": 3}, ['"a b"'], ['"a "', '" "']),
    ({"type": "string", "pattern": "^ *a"}, ['"a"', '" a"'], ['"  a"', '"a "']),
    ({"type": "string", "pattern": "^  a"}, ['"  a"', '"  a "'], ['"a"']),  # there is no other
    ({"enum": ["  a", "b "]}, ['"  a"', '"b "'], ['"a"']),
    ({"const": " "}, ['" "'], ['""']),
    ({"type": "string", "not": {"pattern": "a"}}, ['"b"'], ['"b "', '"ba"']),
    ({"type": "array", "items": {"type": "string"}}, ['["a", "b"]'], ['["  a"]', '["a", "b "]']),
    ({}, ['"a"', '["a"]'], ['"a "', '["a "]']),
    (
        {"oneOf": [{"type": "string", "pattern": "^  "}, {"type": "string", "pattern": "b"}]},
        ['"  a"', '"b"'],
        ['"  b"', '"a"'],
    ),
    (
        {"type": "object", "properties": {"a ": {"const": 1}}, "propertyNames": {"maxLength": 2}, "required": ["a "]},
        ['{"a ": 1}'],
        ['{"a": 1}'],
    ),
    ({"type": "object", "additionalProperties": {"const": 1}}, ['{"a": 1}'], ['{"  a": 1}', '{"a ": 1}']),
    (
        {
            "type": "object",
            "additionalProperties": {"const": 1},
            "propertyNames": {"pattern": " $"},
            "minProperties": 1,
        },
        ['{"a ": 1}'],
        ['{"a": 1}'],
    ),
]


@pytest.mark.parametrize(("schema", "good", "bad"), BLANKS)
def test_idle_blanks_are_written_only_where_nothing_else_is_valid(schema, good, bad):
    language = compiled(schema)
    assert language.accepts_each(good).tolist() == [True] * len(good)
    assert language.accepts_each(bad).tolist() == [False] * len(bad)
    assert all(valid(schema, text) for text in good)


def test_spaces_are_bounded_by_whitespace():
    schema = {"type": "array", "items": {"const": 1}, "minItems": 2, "maxItems": 2}
    texts = ["[1,1]", "[1, 1]", "[1,  1]", "[ 1,1]"]
    assert compiled(schema, whitespace=0).accepts_each(texts).tolist() == [True, False, False, False]
    assert compiled(schema, whitespace=2).accepts_each(texts).tolist() == [True, True, True, False]


def test_a_recursive_schema_goes_as_deep_as_depth():
    schema = {"type": "array", "items": {"$ref": "#"}}
    texts = ["[]", "[[]]", "[[[]]]", "[[[[]]]]"]
    assert compiled(schema, depth=2).accepts_each(texts).tolist() == [True, True, True, False]


REFUSED = [
    ({"properties": {"x": {"minLenght": 3}}}, r"#/properties/x/minLenght uses .*Did you mean 'minLength'"),
    ({"type": "strin"}, "#/type is not valid"),
    ({"type": "string", "pattern": "(?=a)"}, "#/pattern has a pattern that cannot be kept"),
    ({"type": "string", "format": "postcode"}, "#/format asks for the format 'postcode'"),
    ({"type": "array", "items": {"type": "string"}, "uniqueItems": True}, "#/uniqueItems asks for items that differ"),
    ({"type": "array", "contains": {}, "maxContains": 1}, "#/maxContains"),
    ({"$ref": "other.json"}, "refers to 'other.json'"),
    ({"$ref": "#/$defs/a"}, "which is not in the schema"),
    ({"type": "integer", "minimum": 5, "maximum": 3}, "cannot be met: it asks for an integer between bounds"),
    ({"type": "string", "minLength": 5, "maxLength": 3}, "at least 5 and at most 3 characters"),
    ({"type": "string", "allOf": [{"type": "integer"}]}, "types that exclude each other"),
    (
        {"type": "object", "properties": {"a": {"enum": ["x"], "minLength": 3}}, "required": ["a"]},
        "#/properties/a/enum",
    ),
    ({"oneOf": [{"type": "integer"}, {"type": "integer"}]}, "#/oneOf cannot be met"),
    ({"not": {"multipleOf": 3}}, "#/not/multipleOf stands under a 'not'"),
    ({"type": "integer", "multipleOf": 9973}, "need 9,973 remainders"),
    ({"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}, "cannot be met"),
    (False, "allows nothing"),
]


@pytest.mark.parametrize(("schema", "message"), REFUSED)
def test_what_cannot_be_expressed_is_refused_by_its_place(schema, message):
    with pytest.raises(UnsupportedSchema, match=message) as error:
        compiled(schema)
    assert "\n" not in str(error.value)


def test_ten_megabytes_of_schema_are_refused_in_a_sentence():
    schema = {"enum": [f"word {n}" for n in range(800_000)]}
    with pytest.raises(UnsupportedSchema, match="at most 500,000 are compiled"):
        check(schema)


def test_a_schema_that_is_nested_too_deeply_is_refused():
    schema = {"type": "integer"}
    for _ in range(5_000):
        schema = {"type": "array", "items": schema}
    with pytest.raises(UnsupportedSchema, match="levels deep"):
        check(schema)
