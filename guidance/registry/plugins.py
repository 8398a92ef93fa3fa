"""The registry of plugins; see `diffusionlm.registry.Registry` for what is found where."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any

from diffusionlm.errors import UnknownPlugin
from diffusionlm.guidance.guidance import API_VERSION, READS, Guidance
from diffusionlm.guidance.registry.function_plugin import class_from_function
from diffusionlm.guidance.strategies.strategy import make_strategy
from diffusionlm.registry import Entry, Registry, origin_of


def validate(kind: Any, name: str) -> None:
    """Checks a class against the contract.

    Raises:
        TypeError: naming the method or attribute that is off, and where the class stands.
    """
    try:
        _check_contract(kind)
    except TypeError as error:  # reading where a class stands takes longer than all the rest
        raise TypeError(f"the plugin {name!r} ({origin_of(kind)}){error}") from None
    if "unprompted" in kind.reads and not isinstance(kind.reads, str):
        warnings.warn(
            f"the plugin {name!r} ({origin_of(kind)}): reads says 'unconditional' where it said 'unprompted'.",
            DeprecationWarning,
            stacklevel=3,
        )
        kind.reads = tuple("unconditional" if item == "unprompted" else item for item in kind.reads)


def _check_contract(kind: Any) -> None:
    """Raises TypeError with the rest of a sentence that begins with the plugin."""
    if not (isinstance(kind, type) and issubclass(kind, Guidance)):
        raise TypeError(" must be a subclass of diffusionlm.guidance.Guidance or a function of the state.")
    if kind.energy is Guidance.energy:
        raise TypeError(" lacks the method energy(self, state), which returns one number for each sample, (B,).")
    for method, arguments in (("energy", 1), ("bind", 1), ("measure", 1)):
        _takes(getattr(kind, method), arguments, f": {method}", kind.__dict__.get(method))
    if not isinstance(kind.api_version, int) or kind.api_version > API_VERSION:
        raise TypeError(
            f" was written for version {kind.api_version!r} of the contract, this library has {API_VERSION}; upgrade "
            "diffusionlm, or set api_version."
        )
    known = (*READS, "unprompted")
    unknown = [item for item in kind.reads if item not in known] if not isinstance(kind.reads, str) else [kind.reads]
    if unknown:
        raise TypeError(f": reads must be a tuple out of {READS}, got {kind.reads!r}.")
    default: Any = kind.__dataclass_fields__["strategy"].default
    try:
        make_strategy(default)
    except ValueError as error:
        raise TypeError(f": strategy: {error}") from None


def _takes(function: Callable[..., Any], count: int, what: str, own: Any) -> None:
    parameters = list(inspect.signature(function).parameters.values())
    if not isinstance(own, staticmethod | classmethod):
        parameters = parameters[1:]
    needed = [p for p in parameters if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    free = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required_keywords = [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    if len(needed) > count or (len(positional) < count and not free) or required_keywords:
        takes = ", ".join(str(p) for p in parameters) or "nothing"
        raise TypeError(f"{what} must take one argument besides self; it takes {takes}.")


def _class(found: Any) -> type[Guidance]:
    return found if isinstance(found, type) else class_from_function(found)


PLUGINS = Registry("guidance plugin", "diffusionlm.guidance", "register", validate, _class, UnknownPlugin)

register = PLUGINS.register
unregister = PLUGINS.unregister
registered = PLUGINS.registered
problems = PLUGINS.problems
load = PLUGINS.load


def available() -> dict[str, Entry]:
    """Every known plugin by name, in alphabetical order; nothing is imported. See `problems` for names given twice.

    Example:
        >>> "phrases" in available()
        True
    """
    return PLUGINS.available()


def get(name: str) -> type[Guidance]:
    """The class of a plugin; imports it if need be.

    Raises:
        UnknownPlugin: if there is none, with the nearest name.
        ImportError: if the file or package that has it fails to import, naming it and why.
        ValueError: if two places give the name, naming both.

    Example:
        >>> get("length")(words=12).words
        12
    """
    if name.endswith(".py") or "/" in name:
        raise UnknownPlugin(
            f"There is no guidance plugin {name!r}; a plugin of your own is given as an object in Python, by its name once its "
            "package is installed, or as guidance=FILE.py to 'diffusionlm generate'"
        )
    return PLUGINS.find(name)
