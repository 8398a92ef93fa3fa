"""Which kinds a user asks for: names of `pii.patterns.KINDS`, and kinds of their own as regular expressions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from re import _constants as op
from re import _parser
from typing import Any, TypeAlias

from diffusionlm.errors import suggestion
from diffusionlm.guidance.automata import AutomatonTooLarge, regex
from diffusionlm.guidance.pii.kind import Kind, Pattern
from diffusionlm.guidance.pii.patterns import KINDS

Own: TypeAlias = Mapping[str, "str | Sequence[str] | None"]
"""Expressions by the name of their kind; None for a kind of `KINDS`."""
Chosen: TypeAlias = "Own | Sequence[str | Own] | None"

ALL = "all"


def kinds_from(given: Chosen) -> dict[str, Kind]:
    """The kinds that are looked for, by name.

    Args:
        given: names from `KINDS`, or "all"; a mapping from names of your own to a regular expression or several; a list of
            both. None: all of `KINDS`.

    Raises:
        ValueError: if a name is unknown, or an expression is not one that an automaton can hold.

    Example:
        >>> list(kinds_from(["email", {"staff number": r"E\\d{6}"}]))
        ['email', 'staff number']
    """
    if given is None:
        return dict(KINDS)
    if isinstance(given, str):
        raise ValueError(f"kinds must be a list of names; write kinds=[{given!r}].")
    if not isinstance(given, Iterable):
        raise ValueError(f"kinds must be a list of names, or expressions by name; got {given!r}.")
    found: dict[str, Kind] = {}
    for item in [given] if isinstance(given, Mapping) else given:
        if isinstance(item, Mapping):
            for name, value in item.items():
                found.update(_named(name) if value is None else {name: own_kind(name, value)})
        elif item == ALL:
            found.update(KINDS)
        else:
            found.update(_named(item))
    return found


def _named(name: Any) -> dict[str, Kind]:
    if name not in KINDS:
        raise ValueError(
            f"There is no kind of personal data {name!r}; {suggestion(str(name), KINDS)} A kind of your own is given with an "
            rf'expression: kinds={{"staff number": r"E\d{{6}}"}}.'
        )
    return {name: KINDS[name]}


def own_kind(name: Any, expressions: Any) -> Kind:
    """A kind made of regular expressions.

    They are looked for anywhere in the text, as it is and in plain form; ``\\b`` at an end means that no letter, digit or
    underscore stands there.

    Raises:
        ValueError: naming the kind, if an expression is invalid, may match nothing at all, or is too large.
    """
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"A kind of personal data needs a name that is a text, got {name!r}.")
    if name in KINDS or name == ALL:
        raise ValueError(f"There is a kind {name!r} already; give yours another name, such as {'my ' + name!r}.")
    patterns = [expressions] if isinstance(expressions, str) else expressions
    if not isinstance(patterns, list | tuple) or not patterns or not all(isinstance(one, str) for one in patterns):
        raise ValueError(
            f"The kind {name!r} of PII needs a regular expression, or a list of them, such as "
            rf'{{"staff number": r"E\d{{6}}"}}; got {expressions!r}.'
        )
    return _kind(name, tuple(patterns))


@lru_cache(maxsize=256)
def _kind(name: str, expressions: tuple[str, ...]) -> Kind:
    return Kind(name, tuple(_pattern(name, one) for one in expressions), raw=True)


def _pattern(name: str, expression: str) -> Pattern:
    inner = expression
    before = inner.startswith(r"\b")
    inner = inner[2:] if before else inner
    behind = inner.endswith(r"\b") and not inner.endswith(r"\\b")
    inner = inner[:-2] if behind else inner
    try:
        language = regex(inner)
    except (ValueError, AutomatonTooLarge) as error:
        raise ValueError(f"The kind {name!r} of PII cannot be used. {error}") from None
    if _asserts(_parser.parse(inner)):
        raise ValueError(
            f"The expression {expression!r} of the kind {name!r} has ^, $, \\A, \\Z, \\B or an inner \\b; a kind is looked for "
            "anywhere in a text, so leave them out (\\b may stand at its beginning and end)."
        )
    if language.accepting[0]:
        raise ValueError(
            f"The expression {expression!r} of the kind {name!r} also matches the empty text, which is everywhere; write what "
            "must be there, with + in place of *."
        )
    return Pattern(f"(?:{inner})", (r"\w",) if before else (), (r"\w",) if behind else ())


def _asserts(tree: Any) -> bool:
    """Whether a parsed expression looks at the place where it stands."""
    for kind, value in tree:
        if kind is op.AT:
            return True
        inner: list[Any] = []
        if kind is op.SUBPATTERN:
            inner = [value[-1]]
        elif kind is op.BRANCH:
            inner = value[1]
        elif kind in (op.MAX_REPEAT, op.MIN_REPEAT):
            inner = [value[2]]
        if any(_asserts(one) for one in inner):
            return True
    return False
