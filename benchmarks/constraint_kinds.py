"""Diffinity's kinds of constraint, each with values of a held-out sentence, and a judge of plain string comparisons.

* prefix, suffix: a text begins, ends with the first, last three words of the sentence;
* appearance: it has one of the sentence's words of four letters or more;
* between: it has two words of the sentence in their order with something between them, and no full stop;
* json: it is an object with the fields of the sentence (the name as it is, of other fields any value that held-out rows have,
  three fields in all) and a description of 20 to 60 characters.

A rule is made of the row and of what is drawn, so the sentence itself obeys it: it is the real text beside.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.guided_sets import Request
from diffusionlm.guidance import JSONSchema, Regex
from diffusionlm.text.conditions import fields_of

Rows = Sequence[tuple[str, str]]  # condition, text
AFFIX, APART = 3, 9  # words of an affix; how far apart two words are at most in the sentence they come from
FIELDS, DESCRIPTION = 3, (20, 60)
WORD = re.compile(r"[A-Za-z]+")


def prefix(text: str, draw: random.Random) -> Request | None:
    """The first words; None where a text has no more than these."""
    words = text.split()
    if len(words) <= AFFIX:
        return None
    begin = " ".join(words[:AFFIX])
    rule = Regex(match=rf"{re.escape(begin)}([ .,].*)?")
    return Request(f"begins with {begin!r}", rule, lambda written: begins_with(written, begin), text)


def suffix(text: str, draw: random.Random) -> Request | None:
    """The last words."""
    words = text.split()
    if len(words) <= AFFIX:
        return None
    end = " ".join(words[-AFFIX:])
    return Request(f"ends with {end!r}", Regex(match=rf"(.* )?{re.escape(end)}"), lambda own: ends_with(own, end), text)


def appearance(text: str, draw: random.Random) -> Request | None:
    """One word."""
    words = sorted({word for word in WORD.findall(text) if len(word) >= 4})
    if not words:
        return None
    word = draw.choice(words)
    return Request(f"has {word!r}", Regex(require=rf"\b{word}\b"), lambda written: word in WORD.findall(written), text)


def between(text: str, draw: random.Random) -> Request | None:
    """Two words with others between them."""
    found = [
        (first, second)
        for words in map(str.split, text.split("."))
        for i, first in enumerate(words)
        for second in words[i + 2 : i + 2 + APART]
        if min(len(first), len(second)) >= 4 and WORD.fullmatch(first) and WORD.fullmatch(second)
    ]
    if not found:
        return None
    first, second = draw.choice(found)
    rule = Regex(require=rf"\b{first} [^. ][^.]* {second}\b")
    asked = f"has {first!r}, something, {second!r}"
    return Request(asked, rule, lambda written: has_between(written, first, second), text)


def json_object(condition: str, text: str, values: Mapping[str, Sequence[str]], draw: random.Random) -> Request | None:
    """An object with the row's fields and a description."""
    fields = dict(fields_of(condition))
    if "name" not in fields or len(text) < DESCRIPTION[0]:
        return None
    others = sorted(set(fields) - {"name"})
    chosen = ["name", *draw.sample(others, min(len(others), FIELDS - 1))]
    low, high = DESCRIPTION
    properties: dict[str, Any] = {name: {"enum": sorted(values[name])} for name in chosen}
    properties["name"] = {"const": fields["name"]}
    properties["description"] = {"type": "string", "minLength": low, "maxLength": high}
    schema = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    real = json.dumps(
        {name: fields[name] for name in chosen} | {"description": text[:high].strip()}, ensure_ascii=False
    )
    return Request(
        f"is an object with {', '.join(properties)}; name {fields['name']!r}",
        JSONSchema(schema),
        lambda written: is_object(written, schema),
        real,
        read=lambda written: json.loads(written)["description"],
    )


def requests_of(kind: str, rows: Rows, count: int, seed: int) -> list[Request]:
    """The first ``count`` requests of a kind that rows, in an order of the seed, allow.

    Raises:
        KeyError: for another kind than those of `KINDS`.
        ValueError: the rows allow fewer.
    """
    draw = random.Random(f"{seed} {kind}")
    order = draw.sample(list(rows), len(rows))
    make = _maker(kind, rows)
    found: list[Request] = []
    for condition, text in order:
        if len(found) == count:
            break
        request = make(condition, text, draw)
        if request is not None:
            found.append(request)
    if len(found) < count:
        raise ValueError(f"{len(rows)} held-out rows allow {len(found)} rules of the kind {kind!r}, not {count}.")
    return found


def _maker(kind: str, rows: Rows) -> Callable[[str, str, random.Random], Request | None]:
    if kind != "json":
        make = KINDS[kind]
        return lambda condition, text, draw: make(text, draw)
    values: dict[str, set[str]] = {}
    for condition, _ in rows:
        for name, value in fields_of(condition):
            values.setdefault(name, set()).add(value)
    every = {name: sorted(own) for name, own in values.items()}
    return lambda condition, text, draw: json_object(condition, text, every, draw)


KINDS: dict[str, Callable[[str, random.Random], Request | None]] = {
    "prefix": prefix,
    "suffix": suffix,
    "appearance": appearance,
    "between": between,
}
NAMES = (*KINDS, "json")


def begins_with(text: str, begin: str) -> bool:
    """Whether a text begins with these words, and the last of them is not longer."""
    return text.startswith(begin) and not text[len(begin) : len(begin) + 1].isalnum()


def ends_with(text: str, end: str) -> bool:
    """Whether a text ends with these words, and the first of them is not longer."""
    return text == end or text.endswith(" " + end)


def has_between(text: str, first: str, second: str) -> bool:
    """Whether a stretch without a full stop has both words in order with at least one word or number between."""
    parts = (re.findall(r"[A-Za-z]+|[^A-Za-z\s.]+", part) for part in text.split("."))
    return any(second in words[i + 2 :] for words in parts for i, word in enumerate(words) if word == first)


def is_object(text: str, schema: Mapping[str, Any]) -> bool:
    """Whether a text parses as JSON and jsonschema finds it valid."""
    import jsonschema

    try:
        jsonschema.validate(json.loads(text), schema)
    except (ValueError, jsonschema.ValidationError):
        return False
    return True
