"""`JSONSchema`: the text is JSON that is valid under a schema."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from diffusionlm.guidance.automata import Language
from diffusionlm.guidance.registry.plugins import register
from diffusionlm.guidance.structured.schema_language import Form, SchemaCompiler
from diffusionlm.guidance.structured.schema_reading import check, named_text, schema_of
from diffusionlm.guidance.structured.schema_validity import exact_number, validity
from diffusionlm.guidance.structured.spanwise import SpanConstraint


@register("json-schema")
class JSONSchema(SpanConstraint):
    """JSON that is valid under a schema of draft 2020-12.

    Properties come in the order of the schema, strings are written as ``json.dumps(..., ensure_ascii=False)`` writes them,
    numbers without exponent. A string ends in no blank and begins with one space at most, which the model's words bring along
    (unless a pattern, an enumeration or a constant leaves nothing else); `pipe.json` takes it off where the schema allows that.
    Properties that the schema does not name are written only where it asks for such by additionalProperties or
    patternProperties. What an automaton cannot hold is refused by its place in the schema.

    Args:
        schema: the schema, its JSON text, a pydantic model, or a type that pydantic knows, such as a TypedDict.
        depth: how often a recursive definition may be opened inside itself.
        whitespace: most spaces behind a comma and a colon.
        decimals: most digits behind the point of a number.
        span: the number of the span that holds the JSON; None: it is the whole text.

    Raises:
        UnsupportedSchema: if the schema is not valid, too large, contradictory, or has a keyword that is not supported.
        AutomatonTooLarge: if it needs too many states.
        ImportError: if jsonschema (or pydantic, for a type) is not installed.

    Example:
        >>> JSONSchema({"type": "integer", "minimum": 1, "maximum": 5}).languages()[0].accepts("7")
        False
    """

    schema: Any = None
    depth: int = 3
    whitespace: int = 1
    decimals: int = 6

    expected_failures = {"default_constructible": "there is no schema that everybody wants"}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.schema is None:
            raise ValueError("JSONSchema needs a schema, as in JSONSchema({'type': 'object', 'properties': {...}}).")
        for name, least, most in (("depth", 1, 10), ("whitespace", 0, 8), ("decimals", 1, 12)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                raise ValueError(f"{name} must be a whole number from {least} to {most}, got {value!r}.")
        self.schema = schema_of(self.schema)
        self.languages()  # a schema that cannot be used is refused here, where it is written

    @classmethod
    def example(cls) -> JSONSchema:
        """A number from 1 to 99."""
        return cls({"type": "integer", "minimum": 1, "maximum": 99})

    def languages(self) -> Sequence[Language]:
        """The one language of all texts."""
        check(self.schema)
        return [_compiled(json.dumps(self.schema), Form(self.depth, self.whitespace, self.decimals))]

    def named(self) -> str:
        """Keys, enumerated values and patterns of the schema."""
        return named_text(self.schema)

    def certify(self, text: str, span_ids: Sequence[Sequence[int]]) -> dict[str, bool]:
        """Whether the text is JSON and jsonschema finds it valid."""
        return {_name(self.schema): is_valid(self.schema, text)}


def is_valid(schema: Any, text: str) -> bool:
    """Whether a text is JSON that jsonschema finds valid, formats included, and patterns as both ECMAScript and Python read
    them. Numbers are read as decimals, so that 0.3 is a multiple of 0.1."""
    try:
        value = json.loads(text, parse_float=exact_number, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return False
    return validity(json.dumps(schema)).holds(value)


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _name(schema: Any) -> str:
    title = schema.get("title") if isinstance(schema, dict) else None
    return f"follows the JSON Schema {title!r}" if title else "follows the JSON Schema"


@lru_cache(maxsize=64)
def _compiled(schema: str, form: Form) -> Language:
    root = json.loads(schema)
    return SchemaCompiler(root, form).compile().renamed(_name(root))
