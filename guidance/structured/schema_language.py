"""From a JSON Schema to the language of the JSON texts that are valid under it.

What has to hold of a value is a *goal*: schemas with their paths, all of which hold. Combinators take a goal apart
(`allOf` adds to it, `anyOf` gives several, `oneOf` several without their overlaps, `not` its opposite), until only plain
keywords are left, which are put together type by type. Every text of the language is valid; the language may be narrower than
the schema where a text could be written in many ways: see `Form`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from diffusionlm.guidance.automata import AutomatonTooLarge, Language
from diffusionlm.guidance.structured import json_strings
from diffusionlm.guidance.structured.net import Net, nothing, one_of_languages
from diffusionlm.guidance.structured.schema_negation import EXCLUDED, NOT_PATTERN, opposite
from diffusionlm.guidance.structured.schema_reading import (
    References,
    Schema,
    child,
    refuse,
)
from diffusionlm.guidance.structured.schema_validity import Validity, exact

KINDS = frozenset(["null", "boolean", "string", "number", "array", "object"])
EVALUATED = "\0evaluated"
AS_GIVEN = "\0as given"  # beside a type: strings may begin or end with any blanks


@dataclass(frozen=True)
class Form:
    """How values are written, where JSON leaves a choice. Properties come in the order of the schema.

    Attributes:
        depth: how often a recursive definition may be opened inside itself. (A value without any schema is a scalar, or an
            array or object of scalars.)
        whitespace: most spaces behind a comma and a colon; there is none elsewhere.
        decimals: most digits behind the point of a number.

    Strings end in no blank and begin with one space at most, unless the schema has no others; see `json_strings.tidy`.
    """

    depth: int = 3
    whitespace: int = 1
    decimals: int = 6

    def comma(self, net: Net, here: int) -> int:
        """A comma after ``here``, with its spaces; the state behind it."""
        return net.one_of(here, ["," + " " * n for n in range(self.whitespace + 1)])

    def colon(self, net: Net, here: int) -> int:
        """A colon after ``here``, with its spaces; the state behind it."""
        return net.one_of(here, [":" + " " * n for n in range(self.whitespace + 1)])

    def write(self, net: Net, here: int, value: Any) -> int:
        """A given value after ``here``; the state behind it."""
        if isinstance(value, dict) and value:
            for number, (key, inner) in enumerate(value.items()):
                here = self.comma(net, here) if number else net.text(here, "{")
                here = self.write(net, self.colon(net, net.text(here, _plain(key))), inner)
            return net.text(here, "}")
        if isinstance(value, list) and value:
            for number, inner in enumerate(value):
                here = self.write(net, self.comma(net, here) if number else net.text(here, "["), inner)
            return net.text(here, "]")
        return net.text(here, _plain(value))


class Part(NamedTuple):
    """A schema and where it stands."""

    schema: Schema
    path: str


Goal = Sequence[Part]


class SchemaCompiler:
    """The languages of one schema's parts, each made once.

    Args:
        root: a schema that `schema_reading.check` has passed.
        form: how values are written.
    """

    def __init__(self, root: Schema, form: Form) -> None:
        self.root, self.form = root, form
        self.references = References(root)
        self._validity = Validity(root)
        self._made: dict[Any, Language] = {}
        self._derived: dict[Any, Any] = {}  # schemas made from others; kept, so that their ids stay theirs
        self.conflicts: list[tuple[str, str]] = []

    def compile(self) -> Language:
        """The language of the whole schema.

        Raises:
            UnsupportedSchema: if a part cannot be expressed, or nothing is valid; names the place.
            AutomatonTooLarge: if the schema needs too many states; names the place.
        """
        found = self.value([Part(self.root, "#")], 0)
        if found.is_empty():
            path, reason = self.conflicts[0] if self.conflicts else ("#", "allows no text")
            raise refuse(path, f"cannot be met: it {reason}.")
        return found

    def conflict(self, path: str, reason: str) -> Language:
        """The empty language, with a note of what made it so."""
        self.conflicts.append((path, reason))
        return nothing(path)

    def derived(self, schema: Schema, kind: object, make: Callable[[], Any]) -> Any:
        """Something made from a schema, the same object each time."""
        key = (id(schema), kind)
        if key not in self._derived:
            self._derived[key] = make()
        return self._derived[key]

    # ---- taking goals apart -----------------------------------------------------------------------------------------

    def value(self, goal: Goal, level: int) -> Language:
        """Texts of the values that meet a goal.

        Args:
            goal: what has to hold.
            level: how often a recursive definition was opened around the value.
        """
        goal = [part for part in goal if part.schema is not True and part.schema != {}]
        for part in goal:
            if part.schema is False:
                return self.conflict(part.path, "allows nothing (it is false)")
        key = (tuple(id(part.schema) for part in goal), level)
        if key not in self._made:
            try:
                self._made[key] = self._value(goal, level)
            except AutomatonTooLarge as error:
                if str(error).startswith("The JSON Schema"):
                    raise
                where = goal[-1].path if goal else "#"
                raise AutomatonTooLarge(f"The JSON Schema at {where} is too large. {error}") from error
        return self._made[key]

    def _value(self, goal: list[Part], level: int) -> Language:
        for n, (schema, path) in enumerate(goal):
            if "unevaluatedProperties" in schema:
                return self.value([*goal[:n], Part(self._evaluated(schema, path), path), *goal[n + 1 :]], level)
            for keyword, split in _SPLITS.items():
                if keyword in schema:
                    left = self.derived(schema, ("without", keyword), partial(_without, schema, keyword))
                    return split(self, schema, path, [*goal[:n], Part(left, path), *goal[n + 1 :]], level)
        from diffusionlm.guidance.structured.schema_values import plain_value

        return plain_value(self, goal, level)

    def _reference(self, schema: Schema, path: str, goal: Goal, level: int) -> Language:
        reference, here = schema["$ref"], child(path, "$ref")
        target = self.references.target(reference, here)
        if self.references.is_recursive(reference, here):
            if level >= self.form.depth:
                return self.conflict(here, f"opens {reference!r} more than depth={self.form.depth} times inside itself")
            level += 1
        return self.value([*goal, Part(target, reference)], level)

    def _all(self, schema: Schema, path: str, goal: Goal, level: int) -> Language:
        return self.value([*goal, *_parts(schema["allOf"], child(path, "allOf"))], level)

    def _any(self, schema: Schema, path: str, goal: Goal, level: int) -> Language:
        return self._either([[*goal, part] for part in _parts(schema["anyOf"], child(path, "anyOf"))], path, level)

    def _one(self, schema: Schema, path: str, goal: Goal, level: int) -> Language:
        parts = _parts(schema["oneOf"], child(path, "oneOf"))
        found = self._either([[*goal, part] for part in parts], path, level)
        overlaps, noted = [], len(self.conflicts)
        for n, first in enumerate(parts):
            for second in parts[n + 1 :]:
                overlap = self.value([*goal, first, second], level)
                if not overlap.is_empty():
                    overlaps.append(overlap)
        del self.conflicts[noted:]  # that nothing is in two of them is no conflict
        if overlaps:
            found = found - one_of_languages(overlaps, "overlaps")
        if found.is_empty():
            return self.conflict(child(path, "oneOf"), "allows no value that only one alternative allows")
        return found

    def _not(self, schema: Schema, path: str, goal: Goal, level: int) -> Language:
        here = child(path, "not")
        others = self._opposite(schema["not"], here)
        return self._either([[*goal, Part(other, here)] for other in others], here, level)

    def _if(self, schema: Schema, path: str, goal: Goal, level: int) -> Language:
        here = child(path, "if")
        then = [*goal, Part(schema["if"], here), Part(schema.get("then", True), child(path, "then"))]
        others = [
            [*goal, Part(other, here), Part(schema.get("else", True), child(path, "else"))]
            for other in self._opposite(schema["if"], here)
        ]
        return self._either([then, *others], path, level)

    def _dependent(self, schema: Schema, path: str, goal: Goal, level: int) -> Language:
        def make() -> list[Any]:
            needs = [(name, {"required": [name, *more]}) for name, more in schema.get("dependentRequired", {}).items()]
            needs += [
                (name, {"required": [name], "allOf": [more]})
                for name, more in schema.get("dependentSchemas", {}).items()
            ]
            others = [{"type": sorted(KINDS - {"object"})}] if needs else []
            return [
                [{"type": "object", "properties": {name: False}}, {"type": "object", **more}, *others]
                for name, more in needs
            ]

        here = child(path, "dependentSchemas" if "dependentSchemas" in schema else "dependentRequired")
        goals: list[list[Part]] = [list(goal)]
        for choices in self.derived(schema, "dependent", make):
            goals = [[*one, Part(choice, here)] for one in goals for choice in choices]
        if len(goals) > 512:
            raise refuse(here, "has too many dependencies; at most 5 are supported.")
        return self._either(goals, here, level)

    def _either(self, goals: Sequence[Goal], path: str, level: int) -> Language:
        languages = [one for goal in goals if not (one := self.value(goal, level)).is_empty()]
        return one_of_languages(languages, path) if languages else nothing(path)

    def _opposite(self, schema: Schema, path: str) -> list[Schema]:
        return self.derived(schema, "opposite", lambda: opposite(schema, path, self.references))

    def _evaluated(self, schema: Schema, path: str) -> Schema:
        """A schema whose unevaluatedProperties is replaced by the names of the properties that it evaluates."""
        value = schema["unevaluatedProperties"]
        if value is True:
            return self.derived(schema, "evaluated", lambda: _without(schema, "unevaluatedProperties"))
        if value is not False:
            raise refuse(child(path, "unevaluatedProperties"), "is a schema; only true and false are supported.")

        def make() -> Schema:
            names: set[str] = set()
            waiting, seen = [schema], set()
            while waiting:
                one = waiting.pop()
                if not isinstance(one, dict) or id(one) in seen:
                    continue
                seen.add(id(one))
                if one.get("additionalProperties", False) is not False or one.get("patternProperties"):
                    raise refuse(
                        child(path, "unevaluatedProperties"),
                        "stands beside additionalProperties or patternProperties, which is not supported.",
                    )
                names |= set(one.get("properties", {}))
                waiting += [inner for key in ("allOf", "anyOf", "oneOf") for inner in one.get(key, [])]
                waiting += [one[key] for key in ("if", "then", "else") if key in one]
                waiting += list(one.get("dependentSchemas", {}).values())
                if "$ref" in one:
                    waiting.append(self.references.target(one["$ref"], path))
            return {**_without(schema, "unevaluatedProperties"), EVALUATED: names}

        return self.derived(schema, "evaluated", make)

    # ---- asking jsonschema about values -----------------------------------------------------------------------------

    def is_valid(self, value: Any, goal: Goal) -> bool:
        """Whether a value meets a goal of plain keywords."""
        for schema, _ in goal:
            plain = {key: inner for key, inner in schema.items() if not key.startswith("\0")}
            if not self._validity.holds(exact(value), plain):
                return False
            if any(same(value, other) for other in schema.get(EXCLUDED, ())):
                return False
            if isinstance(value, str) and not all(
                json_strings.not_matching(pattern).accepts(value) for pattern in schema.get(NOT_PATTERN, ())
            ):
                return False
        return True


_SPLITS: dict[str, Callable[[SchemaCompiler, Schema, str, Goal, int], Language]] = {
    "$ref": SchemaCompiler._reference,
    "allOf": SchemaCompiler._all,
    "if": SchemaCompiler._if,
    "then": lambda compiler, schema, path, goal, level: compiler.value(goal, level),  # without an if it means nothing
    "else": lambda compiler, schema, path, goal, level: compiler.value(goal, level),
    "not": SchemaCompiler._not,
    "dependentRequired": SchemaCompiler._dependent,
    "dependentSchemas": SchemaCompiler._dependent,
    "oneOf": SchemaCompiler._one,
    "anyOf": SchemaCompiler._any,
}
_TOGETHER = {"if": ("if", "then", "else"), "dependentRequired": ("dependentRequired", "dependentSchemas")}
_TOGETHER["dependentSchemas"] = _TOGETHER["dependentRequired"]


def _without(schema: Schema, keyword: str) -> Schema:
    gone = _TOGETHER.get(keyword, (keyword,))
    return {key: value for key, value in schema.items() if key not in gone}


def _parts(schemas: Sequence[Schema], path: str) -> list[Part]:
    return [Part(schema, child(path, n)) for n, schema in enumerate(schemas)]


def same(a: Any, b: Any) -> bool:
    """Whether two values are the same to JSON Schema: 1 and 1.0 are, 1 and true are not."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return bool(a == b)


def _plain(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
