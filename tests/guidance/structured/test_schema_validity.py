"""The certificate of a JSON Schema: formats hold, patterns hold in both dialects, whole numbers are integers."""

import json

import pytest

from diffusionlm.guidance import JSONSchema
from diffusionlm.guidance.structured.schema_reading import UnsupportedSchema


def held(schema, text):
    plugin = JSONSchema(schema)
    certified = all(plugin.certify(text, []).values())
    return certified, plugin.languages()[0].accepts(text)


@pytest.mark.parametrize(
    ("schema", "text", "valid"),
    [
        ({"type": "string", "format": "date"}, '"2024-02-29"', True),
        ({"type": "string", "format": "date"}, '"2023-02-29"', False),
        ({"type": "string", "format": "email"}, '"a b@c.org"', False),
        ({"type": "string", "format": "ipv4"}, '"256.1.1.1"', False),
        ({"type": "string", "format": "duration"}, '"P"', False),
        ({"format": "date"}, "1", True),
        ({"enum": ["x", "2024-01-01"], "format": "date"}, '"x"', False),
        ({"enum": ["x", "2024-01-01"], "format": "date"}, '"2024-01-01"', True),
        ({"oneOf": [{"type": "string", "format": "date"}, {"type": "string", "maxLength": 3}]}, '"abc"', True),
        ({"oneOf": [{"type": "string", "format": "date"}, {"type": "string", "maxLength": 3}]}, '"abcd"', False),
        ({"type": "string", "pattern": r"^[A-Z]{2}\d{3}$"}, r'"AB123\n"', False),
        ({"type": "string", "pattern": r"^[A-Z]{2}\d{3}$"}, '"AB١٢٣"', False),
        ({"type": "string", "pattern": r"^\w+$"}, '"é"', False),
        ({"type": "string", "pattern": r"^(?<year>\d{4})$"}, '"2024"', True),
        ({"type": "string", "pattern": r"^\u{1F600}$"}, '"😀"', True),
        ({"type": "string", "pattern": r"(?i)^abc$"}, '"ABC"', True),
        ({"type": "object", "patternProperties": {r"^\d$": {"const": 1}}, "additionalProperties": False}, '{"٣": 1}', False),
        ({"type": "integer", "enum": [1.0, 2.5]}, "1", False),  # written as it was given: 1.0
        ({"type": "integer", "enum": [1.0, 2.5]}, "1.0", True),
        ({"type": "number"}, "NaN", False),
    ],
)  # fmt: skip
def test_certificate_and_automaton_agree(schema, text, valid):
    certified, written = held(schema, text)
    assert written is valid
    assert certified is valid or text == "1"  # another writing of an allowed value is certified, not written


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "string", "pattern": r"\p{L}"}, r"#/pattern has a pattern.*by property"),
        ({"type": "string", "pattern": "a{,3}"}, r"write \{0,3\} for the repeat"),
        ({"type": "string", "pattern": "[a-z"}, "#/pattern has a pattern.*is not valid"),
        ({"type": "integer", "pattern": "("}, "#/pattern has a pattern.*is not valid"),
        ({"patternProperties": {"(": True}}, r"#/patternProperties/\( has a pattern"),
        ({"const": "x", "format": "date"}, "has no value"),
        ({"type": "array", "items": [{"type": "integer"}]}, "are prefixItems"),
        ({"type": "string", "minLength": 100_000}, "up to 4,000 are supported"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_its_place(schema, words):
    with pytest.raises(UnsupportedSchema, match=words):
        JSONSchema(schema)


def test_a_long_string_is_compiled_in_states_that_grow_with_it():
    language = JSONSchema({"type": "string", "maxLength": 300}).languages()[0]
    assert language.accepts(json.dumps("a" * 300))
    assert not language.accepts(json.dumps("a" * 301))
