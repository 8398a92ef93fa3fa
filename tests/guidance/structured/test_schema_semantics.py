"""The language of a schema against jsonschema: every text it accepts is valid, and every valid value has a text in it."""

import itertools
import json
import random
from decimal import Decimal

import pytest
from jsonschema import Draft202012Validator

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
        return {"type": draw.sample(["string", "integer", "null", "boolean", "number"], 2), "minimum": 1, "minLength": 2}
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


def count_of_extras(value):
    """The most properties named x in one object; they may be repeated, so that minProperties counts them as one."""
    return value


@pytest.mark.parametrize("seed", range(60))
def test_random_schemas_accept_what_jsonschema_accepts(seed):
    draw = random.Random(seed)
    for _ in range(6):
        schema = random_schema(draw)
        values = [random_value(draw) for _ in range(60)]
        try:
            language = compiled(schema)
        except UnsupportedSchema as error:
            if "cannot be met" in str(error):
                assert not any(valid(schema, json.dumps(value)) for value in values), (schema, str(error))
            continue
        for value in values:
            texts = list(itertools.islice(orders(value), 300))
            accepted = language.accepts_each(texts)
            expected = valid(schema, texts[0])
            assert bool(accepted.any()) == expected, (schema, texts[0])
