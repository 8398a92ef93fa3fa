"""A plain function of the state as a plugin."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from torch import Tensor

from diffusionlm.guidance.guidance import Guidance
from diffusionlm.registry import origin_of

if TYPE_CHECKING:
    from diffusionlm.guidance.state import GuidanceState


class FunctionGuidance(Guidance):
    """The energy is a function ``state -> (B,)`` of the token posterior.

    Args:
        function: the energy; lower is better.
    """

    function: Callable[[GuidanceState], Tensor]

    def __post_init__(self) -> None:
        super().__post_init__()
        check_function(self.function)

    @property
    def title(self) -> str:
        """The function's name."""
        return self.name or str(getattr(self.function, "__name__", "function"))

    @property
    def origin(self) -> str:
        """ "file:line" of the function."""
        return origin_of(self.function)

    def energy(self, state: GuidanceState) -> Tensor:
        """What the function gives."""
        return self.function(state)


def class_from_function(function: Any) -> type[Guidance]:
    """A plugin class whose energy is the function; it takes the common settings.

    Raises:
        TypeError: if it is no function of one argument.
    """
    check_function(function)
    body = {
        "__doc__": inspect.getdoc(function) or "",
        "__module__": function.__module__,
        "__qualname__": getattr(function, "__qualname__", "function"),
        "energy": staticmethod(function),
    }
    return type(getattr(function, "__name__", "function"), (Guidance,), body)


@lru_cache(maxsize=256)
def class_of(function: Any) -> type[Guidance]:
    """`class_from_function`, the same class for the same function.

    Raises:
        TypeError: if it is no function of one argument.
    """
    return class_from_function(function)


def is_energy(item: Any) -> bool:
    """Whether something is meant as a plugin by its form alone: a Python function whose one argument is called ``state``."""
    return inspect.isfunction(item) and list(inspect.signature(item).parameters) == ["state"]


def is_score(item: Any) -> bool:
    """Whether a function scores texts by its form: one argument, which is called ``text`` or is annotated as `str`."""
    if isinstance(item, type) or not callable(item):
        return False
    try:
        parameters = list(inspect.signature(item).parameters.values())
    except (TypeError, ValueError):  # written in C
        return False
    needed = [p for p in parameters if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return len(needed) == 1 and (needed[0].name in ("text", "texts") or needed[0].annotation in (str, "str"))


def check_function(function: Any) -> None:
    """Raises TypeError unless it is a function that can be called with the state alone."""
    if not callable(function):
        raise TypeError(f"A plugin is a Guidance, or a function of the state; got {function!r}.")
    try:
        inspect.signature(function).bind(object())
    except TypeError:
        raise TypeError(
            f"The function {getattr(function, '__name__', function)!r} must take one argument, the state; it takes "
            f"{inspect.signature(function)}."
        ) from None
