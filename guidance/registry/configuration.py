"""Plugins from what a user writes: a name, a class, an instance, a function, plain data, or a list of these."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from diffusionlm.errors import nearest, suggestion
from diffusionlm.guidance import settings as common
from diffusionlm.guidance.guidance import API_VERSION, Guidance
from diffusionlm.guidance.registry.function_plugin import FunctionGuidance, class_of, is_energy, is_score
from diffusionlm.guidance.registry.plugins import get

# Where configurations written earlier say that a class stands -> where it does.
_MOVED = {
    "diffusionlm.guidance.function_plugin": "diffusionlm.guidance.registry.function_plugin",
    "diffusionlm.guidance.pii_names": "diffusionlm.guidance.pii.names",
    "diffusionlm.guidance.syntax_constituents": "diffusionlm.guidance.syntax.constituents",
    "diffusionlm.guidance.syntax_dependencies": "diffusionlm.guidance.syntax.dependencies",
    "diffusionlm.guidance.word_list": "diffusionlm.guidance.toxicity.word_list",
}


def plugins_from(given: Any) -> list[Guidance]:
    """The plugins that ``given`` names, in order.

    Args:
        given: a registered name; a `Guidance`, or a class of one; a function ``state -> (B,)``, or of the
            finished text (its argument is called ``text`` or annotated as str), which is a `TextScorer`; a mapping
            ``{"name": ..., settings}``, ``{"_target_": ..., settings}`` or ``{name: {settings}, ...}``; or a list of these.

    Raises:
        TypeError: if it is none of these.
        ValueError: if a name or a setting is unknown.
    """
    if given is None:
        return []
    if isinstance(given, list | tuple):
        return [plugin for item in given for plugin in plugins_from(item)]
    if isinstance(given, Guidance):
        return [given]
    if isinstance(given, str):
        return [make(get(given), {})]
    if isinstance(given, type) and issubclass(given, Guidance):
        return [make(given, {})]
    if isinstance(given, Mapping) or hasattr(given, "items"):
        data = dict(given.items())
        if "name" in data or "_target_" in data:
            return [from_mapping(data)]
        return [from_mapping({"name": name, **_settings(name, given)}) for name, given in data.items()]
    if is_score(given):  # a function of the finished text
        from diffusionlm.guidance.text_scorer import TextScorer

        return [TextScorer(given)]
    if callable(given) and not isinstance(given, type):
        return [FunctionGuidance(given)]
    raise TypeError(
        "guidance is a name, a Guidance, a function of the state, a mapping {name: {setting: value}}, or a list of these; "
        f"got {given!r}."
    )


def _settings(name: str, given: Any) -> dict[str, Any]:
    if given is None or isinstance(given, Mapping) or hasattr(given, "items"):
        return dict(given or {})
    if isinstance(given, str) and nearest(name, ["name"]):
        raise ValueError(f"A plugin is named by 'name', not by {name!r}: write {{'name': {given!r}}}.")
    raise ValueError(
        f"The settings of the plugin {name!r} must be a mapping, as in {{{name}: {{weight: 2.0}}}}; got {given!r}."
    )


def from_config(given: Any) -> list[Guidance]:
    """`plugins_from`, for what a configuration file holds.

    Example:
        >>> [plugin] = from_config({"phrases": {"include": ["pub"]}})
        >>> plugin.include
        ['pub']
    """
    return plugins_from(given)


def from_mapping(data: Mapping[str, Any]) -> Guidance:
    """The plugin of one mapping with its name or ``_target_`` beside its settings.

    Raises:
        ValueError: if the plugin or a setting is unknown, or it was written for a newer contract.
    """
    settings = {str(key): common.decode(value) for key, value in dict(data).items()}
    version = settings.pop("api_version", API_VERSION)
    target, name = settings.pop("_target_", None), settings.pop("name", None)
    if version > API_VERSION:
        raise ValueError(
            f"The settings of {name or target!r} were written for version {version} of the contract, this library has "
            f"{API_VERSION}; upgrade diffusionlm."
        )
    if target is None:
        return make(get(str(name)), settings)
    module, _, attribute = str(target).rpartition(".")
    try:
        kind = getattr(importlib.import_module(_MOVED.get(module, module)), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"There is no plugin class {target!r}: {error}") from error
    if is_energy(kind):
        kind = class_of(kind)
    if not (isinstance(kind, type) and issubclass(kind, Guidance)):
        raise ValueError(
            f"{target!r} is no plugin: it must be a class that derives from diffusionlm.guidance.Guidance, or a function whose "
            "one argument is called 'state'."
        )
    return make(kind, settings)


def make(kind: type[Guidance], settings: Mapping[str, Any]) -> Guidance:
    """A plugin of a class, with settings by name.

    Raises:
        ValueError: if a setting is unknown or missing.
    """
    parameters = inspect.signature(kind).parameters
    free = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    known = list(dict.fromkeys([*parameters, *(item.name for item in fields(kind))] if free else parameters))
    unknown = [key for key in settings if key not in known]
    label = kind.name or kind.__name__
    if unknown:
        raise ValueError(f"The plugin {label!r} has no setting {unknown[0]!r}; {suggestion(unknown[0], known)}")
    try:
        return kind(**settings)
    except TypeError as error:
        missing = str(error).partition("missing")[2]
        if not missing:
            raise
        raise ValueError(f"The plugin {label!r} needs settings that were not given: missing{missing}.") from error
