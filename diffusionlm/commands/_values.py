"""Values of ``key=value`` arguments: one rule for all keys, and nothing is read as something else without a word.

=====================  ==============================================================================================
written                read as
=====================  ==============================================================================================
``'...'``, ``"..."``   the text between the quotes; a backslash stands in front of a quote of the same kind
``[a, b]``             a list, where the setting may be one
``{a: b}``             a mapping, where the setting may be one
``3``, ``0.5``         a number, ``true`` and ``false`` as yes and no, ``null`` as nothing: where the setting is no text
anything else          the text as it stands: letters of any script, apostrophes, ( ) ^ $ ? + * , = and spaces
=====================  ==============================================================================================

What the setting is tells its `Kind`; a value that could be two things is refused with the way to write each.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_INTEGER = re.compile(r"[+-]?\d+(_\d+)*", re.ASCII)
_FLOAT = re.compile(r"[+-]?(\d+(_\d+)*\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_CONSTANTS = {"true": True, "false": False, "null": None}


@dataclass(frozen=True)
class Kind:
    """Kind of a setting's value.

    Attributes:
        text: texts only: numbers, true and null are words of it.
        listed: a list of texts, too; one text stands for a list of one.
        optional: ``null`` stands for nothing.
        mapped: mappings, too, alone or in the list.
        pattern: the texts are regular expressions, in which brackets stand for characters.
    """

    text: bool = False
    listed: bool = False
    optional: bool = False
    mapped: bool = False
    pattern: bool = False


ANY = Kind()
TEXT = Kind(text=True)
OPTIONAL_TEXT = Kind(text=True, optional=True)


@dataclass(frozen=True)
class Word:
    """A part of a value without quotes, as it was typed; its setting decides what it is."""

    text: str


@dataclass(frozen=True)
class Group:
    """A list in brackets or a mapping in braces, and how it was typed."""

    items: list[Any] | dict[str, Any]
    typed: str


Tree = str | Word | Group


def quoted(text: str) -> str:
    """A text between quotes, from which `read_value` takes it as it is."""
    mark = "'" if '"' in text and "'" not in text else '"'
    return mark + re.sub(rf"(\\*)({mark}|$)", lambda m: 2 * m[1] + ("\\" + mark if m[2] else ""), text) + mark


def read_value(key: str, typed: str, kind: Kind | Callable[[tuple[str, ...]], Kind] = ANY) -> Any:
    """The value of ``key=typed``.

    Args:
        key: the setting, for messages.
        typed: what stands behind the "=".
        kind: of the setting; for a mapping a function from the path within the value to the kind that stands there.

    Raises:
        ValueError: if it can be read in more ways than one, or a bracket stays open, with what to write instead.
    """
    return _settled(key, _tree(key, typed), kind if callable(kind) else lambda path: kind, ())


def parse_group(typed: str) -> Group | None:
    """The list or mapping that a value is from its first character to its last; None where it is none."""
    found = _group(typed, 0)
    return found[0] if found is not None and found[1] == len(typed) else None


def plain(word: str) -> Any:
    """A word of a setting that is no text: a number, true, false, null, or the word itself."""
    if word.lower() in _CONSTANTS:
        return _CONSTANTS[word.lower()]
    if _INTEGER.fullmatch(word):
        return int(word)
    if _FLOAT.fullmatch(word) or word.lower().lstrip("+-") in ("inf", "nan"):
        return float(word)
    return word


# ---- what was typed, as a tree ------------------------------------------------------------------------------------------


def _tree(key: str, typed: str) -> Tree:
    inner = _quotation(typed, 0)
    if inner is not None and inner[1] == len(typed):
        return inner[0]
    return parse_group(typed) or Word(typed)


def _quotation(text: str, start: int) -> tuple[str, int] | None:
    """The text between quotes that begins at ``start``, and where what follows begins; None if there is none."""
    mark = text[start : start + 1]
    if mark not in ("'", '"'):
        return None
    for found in re.finditer(rf"(\\*){mark}", text[start + 1 :]):
        if len(found[1]) % 2 == 0:
            inner = text[start + 1 : start + 1 + found.end()]
            end = start + 1 + found.end()
            return re.sub(rf"(\\*){mark}", lambda m: m[1][: len(m[1]) // 2] + mark * (len(m[1]) % 2), inner), end
    return None


def _group(text: str, start: int) -> tuple[Group, int] | None:
    """The list or mapping that begins at ``start``, and where what follows begins; None if there is none or it stays open."""
    mark = text[start : start + 1]
    if mark not in ("[", "{"):
        return None
    close = "]" if mark == "[" else "}"
    items: Any = [] if mark == "[" else {}
    at = _skip(text, start + 1)
    if text[at : at + 1] == close:
        return Group(items, text[start : at + 1]), at + 1
    while at < len(text):
        if mark == "{":
            found = _item(text, at, ":,}")
            name, at = found
            if text[at : at + 1] != ":" or isinstance(name, Group):
                return None
            value, at = _item(text, _skip(text, at + 1), ",}")
            items[name.text if isinstance(name, Word) else name] = value
        else:
            value, at = _item(text, at, ",]")
            items.append(value)
        if text[at : at + 1] == close:
            return Group(items, text[start : at + 1]), at + 1
        if text[at : at + 1] != ",":
            return None
        at = _skip(text, at + 1)
        if text[at : at + 1] == close:  # a comma behind the last
            return Group(items, text[start : at + 1]), at + 1
    return None


def _item(text: str, start: int, ends: str) -> tuple[Tree, int]:
    """Text from ``start`` up to one of ``ends``, and the place of that end."""
    for read in (_quotation, _group):
        found = read(text, start)
        if found is not None:
            end = _skip(text, found[1])
            if text[end : end + 1] in ends and end < len(text):
                return found[0], end
    depth, at = 0, start
    while at < len(text):  # brackets within a word belong to it, as in [0-9]+ and E\d{6}
        char = text[at]
        if depth == 0 and char in ends and not (char == ":" and text[at + 1 : at + 2] in ("/", "\\")):  # http://, C:\\
            break
        depth += (char in "[{") - (char in "]}")
        if depth < 0:
            break
        at += 1
    return Word(text[start:at].strip()), at


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


# ---- what a setting makes of it ---------------------------------------------------------------------------------------


def _settled(key: str, tree: Tree, kind_at: Callable[[tuple[str, ...]], Kind], path: tuple[str, ...]) -> Any:
    kind = kind_at(path)
    where = ".".join((key, *path))
    if isinstance(tree, Group) and isinstance(tree.items, dict) and (kind.mapped or not kind.text):
        return {plain_key: _settled(key, item, kind_at, (*path, plain_key)) for plain_key, item in tree.items.items()}
    if not kind.text:
        if isinstance(tree, Group):
            return [_settled(key, item, kind_at, path) for item in tree.items]
        if isinstance(tree, Word) and _open(tree.text):
            raise ValueError(
                f"{where}={tree.text} has a bracket that is not closed; put the whole of the setting between quotes, as in "
                f"'{where}=[one, two]', and a text in double quotes within them, as in {_shell(where, quoted(tree.text))}."
            )
        return plain(tree.text) if isinstance(tree, Word) else tree
    if isinstance(tree, Group) and kind.listed and isinstance(tree.items, list):
        if kind.pattern and any(not isinstance(item, str) for item in tree.items):
            listing = "[" + ", ".join(quoted(_typed(item)) for item in tree.items) + "]"
            raise ValueError(
                f"{where}={tree.typed} can be one pattern or a list of patterns; write {_shell(where, quoted(tree.typed))} "
                f"for the pattern, or {_shell(where, listing)} for the list."
            )
        mapped = [isinstance(item, Group) and isinstance(item.items, dict) and kind.mapped for item in tree.items]
        return [
            _settled(key, item, kind_at, path) if deep else _typed(item)
            for item, deep in zip(tree.items, mapped, strict=True)
        ]
    if isinstance(tree, Word):
        if tree.text == "null" and kind.optional:
            return None
        if tree.text == "null" and not path:
            none = f"{_shell(where, '[]')} for none, or " if kind.listed else ""
            raise ValueError(f"{where} cannot be null; write {none}{_shell(where, quoted('null'))} for the word.")
        if kind.listed and tree.text[:1] == "[" and _open(tree.text):
            raise ValueError(
                f"{where}={tree.text} has a bracket that is not closed; for a list, put all of it between quotes, as in "
                f'\'{where}=["one", "two"]\', and for this text write {_shell(where, quoted(tree.text))}.'
            )
    return _typed(tree)


def _open(word: str) -> bool:
    return any(word[:1] == a and word.count(a) != word.count(b) for a, b in ("[]", "{}"))


def _typed(tree: Tree) -> str:
    return tree if isinstance(tree, str) else tree.text if isinstance(tree, Word) else tree.typed


def _shell(key: str, value: str) -> str:
    import shlex

    return shlex.quote(f"{key}={value}")
