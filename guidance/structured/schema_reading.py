"""A JSON Schema before it is compiled: read from what a user gives, checked, its references found."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

MAX_CHARACTERS = 500_000
MAX_NESTING = 32
ANNOTATIONS = frozenset(
    [
        "title",
        "description",
        "default",
        "examples",
        "example",
        "deprecated",
        "readOnly",
        "writeOnly",
        "$schema",
        "$id",
        "$comment",
        "$defs",
        "definitions",
        "discriminator",
        "contentMediaType",
        "contentEncoding",
    ]
)
COMBINATORS = ("$ref", "allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas")
KEYWORDS = {
    "any": frozenset(["type", "enum", "const"]),
    "string": frozenset(["minLength", "maxLength", "pattern", "format"]),
    "number": frozenset(["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"]),
    "array": frozenset(
        [
            "items",
            "prefixItems",
            "minItems",
            "maxItems",
            "uniqueItems",
            "contains",
            "minContains",
            "maxContains",
            "unevaluatedItems",
        ]
    ),
    "object": frozenset(
        [
            "properties",
            "required",
            "additionalProperties",
            "patternProperties",
            "propertyNames",
            "minProperties",
            "maxProperties",
            "unevaluatedProperties",
        ]
    ),
}
KNOWN = ANNOTATIONS.union(COMBINATORS, *KEYWORDS.values())
ONE = [
    "additionalProperties",
    "propertyNames",
    "items",
    "contains",
    "not",
    "if",
    "then",
    "else",
    "unevaluatedProperties",
    "unevaluatedItems",
]
LIST = ["allOf", "anyOf", "oneOf", "prefixItems"]
NAMED = ["properties", "patternProperties", "dependentSchemas", "$defs", "definitions"]

Schema = Any
"""A schema: a dictionary of keywords, True or False."""


class UnsupportedSchema(ValueError):
    """A schema is not valid, asks for something no finite automaton can hold, or for nothing that is possible; says where.

    Example:
        >>> JSONSchema({"type": "array", "uniqueItems": True})
        Traceback (most recent call last):
        diffusionlm.guidance.structured.schema_reading.UnsupportedSchema: The JSON Schema at #/uniqueItems ...
    """


def refuse(path: str, reason: str) -> UnsupportedSchema:
    """The error for a place in a schema: ``path`` is a JSON pointer, ``reason`` completes the sentence."""
    return UnsupportedSchema(f"The JSON Schema at {path or '#'} {reason}")


def child(path: str, *keys: object) -> str:
    """The JSON pointer of a part."""
    return "".join([path, *("/" + str(key).replace("~", "~0").replace("/", "~1") for key in keys)])


def schema_of(given: Any) -> Schema:
    """The schema of what a user gives: a schema, its JSON text, a pydantic model or another type that pydantic knows.

    Raises:
        UnsupportedSchema: if it is none, or too large.
    """
    if isinstance(given, str | bytes):
        if len(given) > MAX_CHARACTERS:
            raise refuse("", _too_large(len(given)))
        try:
            given = json.loads(given)
        except ValueError as error:
            raise UnsupportedSchema(f"The JSON Schema was given as text that is no JSON: {error}.") from None
    if isinstance(given, Mapping):
        return dict(given)
    if isinstance(given, bool):
        return given
    if not (isinstance(given, type) or hasattr(given, "__origin__") or type(given).__name__ == "UnionType"):
        raise UnsupportedSchema(
            f"A JSON Schema is a dictionary, its JSON text, a pydantic model or a type such as a TypedDict; got "
            f"{type(given).__name__}."
        )
    try:
        from pydantic import PydanticUserError, TypeAdapter
    except ImportError as error:
        raise _missing("pydantic") from error
    try:
        return TypeAdapter(_portable(given)).json_schema()
    except (PydanticUserError, TypeError) as error:
        raise UnsupportedSchema(f"{given!r} has no JSON Schema: {str(error).splitlines()[0]}") from error


def check(schema: Schema) -> None:
    """Whether a schema is one that can be compiled, as far as its keywords tell.

    Raises:
        UnsupportedSchema: naming the place.
    """
    for path, part in walk(schema):
        if not isinstance(part, dict):
            continue
        for keyword in part:
            if keyword not in KNOWN and not str(keyword).startswith("x-"):
                raise refuse(
                    child(path, keyword), f"uses the keyword {keyword!r}, which is not supported.{_near(keyword)}"
                )
    try:
        size = len(json.dumps(schema))
    except (TypeError, ValueError, RecursionError) as error:
        raise UnsupportedSchema(f"The JSON Schema is no JSON: {error}.") from None
    if size > MAX_CHARACTERS:
        raise refuse("", _too_large(size))
    try:
        from jsonschema import Draft202012Validator, FormatChecker
        from jsonschema.exceptions import SchemaError
    except ImportError as error:
        raise _missing("jsonschema") from error
    try:
        Draft202012Validator.check_schema(schema, format_checker=FormatChecker(formats=()))
    except SchemaError as error:
        path = child("#", *error.absolute_path)
        hint = " Since this draft the items of a tuple are prefixItems." if path.endswith("/items") else ""
        raise refuse(path, f"is not valid (draft 2020-12): {error.message[:200]}.{hint}") from None
    _check_patterns(schema)


def _check_patterns(schema: Schema) -> None:
    """Refuses patterns that are not valid, wherever they stand."""
    from diffusionlm.guidance.structured.schema_validity import UnsupportedPattern, check_pattern

    for path, part in walk(schema):
        named = part.get("patternProperties", {}) if isinstance(part, dict) else {}
        given = [(child(path, "patternProperties", one), one) for one in named]
        given += [(child(path, "pattern"), part["pattern"])] if isinstance(part, dict) and "pattern" in part else []
        for where, pattern in given:
            try:
                check_pattern(pattern)
            except UnsupportedPattern as error:
                raise refuse(where, f"has a pattern that cannot be kept: {error}") from None


def walk(schema: Schema, path: str = "#") -> Iterator[tuple[str, Schema]]:
    """Every schema inside a schema with its path, itself first; without recursion.

    Raises:
        UnsupportedSchema: if it is nested too deeply or has too many parts.
    """
    stack: list[tuple[str, Any, int]] = [(path, schema, 0)]
    seen = 0
    while stack:
        here, part, level = stack.pop()
        seen += 1
        if level > MAX_NESTING:
            raise refuse("#", f"is nested more than {MAX_NESTING} levels deep.")
        if seen > MAX_CHARACTERS // 10:
            raise refuse(
                "#", f"has more than {MAX_CHARACTERS // 10:,} parts; give the part that the text is to follow."
            )
        yield here, part
        if not isinstance(part, dict):
            continue
        found = [(child(here, key), part[key]) for key in ONE if key in part]
        for key in LIST:
            if isinstance(part.get(key), list):
                found += [(child(here, key, n), item) for n, item in enumerate(part[key])]
        for key in NAMED:
            if isinstance(part.get(key), dict):
                found += [(child(here, key, name), item) for name, item in part[key].items()]
        stack += [(where, item, level + 1) for where, item in reversed(found)]


def named_text(schema: Schema) -> str:
    """All that a schema spells out of a text: keys, enumerated values, patterns."""
    found = []
    for _, part in walk(schema):
        if isinstance(part, dict):
            spelled = [part[key] for key in ("enum", "const", "required", "pattern") if key in part]
            spelled += [list(part[key]) for key in ("properties", "patternProperties") if key in part]
            found.append(json.dumps(spelled, ensure_ascii=False))
    return "".join(found)


class References:
    """The references of a schema.

    Args:
        root: the whole schema, checked.
    """

    def __init__(self, root: Schema) -> None:
        self.root = root
        self._targets: dict[str, Schema] = {}
        self._recursive: dict[str, bool] = {}

    def target(self, reference: str, path: str) -> Schema:
        """What a reference such as ``#/$defs/item`` points at; the same object each time.

        Raises:
            UnsupportedSchema: if it points outside of the schema or at nothing.
        """
        if reference not in self._targets:
            if reference != "#" and not reference.startswith("#/"):
                raise refuse(
                    path, f"refers to {reference!r}; only references inside the schema (#/$defs/...) are followed."
                )
            found = self.root
            for key in reference.split("/")[1:]:
                key = unquote(key).replace("~1", "/").replace("~0", "~")
                if isinstance(found, list) and key.isdigit() and int(key) < len(found):
                    found = found[int(key)]
                elif isinstance(found, dict) and key in found:
                    found = found[key]
                else:
                    raise refuse(path, f"refers to {reference!r}, which is not in the schema.")
            self._targets[reference] = found
        return self._targets[reference]

    def is_recursive(self, reference: str, path: str) -> bool:
        """Whether what a reference points at contains the reference again."""
        if reference not in self._recursive:
            seen: set[str] = set()
            waiting = [reference]
            while waiting:
                for inner in self._direct(self.target(waiting.pop(), path), path):
                    if inner not in seen:
                        seen.add(inner)
                        waiting.append(inner)
            self._recursive[reference] = reference in seen
        return self._recursive[reference]

    def _direct(self, schema: Schema, path: str) -> set[str]:
        defined = ("$defs", "definitions")
        bare = {k: v for k, v in schema.items() if k not in defined} if isinstance(schema, dict) else schema
        return {part["$ref"] for _, part in walk(bare, path) if isinstance(part, dict) and "$ref" in part}


def _near(keyword: object) -> str:
    from diffusionlm.errors import suggestion

    near = suggestion(str(keyword), KNOWN)
    return f" {near[0].upper()}{near[1:]}" if near.startswith("did") else ""


def _too_large(size: int) -> str:
    return (
        f"has {size:,} characters, at most {MAX_CHARACTERS:,} are compiled; give the part that the text is to follow, "
        "with the definitions it refers to."
    )


def _missing(package: str) -> ImportError:
    return ImportError(
        f"JSONSchema needs {package}, which is not installed; install the extra: pip install 'diffusionlm-toolkit[structured]'"
    )


@lru_cache(maxsize=1)
def validator_class() -> Any:
    """jsonschema's validator of draft 2020-12.

    Raises:
        ImportError: if jsonschema is not installed, with the command that installs it.
    """
    try:
        from jsonschema import Draft202012Validator
    except ImportError as error:
        raise _missing("jsonschema") from error
    return Draft202012Validator


def _portable(kind: Any) -> Any:
    """A type with each TypedDict of ``typing`` as one of ``typing_extensions``, which is all that pydantic takes before Python
    3.12."""
    if typing.is_typeddict(kind):
        import typing_extensions as new

        hints = typing.get_type_hints(kind)
        fields = {
            name: (new.Required if name in kind.__required_keys__ else new.NotRequired)[_portable(hint)]
            for name, hint in hints.items()
        }
        make: Any = new.TypedDict
        return make(kind.__name__, fields)
    arguments = typing.get_args(kind)
    origin = typing.get_origin(kind)
    if not arguments or not any(typing.is_typeddict(item) for item in arguments):
        return kind
    parts = tuple(_portable(item) for item in arguments)
    if origin in (typing.Union, types.UnionType):
        return typing.Union[parts]  # noqa: UP007
    return origin[parts if len(parts) > 1 else parts[0]] if origin is not None else kind
