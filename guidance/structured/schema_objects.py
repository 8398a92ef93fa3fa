"""Objects of a goal: properties in the order of the schema, required or not, and properties that no schema names."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

from diffusionlm.guidance.automata import Language, UnsupportedPattern
from diffusionlm.guidance.structured import json_strings
from diffusionlm.guidance.structured.net import Net
from diffusionlm.guidance.structured.schema_language import AS_GIVEN, EVALUATED, Goal, Part, SchemaCompiler
from diffusionlm.guidance.structured.schema_reading import child, refuse

MAX_PATTERNS = 4


def object_language(compiler: SchemaCompiler, goal: Goal, level: int) -> Language:
    """JSON objects of a goal."""
    path = goal[-1].path if goal else "#"
    least = max((int(schema.get("minProperties", 0)) for schema, _ in goal), default=0)
    most = min((int(schema["maxProperties"]) for schema, _ in goal if "maxProperties" in schema), default=None)
    required = list(dict.fromkeys(name for schema, _ in goal for name in schema.get("required", [])))
    names = list(dict.fromkeys([name for schema, _ in goal for name in schema.get("properties", {})] + required))
    unnamed = not names and not any("additionalProperties" in schema for schema, _ in goal)
    inner = compiler.form.depth if unnamed else level
    properties: list[tuple[str, Language, bool]] = []
    for name in names:
        noted = len(compiler.conflicts)
        language = compiler.value(_of_name(compiler, goal, name), inner)
        if not language.is_empty():
            properties.append((name, language, name in required))
        elif name in required:
            return compiler.conflict(
                child(path, "required"), f"requires the property {name!r}, which has no allowed value"
            )
        else:
            del compiler.conflicts[noted:]  # a property that cannot be is left out
    extras = [] if most == len(required) else list(_additional(compiler, goal, names, inner, unnamed))
    net = _net(compiler, properties, extras, least, most)
    found = net.determinised(path)
    if found.is_empty():
        return compiler.conflict(
            path, f"asks for at least {least} and at most {most} properties, which the named ones cannot give"
        )
    return found


def _of_name(compiler: SchemaCompiler, goal: Goal, name: str) -> list[Part]:
    """What has to hold of the property ``name``."""
    found = []
    for schema, path in goal:
        own = schema.get("properties", {})
        patterns = [p for p in schema.get("patternProperties", {}) if _matching(p, path).accepts(name)]
        if name in own:
            found.append(Part(own[name], child(path, "properties", name)))
        found += [Part(schema["patternProperties"][p], child(path, "patternProperties", p)) for p in patterns]
        if name not in own and not patterns and "additionalProperties" in schema:
            found.append(Part(schema["additionalProperties"], child(path, "additionalProperties")))
        if EVALUATED in schema and name not in schema[EVALUATED]:
            found.append(Part(False, child(path, "unevaluatedProperties")))
        if "propertyNames" in schema and not _names(compiler, schema["propertyNames"], path).accepts(_quoted(name)):
            found.append(Part(False, child(path, "propertyNames")))
    return found


def _additional(
    compiler: SchemaCompiler, goal: Goal, names: list[str], level: int, unnamed: bool
) -> Iterator[tuple[Language, Language]]:
    """Keys that no schema names and what they may hold, as pairs of languages."""
    if any(EVALUATED in schema for schema, _ in goal):
        return
    patterns = list(dict.fromkeys(p for schema, _ in goal for p in schema.get("patternProperties", {})))
    if len(patterns) > MAX_PATTERNS:
        path = next(path for schema, path in goal if "patternProperties" in schema)
        raise refuse(
            child(path, "patternProperties"),
            f"has {len(patterns)} patterns, at most {MAX_PATTERNS} are supported together.",
        )
    for chosen in itertools.product((True, False), repeat=len(patterns)):
        held = {pattern for pattern, holds in zip(patterns, chosen, strict=True) if holds}
        parts, said = [], unnamed and not patterns
        for schema, path in goal:
            own = [pattern for pattern in schema.get("patternProperties", {}) if pattern in held]
            said |= bool(own) or schema.get("additionalProperties", False) is not False
            parts += [Part(schema["patternProperties"][p], child(path, "patternProperties", p)) for p in own]
            if not own and "additionalProperties" in schema:
                parts.append(Part(schema["additionalProperties"], child(path, "additionalProperties")))
        if not said or any(part.schema is False for part in parts):
            continue
        rules = [
            (_matching if pattern in held else _not_matching)(pattern, path)
            for pattern in patterns
            for path in [next(path for schema, path in goal if pattern in schema.get("patternProperties", {}))]
        ]
        any_key = json_strings.content(1, None, rules, names)
        for candidate in (json_strings.tidy(any_key), any_key):
            key = json_strings.written(candidate, "a key")
            for schema, path in goal:
                if "propertyNames" in schema:
                    key = key & _names(compiler, schema["propertyNames"], path)
            if not key.is_empty():
                break
        noted = len(compiler.conflicts)
        value = compiler.value(parts, level)
        if not key.is_empty() and not value.is_empty():
            yield key, value
        else:
            del compiler.conflicts[noted:]


def _net(
    compiler: SchemaCompiler,
    properties: list[tuple[str, Language, bool]],
    extras: list[tuple[Language, Language]],
    least: int,
    most: int | None,
) -> Net:
    """The graph of objects. A state is (the next property, how many were written, whether one was); the count stays 0 where
    nobody asks for it. Keys that no schema names may be repeated, so that all of them count as one towards ``least``."""
    net, form = Net(), compiler.form
    counted = least > sum(needed for _, _, needed in properties) or (
        most is not None and (bool(extras) or most < len(properties))
    )
    top = max(least, most or 0) if counted else 0
    states: dict[tuple[int, int, int, bool], int] = {}

    def state(place: int, sure: int, count: int, begun: bool) -> int:
        return states.setdefault((place, min(sure, top), min(count, top + 1) if counted else 0, begun), net.state())

    queue: list[tuple[int, int, int, bool]] = [(0, 0, 0, False)]
    seen = set(queue)
    net.text(net.start, "{", state(*queue[0]))

    def go(there: tuple[int, int, int, bool]) -> int:
        there = (there[0], min(there[1], top), min(there[2], top + 1) if counted else 0, there[3])
        if there not in seen:
            seen.add(there)
            queue.append(there)
        return state(*there)

    last = len(properties)
    for place, sure, count, begun in queue:
        here = state(place, sure, count, begun)
        full = counted and most is not None and count >= most
        if place >= last and not (counted and (sure < least or (most is not None and count > most))):
            net.text(here, "}", net.end)
        if place < last:
            name, language, needed = properties[place]
            if not needed:
                net.skip(here, go((place + 1, sure, count, begun)))
            if not full:
                behind = form.comma(net, here) if begun else here
                behind = form.colon(net, net.text(behind, _quoted(name)))
                net.language(behind, language, go((place + 1, sure + 1, count + 1, True)))
        elif extras and not full:
            behind = form.comma(net, here) if begun else here
            following = go((last + 1, sure + (place == last), count + 1, True))
            for key, language in extras:
                net.language(form.colon(net, net.language(behind, key)), language, following)
    return net


def _quoted(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)


def _names(compiler: SchemaCompiler, schema: object, path: str) -> Language:
    return compiler.value([Part(schema, child(path, "propertyNames")), Part(_STRING, path)], 0)


_STRING = {"type": "string", AS_GIVEN: True}  # names that the schema lists may begin with a blank


def _matching(pattern: str, path: str) -> Language:
    try:
        return json_strings.matching(pattern)
    except UnsupportedPattern as error:
        raise refuse(
            child(path, "patternProperties", pattern), f"has a pattern that cannot be kept: {error}"
        ) from error


def _not_matching(pattern: str, path: str) -> Language:
    _matching(pattern, path)
    return json_strings.not_matching(pattern)
