"""Judges are kept apart from guides: no figure is reported whose judge also steered, unless that is asked for and said.

A guide always looks good in its own eyes (Goodhart): texts that were bent until a classifier is convinced convince it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from diffusionlm.guidance import Guidance
from diffusionlm.guidance.guidance import COMMON

GUIDE_LABEL = "judged by the guide itself"


def identities(value: Any) -> set[str]:
    """Names under which a model, a folder or a function may be known: of settings of plugins, and of judges."""
    if value is None or isinstance(value, bool | int | float):
        return set()
    if isinstance(value, str | Path):
        text = str(value).strip()
        names = {text.lower()}
        if Path(text).exists():
            names.add(str(Path(text).resolve()))
        return names
    if isinstance(value, Mapping):
        return {name for item in value.values() for name in identities(item)}
    if isinstance(value, list | tuple | set):
        return {name for item in value for name in identities(item)}
    names = {f"object {id(value)}"}
    path = getattr(value, "name_or_path", None) or getattr(getattr(value, "config", None), "_name_or_path", None)
    if isinstance(path, str) and path:
        names |= identities(path)
    if hasattr(value, "__qualname__"):
        names.add(f"{value.__module__}.{value.__qualname__}".lower())
    return names


def guides(plugins: Iterable[Guidance]) -> dict[str, str]:
    """Every name that a plugin's own settings hold, and the plugin whose it is.

    What the plugins are built of besides is theirs to say: a class may list more names in ``guides``.
    """
    found: dict[str, str] = {}
    for plugin in plugins:
        own = [getattr(plugin, item.name, None) for item in fields(plugin) if item.name not in COMMON]
        for name in identities([*own, getattr(plugin, "guides", None)]):
            found[name] = plugin.title
    return found


def label_of(judge: str, names: Sequence[Any], plugins: Iterable[Guidance], allow: bool) -> str:
    """ "" where the judge had no part in the guidance; the label that goes with the figure where it had, and may.

    Args:
        judge: how reports name it.
        names: what it is known by: names, folders, objects.
        plugins: those that steered.
        allow: whether a figure is wanted all the same.

    Raises:
        ValueError: the judge is a guide, and `allow` is false.
    """
    known = guides(plugins)
    shared = sorted(identities(list(names)) & set(known))
    if not shared:
        return ""
    if not allow:
        raise ValueError(
            f"The judge '{judge}' is also the guide of the plugin '{known[shared[0]]}' ({shared[0]}): its verdict would "
            "say nothing. Choose another judge, or set allow_guide_as_judge=true; the figure is then labelled."
        )
    return GUIDE_LABEL
