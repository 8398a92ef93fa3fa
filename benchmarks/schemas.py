"""Sixty JSON Schemas of the kinds people ask language models to follow: extraction, classification, tool calls, settings, API
payloads, trees. Small enough for the 64 positions of the bundled models or for the 256 of the toy model in the tests."""

from __future__ import annotations

from typing import Any


def _object(properties: dict[str, Any], required: list[str] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
        **more,
    }


_TEXT = {"type": "string"}
_SHORT = {"type": "string", "minLength": 1, "maxLength": 12}
_WHOLE = {"type": "integer"}
_YES = {"type": "boolean"}

SCHEMAS: dict[str, Any] = {
    # scalars
    "boolean": _YES,
    "rating": {"type": "integer", "minimum": 1, "maximum": 5},
    "probability": {"type": "number", "minimum": 0, "maximum": 1},
    "percentage_steps": {"type": "integer", "minimum": 0, "maximum": 100, "multipleOf": 5},
    "price": {"type": "number", "exclusiveMinimum": 0, "maximum": 999.99, "multipleOf": 0.01},
    "temperature": {"type": "number", "minimum": -40, "maximum": 60.5},
    "label": {"enum": ["positive", "negative", "neutral"]},
    "mixed_enum": {"enum": ["auto", 0, 1, None, True]},
    "constant": {"const": {"status": "ok", "codes": [1, 2]}},
    "nullable_text": {"type": ["string", "null"], "maxLength": 8},
    "short_text": _SHORT,
    "zip_code": {"type": "string", "pattern": "^[0-9]{5}(-[0-9]{4})?$"},
    "phone": {"type": "string", "pattern": "^\\+?[0-9]{3}-[0-9]{4}$"},
    "hex_colour": {"type": "string", "pattern": "^#[0-9a-f]{6}$"},
    "semantic_version": {"type": "string", "pattern": "^[0-9]+\\.[0-9]+\\.[0-9]+$", "maxLength": 9},
    "slug": {"type": "string", "pattern": "^[a-z0-9]+(-[a-z0-9]+)*$", "maxLength": 16},
    "date": {"type": "string", "format": "date"},
    "time": {"type": "string", "format": "time"},
    "date_time": {"type": "string", "format": "date-time"},
    "email": {"type": "string", "format": "email", "maxLength": 24},
    "uuid": {"type": "string", "format": "uuid"},
    "ipv4": {"type": "string", "format": "ipv4"},
    "uri": {"type": "string", "format": "uri", "maxLength": 30},
    # arrays
    "words": {"type": "array", "items": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 8}, "maxItems": 4},
    "three_numbers": {"type": "array", "items": {"type": "number"}, "minItems": 3, "maxItems": 3},
    "point": {"type": "array", "prefixItems": [{"type": "number"}, {"type": "number"}], "items": False, "minItems": 2},
    "named_point": {"type": "array", "prefixItems": [_SHORT, _WHOLE], "items": _YES, "minItems": 2, "maxItems": 4},
    "distinct_labels": {"type": "array", "items": {"enum": ["a", "b", "c"]}, "uniqueItems": True, "minItems": 1},
    "matrix": {
        "type": "array",
        "items": {"type": "array", "items": {"enum": [0, 1]}, "minItems": 2, "maxItems": 2},
        "maxItems": 3,
    },
    "contains_zero": {
        "type": "array",
        "items": {"type": "integer", "minimum": 0, "maximum": 9},
        "contains": {"const": 0},
        "maxItems": 4,
    },
    "any_array": {"type": "array", "maxItems": 3},
    # objects
    "restaurant": _object(
        {"name": _SHORT, "food": {"enum": ["Italian", "French"]}, "rating": {"enum": [1, 2, 3, 4, 5]}}
    ),
    "sentiment": _object({"label": {"enum": ["pos", "neg"]}, "score": {"type": "number", "minimum": 0, "maximum": 1}}),
    "optional": _object(
        {"name": _SHORT, "age": {"type": "integer", "minimum": 0, "maximum": 130}, "vip": _YES}, ["name"]
    ),
    "closed": _object({"id": _WHOLE, "note": {"type": "string", "maxLength": 10}}, ["id"], additionalProperties=False),
    "nested": _object({"user": _object({"id": _WHOLE, "name": _SHORT}), "ok": _YES}),
    "tool_call": _object(
        {
            "tool": {"const": "search"},
            "arguments": _object(
                {"query": _SHORT, "limit": {"type": "integer", "minimum": 1, "maximum": 20}}, ["query"]
            ),
        }
    ),
    "map_of_numbers": {"type": "object", "additionalProperties": {"type": "integer"}, "maxProperties": 3},
    "map_of_keys": {
        "type": "object",
        "patternProperties": {"^x-[a-z]{1,6}$": _YES},
        "additionalProperties": False,
        "minProperties": 1,
    },
    "key_names": {
        "type": "object",
        "propertyNames": {"pattern": "^[a-z]{1,5}$"},
        "additionalProperties": {"enum": [0, 1]},
        "maxProperties": 2,
    },
    "at_least_one": _object({"mail": _SHORT, "phone": _SHORT}, [], minProperties=1),
    "dependent": _object(
        {"card": {"type": "integer", "minimum": 0, "maximum": 99}, "name": _SHORT},
        [],
        dependentRequired={"card": ["name"]},
    ),
    "escaped_names": _object({'say "hi"': _WHOLE, "back\\slash": _WHOLE, "naïve": _YES}),
    "free_object": {"type": "object", "maxProperties": 2},
    "review": _object(
        {
            "title": _SHORT,
            "stars": {"type": "integer", "minimum": 1, "maximum": 5},
            "tags": {"type": "array", "items": {"enum": ["food", "staff"]}, "maxItems": 2},
        }
    ),
    # combinations
    "any_of": {
        "anyOf": [{"type": "integer", "minimum": 10, "maximum": 99}, {"type": "string", "pattern": "^[A-Z]{2}$"}]
    },
    "one_of_kinds": {
        "oneOf": [
            _object({"kind": {"const": "circle"}, "r": {"type": "integer", "minimum": 1}}),
            _object({"kind": {"const": "box"}, "w": _WHOLE, "h": _WHOLE}),
        ]
    },
    "one_of_required": _object(
        {"email": _SHORT, "phone": _SHORT}, [], oneOf=[{"required": ["email"]}, {"required": ["phone"]}]
    ),
    "all_of": {"allOf": [_object({"id": _WHOLE}), _object({"name": _SHORT})]},
    "all_of_bounds": {"allOf": [{"type": "integer"}, {"minimum": 3}, {"maximum": 30, "multipleOf": 3}]},
    "not_a_word": {"type": "string", "maxLength": 6, "not": {"enum": ["", "none", "n/a"]}},
    "if_then_else": _object(
        {"country": {"enum": ["US", "NL"]}, "code": _TEXT},
        **{
            "if": {"properties": {"country": {"const": "US"}}, "required": ["country"]},
            "then": {"properties": {"code": {"pattern": "^[0-9]{5}$"}}},
            "else": {"properties": {"code": {"pattern": "^[0-9]{4}[A-Z]{2}$"}}},
        },
    ),
    "definitions": {
        "$defs": {"point": _object({"x": _WHOLE, "y": _WHOLE})},
        **_object({"from": {"$ref": "#/$defs/point"}, "to": {"$ref": "#/$defs/point"}}),
    },
    "tree": {
        "$defs": {
            "node": _object(
                {"v": {"enum": [0, 1]}, "kids": {"type": "array", "items": {"$ref": "#/$defs/node"}, "maxItems": 2}},
                ["v"],
            )
        },
        "$ref": "#/$defs/node",
    },
    "linked_list": _object({"head": {"enum": ["a", "b"]}, "tail": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}),
    "unevaluated": {"allOf": [_object({"a": _WHOLE})], "properties": {"b": _YES}, "unevaluatedProperties": False},
    "pydantic_like": {
        "title": "Item",
        **_object(
            {
                "name": {"title": "Name", **_SHORT},
                "price": {"anyOf": [{"type": "number", "minimum": 0}, {"type": "null"}], "default": None},
            },
            ["name"],
        ),
    },
    "event": _object({"when": {"type": "string", "format": "date"}, "kind": {"enum": ["in", "out"]}}),
    "settings": _object(
        {
            "mode": {"enum": ["fast", "safe"]},
            "retries": {"type": "integer", "minimum": 0, "maximum": 9},
            "proxy": {"type": ["string", "null"], "maxLength": 8},
        },
        ["mode"],
    ),
    "anything": {},
}
