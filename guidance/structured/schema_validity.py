"""Validity of values: jsonschema, held to formats, and to patterns in both of the dialects in which they are read.

Draft 2020-12 writes patterns as ECMAScript does (section 6.4 of the core), jsonschema searches with Python's `re`. A pattern
holds only where both find it: as ECMAScript has it ASCII classes, and ``$`` is the end.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import lru_cache, partial
from typing import Any

from diffusionlm.guidance.automata import UnsupportedPattern
from diffusionlm.guidance.structured.json_formats import FORMATS
from diffusionlm.guidance.structured.schema_reading import LIST, NAMED, ONE, Schema, validator_class

_DOLLAR = re.compile(r"(\\.|\[\^?\]?(?:\\.|[^\]\\])*\])|\$", re.DOTALL)
_PARTS = re.compile(
    r"(?P<group>\(\?<(?P<name>[A-Za-z_]\w*)>)|\\u\{(?P<code>[0-9A-Fa-f]{1,6})\}|\\c(?P<control>[A-Za-z])"
    r"|(?P<property>\\[pP](?:\{[^}]*\}?)?)|(?P<few>(?<!\\)\{,\d+\})|\\."
)
_FLAGS = re.compile(r"\(\?([aimsx]+)\)")


def portable(pattern: str) -> str:
    """A pattern of ECMAScript in Python's syntax: named groups, \\u{...} and \\cX.

    Raises:
        UnsupportedPattern: if the two dialects cannot be reconciled, with what to write.
    """

    def written(found: re.Match[str]) -> str:
        if found["group"]:
            return f"(?P<{found['name']}>"
        if found["code"] and int(found["code"], 16) < 0x110000:
            return f"\\U{int(found['code'], 16):08x}"
        if found["control"]:
            return f"\\x{ord(found['control'].upper()) - 64:02x}"
        if found["property"]:
            raise UnsupportedPattern(
                f"The regular expression {pattern!r} has {found['property']}, a class of characters by property, which is not "
                "supported; name the characters, as in [A-Za-zÀ-ÿ], or write [^\\W\\d_] for letters."
            )
        if found["few"]:
            raise UnsupportedPattern(
                f"The regular expression {pattern!r} has {found['few']}, which ECMAScript reads as these characters and Python "
                f"as a repeat; write {found['few'].replace('{', '{0')} for the repeat."
            )
        return found[0]

    return _PARTS.sub(written, pattern)


def strict(pattern: str) -> str:
    """A pattern in Python's syntax whose ``$`` is the end alone, not a place before a line break."""
    return _DOLLAR.sub(lambda match: match.group(1) or r"\Z", portable(pattern))


def check_pattern(pattern: str) -> None:
    """Raises UnsupportedPattern, in one sentence, where a pattern is not valid."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # [[a] is what it was
            re.compile(portable(pattern))
    except re.error as error:
        raise UnsupportedPattern(f"The regular expression {pattern!r} is not valid: {error}.") from None


class Validity:
    """What is valid under one schema.

    Args:
        root: a schema that `schema_reading.check` has passed.
    """

    def __init__(self, root: Schema) -> None:
        checker, kind = _format_checker(), validator_class()
        readings: list[Callable[[str], str]] = [portable, _as_ecma] if any(_patterns(root)) else [portable]
        self._validators = [
            (reading, kind(_translated(exact(root), reading), format_checker=checker)) for reading in readings
        ]

    def holds(self, value: Any, part: Schema = None) -> bool:
        """Whether a value, with decimals for floats, is valid under the schema, or a part of it."""
        for reading, validator in self._validators:
            if part is not None:
                validator = validator.evolve(schema=_translated(exact(part), reading))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)
                if not validator.is_valid(value):
                    return False
        return True


@lru_cache(maxsize=64)
def validity(schema: str) -> Validity:
    """`Validity` of a schema given as JSON, the same object each time."""
    return Validity(json.loads(schema))


def exact(value: Any) -> Any:
    """A JSON value with decimals in place of floats, of which 0.3 is a multiple of 0.1, and 1.0 an integer."""
    return json.loads(json.dumps(value), parse_float=exact_number)


def exact_number(text: str) -> Decimal | int:
    """A number as JSON Schema counts it: 1.0 is the integer 1."""
    found = Decimal(text)
    return int(found) if found.adjusted() < 300 and found == found.to_integral_value() else found


def _as_ecma(pattern: str) -> str:
    own = strict(pattern)
    flags = _FLAGS.match(own)
    return f"(?a{flags[1].replace('a', '')}){own[flags.end() :]}" if flags else f"(?a){own}"


def _translated(schema: Schema, reading: Callable[[str], str]) -> Schema:
    """A schema whose patterns are read in one way."""
    if not isinstance(schema, dict):
        return schema
    again = partial(_translated, reading=reading)
    out: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "pattern" and isinstance(value, str):
            value = reading(value)
        elif key in NAMED and isinstance(value, dict):
            name = reading if key == "patternProperties" else str
            value = {name(inner): again(part) for inner, part in value.items()}
        elif key in LIST and isinstance(value, list):
            value = [again(part) for part in value]
        elif key in ONE:
            value = again(value)
        out[key] = value
    return out


def _patterns(schema: Any) -> Iterator[str]:
    """Patterns of a schema, and perhaps texts that are none."""
    if isinstance(schema, dict):
        yield from (key for key in ("pattern", "patternProperties") if key in schema)
        for inner in schema.values():
            yield from _patterns(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from _patterns(inner)


@lru_cache(maxsize=1)
def _format_checker() -> Any:
    """jsonschema's form of our formats: what is no text has any."""
    from jsonschema import FormatChecker

    checker = FormatChecker(formats=())
    for name, expression in FORMATS.items():
        checker.checks(name)(partial(_has_form, re.compile(expression, re.ASCII)))
    return checker


def _has_form(form: re.Pattern[str], value: Any) -> bool:
    return not isinstance(value, str) or form.fullmatch(value) is not None
