"""Known text of the structure that a schema fixes, with spans where it leaves something open.

Where every property is required and comes in the schema's order, only the values are open: ``{"name": "[SPAN]", "rating":
[SPAN]}``. Known text costs no denoising and cannot be wrong; the spans are held to the schema by the plugin.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from diffusionlm.guidance.automata import Language, TokenAutomaton, UnsatisfiableConstraint
from diffusionlm.guidance.structured.json_strings import any_string
from diffusionlm.guidance.structured.net import one_of_texts
from diffusionlm.guidance.structured.schema_language import Form, Part, SchemaCompiler
from diffusionlm.guidance.structured.schema_reading import COMBINATORS, References, child
from diffusionlm.guidance.structured.spanwise import over_tokens
from diffusionlm.spans import Canvas, Span

if TYPE_CHECKING:
    from diffusionlm.guidance import JSONSchema
    from diffusionlm.pipeline import DiffusionLMPipeline
    from diffusionlm.text import Vocabulary

MAX_FIXED_ITEMS = 16
_EMPTY = one_of_texts(['""'], "an empty string")


@dataclass(frozen=True)
class _Open:
    """A value that the schema leaves open.

    Attributes:
        language: its texts, quotes included.
        quoted: whether the quotes are known text.
    """

    language: Language
    quoted: bool


def json_canvas(pipe: DiffusionLMPipeline, plugin: JSONSchema, max_span_length: int | None = None) -> Canvas | None:
    """The canvas of a schema whose structure is fixed; None where it is not, or where it does not fit the model.

    Args:
        pipe: the model, which says how many positions there are.
        plugin: the schema.
        max_span_length: positions that a value may use; the pipeline's own if None.
    """
    pieces = _Structure(plugin).pieces()
    if pieces is None:
        return None
    longest = pipe.model.max_length
    most = pipe.max_span_length if max_span_length is None else max_span_length
    known = [piece for piece in pieces if isinstance(piece, str)]
    room = longest - len(pipe.tokenizer.encode(known[0]))
    room -= sum(len(pipe.tokenizer.encode(piece, continues=True)) for piece in known[1:])
    spans = [piece for piece in pieces if isinstance(piece, _Open)]
    named = plugin.named()
    least = [shortest_tokens(over_tokens(one.language, pipe.tokenizer.vocabulary, named)) for one in spans]
    if any(count is None for count in least):
        return None
    lower = [
        max(1, count - 2) if one.quoted else count + plugin.whitespace
        for count, one in zip(filter(None, least), spans, strict=True)
    ]
    wanted = [max(low, min(most, longest_text(one.language))) for low, one in zip(lower, spans, strict=True)]
    while sum(wanted) > room:
        n = max(range(len(wanted)), key=lambda n: wanted[n] - lower[n])
        if wanted[n] == lower[n]:
            return None
        wanted[n] -= 1
    lengths = iter(wanted)
    return Canvas(tuple(piece if isinstance(piece, str) else Span(next(lengths)) for piece in pieces))


class _Structure:
    """Takes a schema apart into known text and open values."""

    def __init__(self, plugin: JSONSchema) -> None:
        form = Form(plugin.depth, plugin.whitespace, plugin.decimals)
        self._compiler = SchemaCompiler(plugin.schema, form)
        self._references = References(plugin.schema)
        self._space = " " if plugin.whitespace else ""

    def pieces(self) -> list[str | _Open] | None:
        """Known text and open values in turn; None where the outermost structure is not fixed."""
        found = self._of(self._compiler.root, "#")
        if len(found) == 1:
            return None
        out: list[str | _Open] = []
        for piece in found:
            if isinstance(piece, str) and out and isinstance(out[-1], str):
                out[-1] += piece
            else:
                out.append(piece)
        return out if any(isinstance(piece, _Open) for piece in out) else None

    def _of(self, schema: Any, path: str) -> list[str | _Open]:
        while isinstance(schema, dict) and "$ref" in schema and not self._says_more(schema):
            if self._references.is_recursive(schema["$ref"], path):
                return self._open(schema, path)
            path, schema = schema["$ref"], self._references.target(schema["$ref"], path)
        if isinstance(schema, dict):
            if "const" in schema and not isinstance(schema["const"], dict | list):
                return [json.dumps(schema["const"], ensure_ascii=False)]
            if self._is_fixed_object(schema):
                return self._object(schema, path)
            if self._is_fixed_array(schema):
                return self._array(schema, path)
        return self._open(schema, path)

    def _says_more(self, schema: Any) -> bool:
        return any(key in schema for key in ("properties", "required", "allOf", "anyOf", "oneOf", "not", "if", "enum"))

    def _is_fixed_object(self, schema: dict[str, Any]) -> bool:
        names = list(schema.get("properties", {}))
        plain = not any(key in schema for key in (*COMBINATORS, "enum", "patternProperties", "propertyNames"))
        counts = "minProperties" in schema or "maxProperties" in schema
        every = bool(names) and set(names) == set(schema.get("required", []))
        return (
            plain and every and not counts and schema.get("type") == "object" and not schema.get("additionalProperties")
        )

    def _is_fixed_array(self, schema: dict[str, Any]) -> bool:
        plain = not any(key in schema for key in (*COMBINATORS, "enum", "contains", "uniqueItems"))
        count = schema.get("minItems", 0)
        return (
            plain
            and schema.get("type") == "array"
            and count == schema.get("maxItems")
            and 1 <= count <= MAX_FIXED_ITEMS
        )

    def _object(self, schema: dict[str, Any], path: str) -> list[str | _Open]:
        out: list[str | _Open] = []
        for number, (name, inner) in enumerate(schema["properties"].items()):
            out.append(
                ("," + self._space if number else "{") + json.dumps(name, ensure_ascii=False) + ":" + self._space
            )
            out += self._of(inner, child(path, "properties", name))
        return [*out, "}"]

    def _array(self, schema: dict[str, Any], path: str) -> list[str | _Open]:
        prefix = schema.get("prefixItems", [])
        out: list[str | _Open] = []
        for place in range(schema["minItems"]):
            out.append("," + self._space if place else "[")
            inner = prefix[place] if place < len(prefix) else schema.get("items", True)
            out += self._of(inner, child(path, "items"))
        return [*out, "]"]

    def _open(self, schema: Any, path: str) -> list[str | _Open]:
        language = self._compiler.value([Part(schema, path)], 0)
        quoted = (language - any_string()).is_empty() and not (language - _EMPTY).is_empty()
        return ['"', _Open(language, True), '"'] if quoted else [_Open(language, False)]


def shortest_tokens(automaton: TokenAutomaton) -> int | None:
    """Tokens of the shortest text that an automaton accepts; None if it accepts none."""
    reached = np.zeros(automaton.num_states, dtype=bool)
    reached[automaton.start] = True
    used = np.unique(np.delete(automaton.token_class, automaton.pad_id))
    for count in range(automaton.num_states + 1):
        if (reached & automaton.accepting).any():
            return count
        following = reached.copy()
        following[automaton.delta[reached][:, used]] = True
        following[automaton.dead] = False
        if (following == reached).all():
            return None
        reached = following
    return None


def longest_text(language: Language) -> int:
    """Characters of the longest text of a language, or a large number where there is none longest."""
    useful = language.accepting.copy()
    while (more := useful | useful[language.delta].any(axis=1)).sum() > useful.sum():
        useful = more
    reached = np.zeros(language.num_states, dtype=bool)
    reached[0] = True
    for count in range(language.num_states + 1):
        following = np.zeros_like(reached)
        following[language.delta[reached & useful]] = True
        following &= useful
        if not following.any():
            return count
        reached = following
    return 1_000_000


def shortest_fits(plugin: JSONSchema, vocabulary: Vocabulary, positions: int) -> None:
    """Raises UnsatisfiableConstraint if even the shortest text of a schema has more tokens than there are positions."""
    (language,) = plugin.languages()
    count = shortest_tokens(over_tokens(language, vocabulary, plugin.named()))
    if count is None:
        raise UnsatisfiableConstraint(f"The vocabulary of this model cannot spell any text that {language.name}.")
    if count > positions:
        raise UnsatisfiableConstraint(
            f"The shortest text that {language.name} takes {count} tokens of this model, the span has {positions}. Give it "
            "more (max_length, or max_span_length and the model's max_position_embeddings), or a smaller schema."
        )
