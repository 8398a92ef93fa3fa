"""Random rules for `bench_rules_on_models`: phrases, patterns, lengths, personal data, small schemas, and two at once."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from diffusionlm.guidance import PII, Guidance, JSONSchema, Length, Phrases, Regex

WORDS = ["river", "pub", "food", "a", "the", "not", "Eagle", "wine", "by", "cheap", "zoo", "qu", "7", "42"]
KINDS = ["email", "phone", "card", "iban", "url"]


def phrases(rng: random.Random) -> Phrases:
    """Up to two words to include, up to three others to exclude, whole or within words."""
    words = rng.sample(WORDS, 5)
    include = words[: rng.randint(0, 2)]
    return Phrases(include=include, exclude=words[2 : 3 + rng.randint(0, 2)], whole_words=rng.random() < 0.7)


def pattern(rng: random.Random) -> Regex:
    """A pattern that must occur, one that must not, or one of the whole text."""
    least = rng.randint(1, 6)
    return rng.choice(
        [
            lambda: Regex(require=rf"\b\d{{{rng.randint(1, 4)}}}\b"),
            lambda: Regex(require=rf"[{rng.choice('abcde')}-z]{{{rng.randint(2, 5)}}} [A-Z]"),
            lambda: Regex(forbid=rf"[{rng.choice(['aeiou', 'xyz', '0-9', 'A-Z'])}]"),
            lambda: Regex(forbid=rf"{rng.choice('esto')}.{{0,{rng.randint(0, 3)}}}{rng.choice('aeio')}"),
            lambda: Regex(match=rf"[a-z ]{{{least},{least + rng.randint(2, 12)}}}"),
            lambda: Regex(match=rf"({rng.choice(['The', 'A', 'No'])} [a-z]+ ?)+[.!]"),
        ]
    )()


def length(rng: random.Random) -> Length:
    """A range of words or of characters."""
    least = rng.randint(1, 5)
    if rng.random() < 0.6:
        return Length(words=(least, least + rng.randint(0, 2)))
    return Length(characters=(4 * least, 4 * least + rng.randint(0, 8)))


def personal_data(rng: random.Random) -> PII:
    """Some of the kinds that can be told from their form, perhaps a secret."""
    kinds = [kind for kind in KINDS if rng.random() < 0.6] or ["email"]
    return PII(kinds=kinds, secrets=["swordfish"] if rng.random() < 0.3 else ())


def schema(rng: random.Random) -> JSONSchema:
    """A number in a range, a choice, a short list or an object of one or two keys."""
    low = rng.randint(-20, 50)
    number = {"type": "integer", "minimum": low, "maximum": low + rng.randint(0, 60)}
    given: Any = rng.choice(
        [
            number,
            {"enum": rng.sample(["pub", "food", 5, True, None, "wine"], 3)},
            {"type": "array", "items": number, "minItems": 1, "maxItems": 2},
            {"type": "object", "properties": {"a": number}, "required": ["a"], "additionalProperties": False},
            {"type": "string", "pattern": "^[a-z]{1,4}$"},
        ]
    )
    return JSONSchema(given, whitespace=0)


SINGLE: dict[str, Callable[[random.Random], Guidance]] = {
    "phrases": phrases,
    "pattern": pattern,
    "length": length,
    "personal data": personal_data,
    "schema": schema,
}
PAIRS = ["phrases", "pattern", "length", "personal data"]


def draw_rules(rng: random.Random) -> tuple[str, list[Guidance]]:
    """The kind and the plugins of one draw: with probability 0.4 two different rules."""
    if rng.random() < 0.4:
        kinds = rng.sample(PAIRS, 2)
        return " + ".join(sorted(kinds)), [SINGLE[kind](rng) for kind in sorted(kinds)]
    kind = rng.choice(list(SINGLE))
    return kind, [SINGLE[kind](rng)]
