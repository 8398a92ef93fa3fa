"""`generate_json`: objects that follow a schema, written by a pipeline."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any

from diffusionlm.errors import GuidanceError
from diffusionlm.guidance.engine.composition import Composition
from diffusionlm.guidance.structured.json_schema import JSONSchema, is_valid
from diffusionlm.spans import Canvas
from diffusionlm.structured.fixed_structure import json_canvas, shortest_fits

if TYPE_CHECKING:
    from diffusionlm.pipeline import DiffusionLMPipeline


def generate_json(
    pipe: DiffusionLMPipeline,
    schema: Any,
    text: str | Canvas | Sequence[str | Canvas] | None = None,
    *,
    span: int | None = None,
    template: bool | None = None,
    guidance: Any = None,
    depth: int = 3,
    whitespace: int = 1,
    decimals: int = 6,
    **settings: Any,
) -> list[Any]:
    """Objects that follow a schema.

    Args:
        pipe: the model.
        schema: a JSON Schema, its JSON text, a pydantic model or a TypedDict; a `JSONSchema` is taken as it is.
        text: a text whose whole, or whose span number ``span``, is the JSON; a list of such; None: the JSON alone.
        span: the number of the span in ``text`` that holds the JSON; None: the whole text does.
        template: without a text: whether the structure is known text and only values are written, which needs a schema that
            requires all of its properties. None: where that is so and fits the model.
        guidance: other plugins.
        depth, whitespace, decimals: as in `JSONSchema`.
        settings: of the pipeline's call, such as num_samples, prompt, steps, seed, max_length.

    Returns:
        One object for each sample: what ``json.loads`` gives, or instances of a pydantic model. Lists of them where a list of
        texts or prompts was given. Strings are without the space that their first word brought along, where the schema is met
        so.

    Raises:
        UnsupportedSchema: if the schema cannot be compiled.
        UnsatisfiableConstraint: if the JSON does not fit; before any work starts.
        ValueError: if ``template=True`` and the structure is not fixed.
    """
    given = schema
    if isinstance(schema, JSONSchema):
        plugin = schema
    else:
        plugin = JSONSchema(schema, depth, whitespace, decimals, span=span)
    if text is None and plugin.span is not None:
        raise ValueError("span is the number of a span in a text; give the text, or leave span out.")
    inside = plugin.span
    if text is None and template is not False:
        text = json_canvas(pipe, plugin, settings.get("max_span_length"))
        if text is None and template:
            raise ValueError(
                "template=True needs an object that requires all of its properties, and values that fit the model's "
                f"{pipe.model.max_length} positions; leave template out to have all of it written."
            )
    if text is None:
        shortest_fits(plugin, pipe.tokenizer.vocabulary, settings.get("max_length") or pipe.max_length)
    others = guidance if isinstance(guidance, Composition) else Composition([] if guidance is None else guidance)
    result = pipe(
        text,
        guidance=Composition([*others.plugins, plugin], others.budget, others.total),
        output_type="text",
        **settings,
    )
    read = _reader(given)
    groups = [[read(_json_of(sample, inside, plugin)) for sample in group] for group in result.samples]
    return groups if result.batched else groups[0]


def _json_of(sample: Any, span: int | None, plugin: JSONSchema) -> str:
    text = sample.text if span is None else sample.spans[span]
    if not is_valid(plugin.schema, text):
        raise GuidanceError(
            f"The text {text!r} is not valid under the schema, although its automaton accepts it; please report the schema."
        )
    return without_idle_blanks(plugin.schema, str(text))


def without_idle_blanks(schema: Any, text: str) -> str:
    """JSON whose strings begin and end with no blank, but for those without which it were not valid, and for names.

    Args:
        schema: what the JSON must follow.
        text: JSON that follows it.
    """
    value = json.loads(text)
    places = [place for place, said in _strings(value) if said != said.strip()]
    for chosen in (places, *([place] for place in places)) if places else ():
        other = reduce(_stripped, chosen, value)
        if is_valid(schema, written := json.dumps(other, ensure_ascii=False)):
            value, text = other, written
            if chosen is places:
                break
    return text


def _strings(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], str]]:
    """Places and texts of the strings in a value."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _strings(inner, (*place, key))


def _stripped(value: Any, place: tuple[Any, ...]) -> Any:
    """The value with the string at a place stripped."""
    if not place:
        return value.strip()
    if isinstance(value, dict):
        return {**value, place[0]: _stripped(value[place[0]], place[1:])}
    return [_stripped(inner, place[1:]) if n == place[0] else inner for n, inner in enumerate(value)]


def _reader(schema: Any) -> Any:
    """From JSON to an object of the type that was given."""
    if isinstance(schema, type) or hasattr(schema, "__origin__"):
        from pydantic import TypeAdapter

        return TypeAdapter(schema).validate_json
    return json.loads
