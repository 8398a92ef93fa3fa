"""Plain keywords, type by type: enumerations and scalars here, the containers in files of their own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from diffusionlm.guidance import automata
from diffusionlm.guidance.automata import Language, UnsupportedPattern
from diffusionlm.guidance.structured import json_numbers, json_strings
from diffusionlm.guidance.structured.json_formats import FORMATS
from diffusionlm.guidance.structured.net import Net, one_of_languages, one_of_texts
from diffusionlm.guidance.structured.schema_arrays import array_language
from diffusionlm.guidance.structured.schema_language import AS_GIVEN, KINDS, Goal, SchemaCompiler, same
from diffusionlm.guidance.structured.schema_negation import EXCLUDED, NOT_PATTERN
from diffusionlm.guidance.structured.schema_objects import object_language
from diffusionlm.guidance.structured.schema_reading import child, refuse

MAX_STRING = 4_000
"""Characters of a string that are counted; a larger maxLength is kept as this one."""


def plain_value(compiler: SchemaCompiler, goal: Goal, level: int) -> Language:
    """Texts of the values that meet a goal of plain keywords."""
    for schema, path in goal:
        if "const" in schema or "enum" in schema:
            keyword = "const" if "const" in schema else "enum"
            values = [schema["const"]] if keyword == "const" else schema["enum"]
            return _given(compiler, values, goal, child(path, keyword))
    kinds = _kinds(goal)
    path = goal[-1].path if goal else "#"
    if not kinds:
        return compiler.conflict(path, "asks for types that exclude each other")
    if not goal and level >= compiler.form.depth:
        kinds -= {"array", "object"}
    excluded = [value for schema, _ in goal for value in schema.get(EXCLUDED, ())]
    found = []
    for kind in sorted(kinds):
        if kind in ("array", "object"):
            if any(isinstance(value, list if kind == "array" else dict) for value in excluded):
                raise refuse(path, f"excludes a whole {kind}, which is not supported; exclude its parts.")
            found.append((array_language if kind == "array" else object_language)(compiler, goal, level))
        elif kind == "string":
            found.append(string_language(compiler, goal, excluded))
        elif kind in ("integer", "number"):
            found.append(number_language(compiler, goal, kind, excluded))
        else:
            texts: dict[str, Any] = {"null": None} if kind == "null" else {"true": True, "false": False}
            left = [text for text, value in texts.items() if not any(same(value, other) for other in excluded)]
            found.append(one_of_texts(left, path))
    return one_of_languages(found, path)


def _given(compiler: SchemaCompiler, values: Sequence[Any], goal: Goal, path: str) -> Language:
    """The values of an enumeration that the rest of the goal allows; jsonschema is asked about each."""
    left = [value for value in values if compiler.is_valid(value, goal)]
    if not left:
        return compiler.conflict(path, f"has no value (of {len(values)}) that the other keywords allow")
    net = Net()
    for value in left:
        try:
            end = compiler.form.write(net, net.start, value)
        except ValueError:
            raise refuse(path, f"has the value {value!r}, which JSON cannot write.") from None
        net.skip(end, net.end)
    return net.determinised(path)


def _kinds(goal: Goal) -> frozenset[str]:
    kinds = KINDS
    for schema, _ in goal:
        if "type" in schema:
            given = schema["type"]
            names = {given} if isinstance(given, str) else set(given)
            whole = {"integer"} if kinds & {"integer", "number"} and names & {"integer", "number"} else set()
            kinds = frozenset((kinds & names) | whole)
            if "number" in kinds:
                kinds -= {"integer"}
    return kinds


def string_language(compiler: SchemaCompiler, goal: Goal, excluded: Sequence[Any]) -> Language:
    """JSON strings of a goal: lengths, patterns, formats, and texts that are excluded; without idle blanks, where there are
    such."""
    path = goal[-1].path if goal else "#"
    least = max((int(schema.get("minLength", 0)) for schema, _ in goal), default=0)
    lengths = [int(schema["maxLength"]) for schema, _ in goal if "maxLength" in schema]
    most = min(lengths, default=None)
    if least > MAX_STRING:
        raise refuse(path, f"asks for a string of at least {least:,} characters; up to {MAX_STRING:,} are supported.")
    if most is not None and most > MAX_STRING:
        most = MAX_STRING  # no canvas holds more, and every character counted is a state
    rules: list[Language] = []
    for schema, here in goal:
        for keyword, read in (("pattern", json_strings.matching), (NOT_PATTERN, json_strings.not_matching)):
            given = schema.get(keyword, [])
            for pattern in [given] if isinstance(given, str) else given:
                try:
                    rules.append(read(pattern))
                except UnsupportedPattern as error:
                    raise refuse(child(here, "pattern"), f"has a pattern that cannot be kept: {error}") from error
        if "format" in schema:
            if schema["format"] not in FORMATS:
                raise refuse(
                    child(here, "format"),
                    f"asks for the format {schema['format']!r}; the formats are: {', '.join(sorted(FORMATS))}. Say it with "
                    "'pattern'.",
                )
            rules.append(automata.regex(FORMATS[schema["format"]], flags=re.ASCII))
    without = [value for value in excluded if isinstance(value, str)]
    as_given = any(AS_GIVEN in schema for schema, _ in goal)
    if not rules and not without and least == 0 and most is None:
        return json_strings.any_string() if as_given else json_strings.any_tidy_string()
    if most is not None and most < least:
        return compiler.conflict(path, f"asks for a string of at least {least} and at most {most} characters")
    said = json_strings.content(least, most, rules, without)
    if said.is_empty():
        return compiler.conflict(path, "asks for a string whose length, pattern and format exclude each other")
    return json_strings.written(said if as_given else json_strings.tidy(said), path)


def number_language(compiler: SchemaCompiler, goal: Goal, kind: str, excluded: Sequence[Any]) -> Language:
    """JSON numbers of a goal: bounds, multiples, and values that are excluded."""
    path = goal[-1].path if goal else "#"

    def given(keyword: str) -> list[Decimal]:
        return [_decimal(schema[keyword], child(here, keyword)) for schema, here in goal if keyword in schema]

    decimals = compiler.form.decimals if kind == "number" else 0
    bounds = {
        "low": max(given("minimum"), default=None),
        "high": min(given("maximum"), default=None),
        "above": max(given("exclusiveMinimum"), default=None),
        "below": min(given("exclusiveMaximum"), default=None),
    }
    try:
        found = json_numbers.number(**bounds, multiples=given("multipleOf"), decimals=decimals, name=path)
    except ValueError as error:
        if isinstance(error, automata.AutomatonTooLarge):
            raise
        raise refuse(path, f"cannot be kept: {error}.") from error
    for value in excluded:
        if isinstance(value, int | float) and not isinstance(value, bool):
            other = _decimal(value, path)
            found = found - json_numbers.number(other, other, decimals=decimals)
    if found.is_empty():
        return compiler.conflict(
            path, f"asks for {'an integer' if kind == 'integer' else 'a number'} between bounds that hold none"
        )
    return found


def _decimal(value: Any, path: str) -> Decimal:
    found = Decimal(repr(value))
    if not found.is_finite() or len(f"{abs(found):f}") > 40:
        raise refuse(path, f"has the number {value!r}; at most 40 digits are supported, written out.")
    return found
