"""The opposite of a schema, as a list of schemas of which at least one holds (De Morgan)."""

from __future__ import annotations

from typing import Any

from diffusionlm.guidance.structured.schema_reading import ANNOTATIONS, References, Schema, child, refuse

EXCLUDED, NOT_PATTERN = "\0excluded", "\0not-pattern"
"""Keywords of our own, which no schema of a user can have: values that it must not be, patterns that must not be found."""
TYPES = ("null", "boolean", "string", "number", "array", "object")
_ABOVE = {"minimum": "exclusiveMaximum", "exclusiveMinimum": "maximum"}
_BELOW = {"maximum": "exclusiveMinimum", "exclusiveMaximum": "minimum"}
_LENGTHS = {
    "string": ("minLength", "maxLength"),
    "array": ("minItems", "maxItems"),
    "object": ("minProperties", "maxProperties"),
}


def opposite(schema: Schema, path: str, references: References) -> list[Schema]:
    """Schemas of which at least one holds just where ``schema`` does not.

    Raises:
        UnsupportedSchema: if a keyword has no opposite that an automaton can hold.
    """
    if isinstance(schema, bool):
        return [] if schema else [True]
    out: list[Schema] = []
    for keyword, value in schema.items():
        if keyword not in ANNOTATIONS and keyword not in ("then", "else"):
            out += _opposite(keyword, value, child(path, keyword), references)
    return out


def _opposite(keyword: str, value: Any, path: str, references: References) -> list[Schema]:
    for kind, (least, most) in _LENGTHS.items():
        if keyword == least:
            return [{"type": kind, most: value - 1}] if value > 0 else []
        if keyword == most:
            return [{"type": kind, least: value + 1}]
    if keyword in _ABOVE or keyword in _BELOW:
        return [{"type": "number", {**_ABOVE, **_BELOW}[keyword]: value}]
    match keyword:
        case "type":
            names = [value] if isinstance(value, str) else value
            if "integer" in names and "number" not in names:
                raise refuse(path, "asks for a number that is no integer; say it with minimum, maximum or multipleOf.")
            return [{"type": rest}] if (rest := [kind for kind in TYPES if kind not in names]) else []
        case "const":
            return [{EXCLUDED: [value]}]
        case "enum":
            return [{EXCLUDED: value}]
        case "pattern":
            return [{"type": "string", NOT_PATTERN: [value]}]
        case "required":
            return [{"type": "object", "properties": {name: False}} for name in value]
        case "properties":
            return [
                {"type": "object", "required": [name], "properties": {name: other}}
                for name, inner in value.items()
                for other in opposite(inner, child(path, name), references)
            ]
        case "anyOf":
            parts = [opposite(inner, child(path, n), references) for n, inner in enumerate(value)]
            return [{"allOf": [{"anyOf": part} if part else False for part in parts]}]
        case "allOf":
            return [other for n, inner in enumerate(value) for other in opposite(inner, child(path, n), references)]
        case "not":
            return [value]
        case "$ref":
            if references.is_recursive(value, path):
                raise refuse(path, "stands under a 'not' (or an 'if') and is recursive, which is not supported.")
            return opposite(references.target(value, path), value, references)
    raise refuse(
        path, f"stands under a 'not' (or an 'if'), where {keyword!r} is not supported; say the opposite directly."
    )
