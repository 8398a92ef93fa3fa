"""Errors of guidance, and the hint that goes with a misspelt name."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class GuidanceError(RuntimeError):
    """A plugin did not do what the contract asks, while text was being written; names plugin, place and step.

    Example:
        >>> try:  # doctest: +SKIP
        ...     pipe(guidance=my_plugin)
        ... except GuidanceError as error:
        ...     print(error)
    """


class UnknownPlugin(ValueError):
    """No plugin of that name; the message has the nearest.

    Example:
        >>> get("phrase")
        Traceback (most recent call last):
        diffusionlm.errors.UnknownPlugin: There is no guidance plugin 'phrase'; did you mean 'phrases'?
    """


def suggestion(name: str, known: Iterable[str]) -> str:
    """ "did you mean 'x'?" or the list of known names."""
    known = list(known)
    by_lower = {item.lower(): item for item in known}
    near = get_close_matches(str(name).lower(), by_lower, n=1, cutoff=0.6)
    return f"did you mean {by_lower[near[0]]!r}?" if near else f"there are: {', '.join(sorted(known)) or 'none'}."


def refuse_unknown(what: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raises TypeError for arguments that do not exist, with a suggestion.

    Args:
        what: who was called.
        given: names of the arguments.
        known: names that there are.
    """
    known = list(known)
    for name in given:
        if name not in known:
            raise TypeError(f"{what} has no argument {name!r}; {suggestion(name, known)}")
