"""Texts of the kind that a model writes: those it was trained on, given ones, or samples of its own."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import fields
from itertools import chain
from typing import TYPE_CHECKING, Any

from diffusionlm.corpora.sources import TextSource, parse_sources

if TYPE_CHECKING:
    from diffusionlm.pipeline import DiffusionLMPipeline

_OF_A_SOURCE = {field.name for field in fields(TextSource)} - {"path", "condition", "weight", "where"}


def texts_like(
    pipeline: DiffusionLMPipeline,
    given: Sequence[str] = (),
    *,
    most: int = 20_000,
    samples: int = 256,
    steps: int = 16,
    seed: int = 0,
    say: Callable[[str], None] = print,
) -> list[tuple[str, str]]:
    """(prompt, text) pairs that the guides of a model are made from.

    Args:
        pipeline: the model.
        given: files of texts; none: those that its card names as its training data and that are still there, else samples.
        most: texts taken, drawn at random where there are more.
        samples: texts that the model writes where there is no file.
        steps: of these.
        seed: of the draws.
        say: told where the texts come from.

    Raises:
        FileNotFoundError: if a given file is missing.
        ValueError: if a file cannot be read or holds no text.
    """
    sources = parse_sources(list(given)) if given else _of_training(pipeline.card)
    for source in sources if given else ():
        source.check()
    there = [source for source in sources if given or _is_there(source)]
    if there:
        pairs = _drawn(there, most, seed)
        names = ", ".join(dict.fromkeys(source.path for source in there))
        say(f"{len(pairs):,} texts of {names}" + ("" if given else ", which the model was trained on"))
        return pairs
    missing = f" (its training data, {sources[0].path}, is not there)" if sources else ""
    say(f"{samples:,} texts that the model writes{missing}; texts of your own: --texts FILE")
    written = pipeline(num_samples=samples, seed=seed, steps=steps).texts
    return [("", text) for text in written if text.strip()]


def _of_training(card: dict[str, Any]) -> list[TextSource]:
    data = card.get("data")
    if not isinstance(data, dict) or not data.get("train"):
        return []
    defaults = {name: value for name, value in data.items() if name in _OF_A_SOURCE and value is not None}
    return parse_sources(data["train"], defaults)


def _is_there(source: TextSource) -> bool:
    try:
        return bool(source.files)
    except (FileNotFoundError, ValueError):
        return False


def _drawn(sources: Sequence[TextSource], most: int, seed: int) -> list[tuple[str, str]]:
    """A random part of all pairs, each once (reservoir sampling, Vitter 1985, algorithm R)."""
    rng = random.Random(seed)
    kept: list[tuple[str, str]] = []
    seen: set[str] = set()
    for pair in chain.from_iterable(source.pairs() for source in sources):
        if pair[1] in seen:
            continue
        seen.add(pair[1])
        if len(kept) < most:
            kept.append(pair)
        elif (place := rng.randrange(len(seen))) < most:
            kept[place] = pair
    return kept
