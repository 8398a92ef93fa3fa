"""Sources bound to the rows of a call, and the pieces of a batch of rows."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from diffusionlm.context.canvas import Canvas
from diffusionlm.context.prompt import Prompt
from diffusionlm.context.source import Source, check_readable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from diffusionlm.denoiser import Piece

_CONCEPT = re.compile(r"\[CONCEPT:([^\[\]\n]*)\]\s?")


def read_context(given: Any) -> tuple[Source, ...]:
    """The sources of a call.

    Args:
        given: None, a source, or a list of sources.

    Raises:
        TypeError: for anything else.
    """
    sources = () if given is None else tuple(given) if isinstance(given, list | tuple) else (given,)
    for source in sources:
        if not isinstance(source, Source):
            raise TypeError(
                f"context takes sources of diffusionlm.context, such as [Retrieved(store, k=4), Concept('house-style')], got "
                f"{source!r}."
            )
    return sources


def split_concepts(text: str) -> tuple[tuple[str, ...], str]:
    """Names in ``[CONCEPT:name]`` at the beginning of a text, and the rest; a backslash before the first keeps it as text.

    Raises:
        ValueError: if a name is empty.
    """
    if text.startswith("\\[CONCEPT:"):
        return (), text[1:]
    names: list[str] = []
    while match := _CONCEPT.match(text):
        if not match[1].strip():
            raise ValueError(
                f"{match[0].strip()} names no concept; write [CONCEPT:name] with the name it was saved under."
            )
        names.append(match[1].strip())
        text = text[match.end() :]
    return tuple(names), text


def bind(rows: Sequence[Any], context: Sequence[Source], pipe: Any) -> list[Any]:
    """The rows with the sources of the call and the concepts that their texts begin with, read and checked.

    Raises:
        ValueError: if a source does not fit the pipeline, or its model cannot read its kind of memory.
    """
    names = dict.fromkeys(name for row in rows for name in row.concepts)
    if not context and not names:
        return list(rows)
    for source in context:
        source.check(rows[-1].source + 1)
    ready = tuple(_prepared(source, pipe) for source in context)
    concepts: dict[str, Source] = {}
    if names:
        from diffusionlm.context.concept import Concept

        concepts = {name: _prepared(Concept(name), pipe) for name in names}
    bound = [replace(row, context=(*ready, *(concepts[name] for name in row.concepts))) for row in rows]
    for source in ready:
        bound = [_stating(row, phrases) for row, phrases in zip(bound, source.states(bound), strict=True)]
    return bound


def _stating(row: Any, phrases: tuple[str, ...]) -> Any:
    if not phrases:
        return row
    states = tuple(dict.fromkeys((*row.canvas.states, *phrases)))
    return replace(row, canvas=replace(row.canvas, states=states))


def _prepared(source: Source, pipe: Any) -> Source:
    check_readable(pipe.model, source.segment, source.name or type(source).__name__)
    return source.prepare(pipe)


def gather(rows: Any) -> list[list[Piece]]:
    """Pieces of each row: its prompt, what its sources bring, then what stands on its canvas.

    Raises:
        ValueError: if a text is too long.
        TypeError: if a source returns anything but a list of pieces for each row.
    """
    out: list[list[Piece]] = [[] for _ in rows.rows]
    added = dict.fromkeys(source for row in rows.rows for source in row.context)
    for source in (Prompt(), *added, Canvas()):
        pieces = source.pieces(rows)
        if not isinstance(pieces, list) or len(pieces) != len(out):
            raise TypeError(f"The source {source.name!r} must return a list of pieces for each of {len(out)} rows.")
        for row, collected, own in zip(rows.rows, out, pieces, strict=True):
            if source not in added or source in row.context:
                collected += own
    return out
