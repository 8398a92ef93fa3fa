"""Settings that all plugins share: weight schedules, windows, goals; their checks, and their form in JSON."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from diffusionlm.errors import suggestion
from diffusionlm.guidance.strategies.strategy import Strategy, make_strategy

if TYPE_CHECKING:
    from diffusionlm.guidance.guidance import Guidance

DESCRIBED = "_described_"  # the key of words that stand for a setting without a form in JSON
SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda u: 1.0,
    "rising": lambda u: 1.0 - u,  # weak in the noise, full at the end
    "falling": lambda u: u,  # sets the course early, leaves the wording alone
    "bump": lambda u: math.sin(math.pi * min(1.0, max(0.0, u))),  # strongest half way, where most is decided
}


def strength(plugin: Guidance, u: float) -> float:
    """weight x schedule at progress u in [0, 1]; 0 outside the window."""
    low, high = sorted(plugin.window)
    if not low <= u <= high:
        return 0.0
    schedule = SCHEDULES[plugin.schedule] if isinstance(plugin.schedule, str) else plugin.schedule
    factor = float(schedule(u))
    if not math.isfinite(factor) or factor < 0:
        raise ValueError(
            f"The schedule of {plugin.title!r} gave {factor} at u = {u:.3f}; it must be finite and at least 0."
        )
    return plugin.weight * factor


def check_settings(plugin: Guidance) -> None:
    """Raises ValueError naming the setting that is out of range.

    Lists from JSON and numbers of NumPy are brought into Python's own form.
    """
    who = plugin.title
    for item in fields(plugin):
        value = getattr(plugin, item.name, None)
        if (plain := plain_numbers(value)) is not value:
            setattr(plugin, item.name, plain)
            value = plain
        if item.type in ("bool", bool) and not isinstance(value, bool):
            raise ValueError(f"{item.name} of {who!r} must be True or False, got {value!r}.")

    def number(name: str, least: float = -math.inf, optional: bool = False) -> None:
        value = getattr(plugin, name)
        if value is None and optional:
            return
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < least:
            lower = "" if least == -math.inf else f" of at least {least:g}"
            raise ValueError(f"{name} of {who!r} must be a finite number{lower}, got {value!r}.")

    number("weight", 0.0)
    number("budget", 0.0, optional=True)
    number("below", optional=True)
    number("above", optional=True)
    number("priority")
    if plugin.below is not None and plugin.above is not None:
        raise ValueError(
            f"{who!r} has the two goals below={plugin.below} and above={plugin.above}, but an energy pulls one way only; "
            "keep one of them."
        )
    if isinstance(plugin.attempts, bool) or not isinstance(plugin.attempts, int) or plugin.attempts < 1:
        raise ValueError(
            f"attempts of {who!r} must be an integer of at least 1, which writes every text once; got {plugin.attempts!r}."
        )
    try:
        start, end = (float(x) for x in plugin.window)
    except (TypeError, ValueError):
        raise ValueError(f"window of {who!r} must be two numbers (start, end) in u, got {plugin.window!r}.") from None
    if not (0 <= start <= 1 and 0 <= end <= 1):
        raise ValueError(f"window of {who!r} must lie in [0, 1] (1 is noise, 0 clean text), got {plugin.window!r}.")
    plugin.window = (start, end)
    if isinstance(plugin.schedule, str) and plugin.schedule not in SCHEDULES:
        raise ValueError(f"{who!r} has no schedule {plugin.schedule!r}; {suggestion(plugin.schedule, SCHEDULES)}")
    if not isinstance(plugin.schedule, str) and not callable(plugin.schedule):
        raise ValueError(f"schedule of {who!r} must be a name ({', '.join(SCHEDULES)}) or a function of u.")
    strategy = make_strategy(plugin.strategy)
    if not isinstance(plugin.strategy, str):
        plugin.strategy = strategy
    strategy.check(plugin)
    if plugin.attempts not in (1, type(plugin).attempts) and plugin.below is None and plugin.above is None:
        if strategy.name == "constraint":
            raise ValueError(f"{who!r} always holds, so that no text can miss it; drop attempts={plugin.attempts}.")
        raise ValueError(
            f"{who!r} has attempts={plugin.attempts}, but no goal that a text could miss: give below=... or above=... too."
        )


def plain_numbers(value: Any) -> Any:
    """A number of NumPy as Python's own, also within a list or tuple; anything else as it is."""
    if isinstance(value, np.generic):
        return value.item()
    if type(value) in (list, tuple) and any(isinstance(item, np.generic) for item in value):
        return type(value)(map(plain_numbers, value))
    return value


def read_texts(given: Any, what: str, word: str = "phrase") -> list[str]:
    """One text or several as a list.

    Args:
        given: a text, or a list of texts.
        what: the setting, for the message.
        word: what each of the texts is.

    Raises:
        TypeError: if it is neither.
    """
    if isinstance(given, str):
        return [given]
    texts: list[Any] = list(given) if isinstance(given, Iterable) and not isinstance(given, Mapping | bytes) else [None]
    wrong = [text for text in texts if not isinstance(text, str)]
    if wrong:
        raise TypeError(
            f"{what} must be a {word} or a list of {word}s, each of them a text between quotes; got {given!r}."
        )
    return texts


def encode(value: Any, where: str) -> Any:
    """A setting as plain data.

    Raises:
        TypeError: if it has no plain form, naming the setting.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Strategy):
        return value.to_dict()
    if isinstance(value, list | tuple | set | frozenset):
        items = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
        return [encode(item, where) for item in items]
    if isinstance(value, Mapping):
        return {str(key): encode(item, f"{where}[{key!r}]") for key, item in value.items()}
    path = import_path(value) if callable(value) else None
    if path is not None:
        return {"_function_": path}
    raise TypeError(
        f"{where} is {describe(value)}, which cannot be written as JSON; give what can be written in its place, such as "
        "the name of a model or a function that can be imported."
    )


def decode(value: Any) -> Any:
    """What `encode` wrote, but lists stay lists."""
    if isinstance(value, Mapping):
        if set(value) == {DESCRIBED}:
            raise ValueError(
                f"A setting was recorded in words only ({value[DESCRIBED]}), because it has no form in JSON: give the object "
                "itself in its place."
            )
        if set(value) == {"_function_"}:
            module, _, name = str(value["_function_"]).partition(":")
            found: Any = importlib.import_module(module)
            for part in name.split("."):
                found = getattr(found, part)
            return found
        return {key: decode(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [decode(item) for item in value]
    return value


def import_path(function: Any) -> str | None:
    """``module:name`` of a function that can be imported again, else None."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not module or not name or module == "__main__" or "<" in name:
        return None
    try:
        found = decode({"_function_": f"{module}:{name}"})
    except (ImportError, AttributeError):
        return None
    return f"{module}:{name}" if found is function else None


def describe(value: Any) -> str:
    """A value in words, for records that need not be read back."""
    code = getattr(value, "__code__", None)
    if code is not None:
        return f"the function {value.__qualname__} of {Path(code.co_filename).name}, line {code.co_firstlineno}"
    return f"an object of type {type(value).__name__}"
