"""JSON from people who are not trusted: how deep it goes, and fields that are given twice."""

from __future__ import annotations

from typing import Any

MOST_NESTED = 100  # levels


def is_deeper(value: Any, most: int) -> bool:
    """Whether lists and mappings stand more than ``most`` deep inside one another."""
    level = [value]
    for _ in range(most):
        level = [
            inner
            for item in level
            if isinstance(item, list | dict)
            for inner in (item.values() if isinstance(item, dict) else item)
        ]
    return any(isinstance(item, list | dict) for item in level)


def no_field_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of its fields, for `json.loads`.

    Raises:
        ValueError: naming a field that is given twice.
    """
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the field {twice[:60]!r} is given twice in one object")
    return fields
