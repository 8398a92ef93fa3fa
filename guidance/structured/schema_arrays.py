"""Arrays of a goal: items and prefixItems, their number, contains, and uniqueItems where the values are finitely many."""

from __future__ import annotations

import json
from typing import Any

from diffusionlm.guidance.automata import Language, intersection
from diffusionlm.guidance.structured.net import Net
from diffusionlm.guidance.structured.schema_language import Goal, Part, SchemaCompiler, same
from diffusionlm.guidance.structured.schema_reading import child, refuse

MAX_UNIQUE = 10
MAX_ITEMS = 1_000


def array_language(compiler: SchemaCompiler, goal: Goal, level: int) -> Language:
    """JSON arrays of a goal."""
    path = goal[-1].path if goal else "#"
    inner = level if any(_says_items(schema) for schema, _ in goal) else compiler.form.depth
    prefix = max((len(schema.get("prefixItems", [])) for schema, _ in goal), default=0)
    least = max((int(schema.get("minItems", 0)) for schema, _ in goal), default=0)
    most = min((int(schema["maxItems"]) for schema, _ in goal if "maxItems" in schema), default=None)
    contained: list[tuple[Part, int]] = []
    for schema, here in goal:
        for keyword in ("unevaluatedItems", "maxContains"):
            if keyword in schema and schema.get(keyword) is not True:
                raise refuse(child(here, keyword), f"uses {keyword!r}, which is not supported.")
        if "contains" in schema and (count := int(schema.get("minContains", 1))) > 0:
            contained.append((Part(schema["contains"], child(here, "contains")), count))
    if most is not None and most < least:
        return compiler.conflict(path, f"asks for at least {least} and at most {most} items")
    if max(least, most or 0) > MAX_ITEMS:
        raise refuse(path, f"asks for up to {max(least, most or 0):,} items, at most {MAX_ITEMS:,} are supported.")

    def wanted(place: int) -> list[Part]:
        found = []
        for schema, here in goal:
            given = schema.get("prefixItems", [])
            if place < len(given):
                found.append(Part(given[place], child(here, "prefixItems", place)))
            elif "items" in schema:
                found.append(Part(schema["items"], child(here, "items")))
        return found

    places = max(prefix, least) if most is None else most
    noted = len(compiler.conflicts)
    items = [compiler.value(wanted(min(place, prefix)), inner) for place in range(min(places, prefix) + 1)]
    if not any(item.is_empty() for item in items[:least]):
        del compiler.conflicts[noted:]  # an item that cannot be is left out
    unique = [here for schema, here in goal if schema.get("uniqueItems")]
    rules = []
    if unique and (most is None or most > 1):
        rules.append(_distinct(compiler, items, least, most, child(unique[0], "uniqueItems")))
    for part, count in contained:
        marked = [compiler.value([*wanted(min(place, prefix)), part], inner) for place in range(len(items))]
        rules.append(_sequence(compiler, items, marked, count, least, most, path))
    if not rules:
        rules.append(_sequence(compiler, items, items, 0, least, most, path))
    found = rules[0] if len(rules) == 1 else intersection(rules, path)
    if found.is_empty():
        return compiler.conflict(path, "asks for items that cannot be")
    return found


def _says_items(schema: Any) -> bool:
    return "items" in schema or "prefixItems" in schema


def _sequence(
    compiler: SchemaCompiler,
    items: list[Language],
    marked: list[Language],
    count: int,
    least: int,
    most: int | None,
    path: str,
) -> Language:
    """Arrays of ``least`` to ``most`` items, ``count`` of which are marked. The last of the items repeats."""
    net = Net()
    last = max(len(items) - 1, least, 1) if most is None else most
    states = {(place, seen): net.state() for place in range(last + 1) for seen in range(count + 1)}
    net.text(net.start, "[", states[0, 0])
    for (place, seen), here in states.items():
        if place >= least and seen == count:
            net.text(here, "]", net.end)
        if place == most:
            continue
        behind = compiler.form.comma(net, here) if place else here
        n, following = min(place, len(items) - 1), min(place + 1, last)
        if not items[n].is_empty():
            net.language(behind, items[n], states[following, seen])
        if seen < count and not marked[n].is_empty():
            net.language(behind, marked[n], states[following, seen + 1])
    return net.determinised(path)


def _distinct(compiler: SchemaCompiler, items: list[Language], least: int, most: int | None, path: str) -> Language:
    """Arrays whose items all differ; the state is the set of values that were used."""
    values: list[Any] = []
    writings: list[tuple[int, str, set[int]]] = []
    for place, item in enumerate(items):
        for text in _few_texts(item, path):
            value = json.loads(text)
            number = next((n for n, other in enumerate(values) if same(value, other)), len(values))
            if number == len(values):
                values.append(value)
            known = next((places for n, other, places in writings if other == text), None)
            if known is None:
                writings.append((number, text, {place}))
            else:
                known.add(place)
    if len(values) > MAX_UNIQUE:
        raise refuse(path, _not_finite(len(values)))
    net = Net()
    states = {0: net.state()}
    net.text(net.start, "[", states[0])
    for used in (queue := [0]):
        place, here = used.bit_count(), states[used]
        if place >= least:
            net.text(here, "]", net.end)
        if place == most:
            continue
        behind = compiler.form.comma(net, here) if place else here
        for number, text, places in writings:
            if not used >> number & 1 and min(place, len(items) - 1) in places:
                following = used | 1 << number
                if following not in states:
                    states[following] = net.state()
                    queue.append(following)
                net.text(behind, text, states[following])
    return net.determinised(path)


def _few_texts(language: Language, path: str) -> list[str]:
    """All texts of a language of few texts."""
    if language.is_empty():
        return []
    useful = _useful(language)
    letters: list[list[str]] = [[] for _ in range(language.delta.shape[1])]
    for begin, end, symbol in zip(language.cuts, [*language.cuts[1:], 0x110000], language.classes, strict=True):
        letters[symbol] += map(chr, range(begin, min(end, begin + 4 * MAX_UNIQUE)))
    found, stack = [], [(0, "")]
    while stack:
        state, text = stack.pop()
        if language.accepting[state]:
            found.append(text)
        if len(text) > 1000 or len(found) > 4 * MAX_UNIQUE:
            raise refuse(path, _not_finite(None))
        for symbol, target in enumerate(language.delta[state].tolist()):
            if useful[target]:
                stack += [(target, text + letter) for letter in letters[symbol]]
        if len(stack) > 4 * MAX_UNIQUE:
            raise refuse(path, _not_finite(None))
    return sorted(found)


def _useful(language: Language) -> list[bool]:
    """States from which a text can be finished."""
    useful = language.accepting.copy()
    while True:
        more = useful | useful[language.delta].any(axis=1)
        if (more == useful).all():
            return useful.tolist()
        useful = more


def _not_finite(count: int | None) -> str:
    many = "not finitely many" if count is None else str(count)
    return (
        f"asks for items that differ, and there are {many} values they can have; up to {MAX_UNIQUE} values (an enum, say) can "
        "be told apart. Take uniqueItems out, or name the values."
    )
