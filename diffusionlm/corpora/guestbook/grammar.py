"""A small generative grammar: named pools of patterns, chosen by context, with agreement and typed spans.

Pools are written as text, one subject a module::

    == thing food pub
    fish and chips@p; steak pie
    == pred food praise
    {was} cooked [to perfection|with care]

A heading gives a name and the modifiers under which its entries apply; entries are separated by semicolons or lines.
In an entry ``[a|b]`` is a choice (``[a|]``: optional), ``{name}`` an entry of a pool, ``{!kind}`` personal data,
``<word>`` a rude word and ``<!word>`` an obscene one. The ending ``@p``, ``@m``, ``@f`` or ``@n`` of a noun says what
agrees with it: plural, he, she, it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Union

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Part = Union[str, "Slot", "Choice"]
Sequence_ = tuple[Part, ...]

_HEADING = re.compile(r"^==\s*(.+?)\s*$")
_TOKEN = re.compile(r"\{([^{}]+)\}|<(!?)([^<>]+)>|([\[\]|])|([^\[\]|{}<>]+)")


@dataclass(frozen=True)
class Slot:
    """A place that is filled when the text is made: the name of a pool, and what it agrees with or is."""

    name: str
    argument: str = ""


@dataclass(frozen=True)
class Choice:
    """Alternatives, drawn equally often."""

    options: tuple[Sequence_, ...]


@dataclass(frozen=True)
class Entry:
    """One entry of a pool: its parts, and the agreement mark of a noun ("" if it has none)."""

    parts: Sequence_
    mark: str = ""


class Grammar:
    """Pools of entries by name and context.

    Args:
        sources: texts in the notation of this module.

    Raises:
        ValueError: if a text does not follow the notation; the message shows the entry.
    """

    def __init__(self, sources: Iterable[str]) -> None:
        self._pools: dict[str, list[tuple[frozenset[str], list[Entry]]]] = {}
        for source in sources:
            for name, modifiers, entries in _read(source):
                self._pools.setdefault(name, []).append((modifiers, entries))
        self._cache: dict[tuple[str, frozenset[str]], Sequence[Entry]] = {}

    @property
    def names(self) -> frozenset[str]:
        """The names of all pools."""
        return frozenset(self._pools)

    def entries(self, name: str, context: frozenset[str]) -> Sequence[Entry]:
        """All entries of a pool whose modifiers are part of the context; may be none.

        Raises:
            KeyError: if no pool has this name.
        """
        key = (name, context)
        if key not in self._cache:
            if name not in self._pools:
                raise KeyError(f"The grammar has no pool {name!r}.")
            self._cache[key] = [e for modifiers, entries in self._pools[name] if modifiers <= context for e in entries]
        return self._cache[key]

    def all_entries(self) -> Iterable[tuple[str, frozenset[str], Entry]]:
        """Every entry with its pool and modifiers."""
        for name, groups in self._pools.items():
            for modifiers, entries in groups:
                for entry in entries:
                    yield name, modifiers, entry


def _read(source: str) -> Iterable[tuple[str, frozenset[str], list[Entry]]]:
    name, modifiers, entries = "", frozenset[str](), list[Entry]()
    for line in source.strip().splitlines():
        heading = _HEADING.match(line)
        if heading:
            if name:
                yield name, modifiers, entries
            name, *rest = heading[1].split()
            modifiers, entries = frozenset(rest), []
            continue
        for text in line.split(";"):
            if text.strip():
                if not name:
                    raise ValueError(f"The entry {text.strip()!r} stands before the first heading '== name'.")
                entries.append(parse(text.strip()))
    if name:
        yield name, modifiers, entries


@cache
def parse(text: str) -> Entry:
    """One entry in the notation of this module.

    Raises:
        ValueError: if a bracket is not closed.
    """
    mark = ""
    if len(text) > 2 and text[-2] == "@":
        text, mark = text[:-2], text[-1]
    if mark not in ("", "p", "m", "f", "n"):
        raise ValueError(f"Unknown agreement mark '@{mark}' in {text!r}; allowed are @p, @m, @f, @n.")
    stack: list[list[list[Part]]] = [[[]]]
    position = 0
    for found in _TOKEN.finditer(text):
        if found.start() != position:
            break
        position = found.end()
        slot, obscene, rude, bracket, plain = found.groups()
        if slot:
            name, _, argument = slot.partition(" ")
            stack[-1][-1].append(Slot(name, argument))
        elif rude:
            stack[-1][-1].append(Slot("<", "OBSCENE " + rude if obscene else "INSULT " + rude))
        elif plain:
            stack[-1][-1].append(plain)
        elif bracket == "[":
            stack.append([[]])
        elif bracket == "|" and len(stack) > 1:
            stack[-1].append([])
        elif bracket == "]" and len(stack) > 1:
            options = tuple(tuple(option) for option in stack.pop())
            stack[-1][-1].append(Choice(options))
        else:
            raise ValueError(f"A bracket too many in {text!r} at character {found.start()}.")
    if position != len(text) or len(stack) > 1:
        raise ValueError(f"A bracket is not closed in {text!r} (read up to character {position}).")
    return Entry(tuple(stack[0][0]), mark)
