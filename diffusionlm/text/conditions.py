"""Conditions of fields, ``name[The Mill], food[Italian]``: the written form of what is known about a text."""

from __future__ import annotations

import re

_FIELD = re.compile(r"([^\s\[\],;][^\[\],;]*)\[([^\[\]]*)\]")


def fields_of(condition: str) -> list[tuple[str, str]]:
    """Names and values of a condition such as ``name[The Mill], food[Italian]``; empty for other text."""
    return [(name.strip(), value.strip()) for name, value in _FIELD.findall(condition)]
