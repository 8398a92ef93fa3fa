"""Kinds of the settings of a command: from the defaults in ``configs/``, and from what plugins declare."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any

from diffusionlm.commands._values import ANY, Kind, parse_group
from diffusionlm.guidance.registry.signatures import settings_of

# Texts whose default is null, "???" or an interpolation, so that it does not show what they are.
_TEXTS = frozenset(
    (
        "init",
        "teacher",
        "cache",
        "device",
        "out",
        "export",
        "folder",
        "data.root",
        "data.name",
        "data.prompt_field",
        "data.where",
    )
) | {"data.subset", "data.revision"}
_LISTS = frozenset(("prompt", "tasks", "sequence_labels", "token_labels", "data.span_field"))
# Texts or lists of them, or mappings {path: FILE, weight: 2} that say more of each.
_SOURCES = frozenset(("data.train", "data.valid", "data.without"))
_NULLABLE = frozenset(("cache", "checkpoint", "init"))  # null means something though the default is a text
# Where "${name}" stands for another setting; it is a text everywhere else.
INTERPOLATED = frozenset(("name", "folder", "export", "cache", "out"))

KindAt = Callable[[tuple[str, ...]], Kind]


def kind_of_key(key: str, default: Any, guidance: Any, typed: str) -> KindAt:
    """The kind of what stands at each place within the value of a setting.

    Args:
        key: the setting.
        default: its value so far.
        guidance: what is set for ``guidance`` so far, plain data.
        typed: the value as it was written.
    """
    parts = key.split(".")
    if parts[0] == "guidance":
        return _kinds_of_guidance(parts[1:], guidance if isinstance(guidance, Mapping) else {}, typed)
    kind = _kind_of_default(key, default)
    if key in _SOURCES:
        return lambda path: kind if not path else Kind(text=path[-1] in ("path", "format", "condition", "split"))
    return lambda path: kind if not path else ANY


def kind_of_annotation(annotation: str) -> Kind:
    """The kind of a plugin's setting.

    Example:
        >>> kind_of_annotation("Sequence[str] | None")
        Kind(text=True, listed=True, optional=True, mapped=False, pattern=False)
    """
    found = {"text": False, "listed": False, "optional": False, "mapped": False, "pattern": "Pattern" in annotation}
    for part in _members(ast.parse(annotation, mode="eval").body):
        words = ast.unparse(part)
        if words == "None":
            found["optional"] = True
        elif words in ("str", "Path", "Pattern"):
            found["text"] = True
        elif words in _lists_of_texts():
            found["text"] = found["listed"] = True
        else:
            return ANY
    return Kind(**found)


def _lists_of_texts() -> set[str]:
    return {f"{many}[{one}]" for many in ("Sequence", "list", "Iterable") for one in ("str", "Pattern")} | {
        "tuple[str, ...]"
    }


def _members(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BinOp):
        return [*_members(node.left), *_members(node.right)]
    return [node]


def _kind_of_default(key: str, default: Any) -> Kind:
    if key in _SOURCES:
        return Kind(text=True, listed=True, optional=True, mapped=True)
    if key in _LISTS:
        return Kind(text=True, listed=True, optional=True)
    if key in _TEXTS or (isinstance(default, str) and default != "???" and not default.startswith("${")):
        return Kind(text=True, optional=key in _NULLABLE or default is None)
    if isinstance(default, list) and default and all(isinstance(item, str) for item in default):
        return Kind(text=True, listed=True)
    return ANY


def _kinds_of_guidance(below: list[str], guidance: Mapping[str, Any], typed: str) -> KindAt:
    """Kinds within ``guidance`` (``below`` is empty) or one of its settings."""
    group = parse_group(typed)
    given = group.items if group is not None and isinstance(group.items, dict) and not below else guidance
    name = given.get("_target_") or given.get("name")
    plugin = getattr(name, "text", name)  # a word without quotes, or a text

    def kind_at(path: tuple[str, ...]) -> Kind:
        place = (*below, *path)
        if not place or (plugin is None and len(place) < 2):
            return ANY
        owner, rest = (plugin, place) if plugin is not None else (place[0], place[1:])
        declared = (settings_of(str(owner)) or {}).get(rest[0])
        return kind_of_annotation(declared) if declared is not None and len(rest) == 1 else ANY

    return kind_at
