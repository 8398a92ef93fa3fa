"""Sources as they are written down: ``{retrieved: {store: places, k: 2}, image: menu.png}``, on the command line and in files.

A name is one of the registry; what stands for it is its settings, or its first setting alone. Nothing in it becomes code.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from diffusionlm.context.source import SOURCES, Source
from diffusionlm.errors import suggestion

_WITHOUT = ("canvas", "prompt")  # every row has its own


def read_written(value: Any, pipe: Any) -> list[Source]:
    """Sources from plain data.

    Args:
        value: a mapping from names to settings, a list of such, or None for none.
        pipe: the pipeline that they are for; a store that its model has encoded is searched by it.

    Raises:
        ValueError: if there is no such source or setting, or one is of the wrong kind.
        FileNotFoundError: if a file is missing.
    """
    if value is None:
        return []
    found: list[Source] = []
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, Mapping):
            raise ValueError(
                f"context takes sources with their settings, such as {{concept: house-style}} or {{image: menu.png}}, got "
                f"{item!r}; there are: {', '.join(_names())}."
            )
        found += [_make(str(name), settings, pipe) for name, settings in item.items()]
    return found


def _make(name: str, settings: Any, pipe: Any) -> Source:
    if name not in _names():
        raise ValueError(f"There is no source of memory {name!r}; {suggestion(name, _names())}")
    kind: Any = SOURCES[name]
    known = [item for item in inspect.signature(kind.__init__).parameters if item != "self"]
    given = dict(settings) if isinstance(settings, Mapping) else {known[0]: settings} if known else {}
    for key in given:
        if key not in known:
            raise ValueError(f"There is no setting {key!r} of the source {name!r}; {suggestion(str(key), known)}")
    if name == "retrieved" and isinstance(given.get("store"), str):
        given["store"] = _store(given["store"], pipe)
    if name == "each" and isinstance(given.get("sources"), list):
        given["sources"] = [None if item is None else read_written(item, pipe)[0] for item in given["sources"]]
    try:
        made: Source = kind(**given)
    except TypeError as error:
        raise ValueError(f"The source {name!r} cannot be made of {settings!r}: {error}") from error
    return made


def _names() -> list[str]:
    return [name for name in SOURCES.available() if name not in _WITHOUT]


def _store(folder: str, pipe: Any) -> Any:
    from diffusionlm.context.store import Store, encoder_of

    return Store.load(folder, pipe if encoder_of(folder) == "model" else None)
