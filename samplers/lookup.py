"""Names become classes, and settings are checked against what a class takes."""

from __future__ import annotations

import inspect
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import diffusers
from diffusers.schedulers.scheduling_utils import SchedulerMixin


def named_class(name: str) -> Any:
    """The class that a name means, exported by diffusers or at a dotted path.

    Raises:
        ValueError: if there is none, or it is no scheduler.
    """
    if "." in name:
        module, _, attribute = name.rpartition(".")
        try:
            found = getattr(import_module(module), attribute, None)
        except ImportError as error:
            raise ValueError(f"The scheduler {name!r} cannot be imported: {error}") from error
    else:
        found = getattr(diffusers, name, None)
    if isinstance(found, type) and issubclass(found, SchedulerMixin):
        return found
    missing = getattr(found, "_backends", None)
    if missing is not None:  # diffusers exports a placeholder where an optional package is not installed
        raise ValueError(f"The scheduler {name!r} needs the packages {', '.join(missing)}; install them first.")
    near = get_close_matches(name, [known for known in dir(diffusers) if known.endswith("Scheduler")], n=3)
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else "give a class name such as 'DDIMScheduler'."
    raise ValueError(f"diffusers has no scheduler {name!r}; {hint}")


def parameters(function: Any) -> dict[str, Any]:
    """The arguments of a method and their defaults, without ``self``."""
    return {name: entry.default for name, entry in inspect.signature(function).parameters.items() if name != "self"}


def check_settings(owner: str, given: dict[str, Any], allowed: list[str]) -> None:
    """Raises ValueError for the first name in ``given`` that is not in ``allowed``, with what was meant."""
    for name in given:
        if name not in allowed:
            near = get_close_matches(name, allowed, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"its settings are {', '.join(allowed) or 'none'}."
            raise ValueError(f"{owner} has no setting {name!r}; {hint}")
