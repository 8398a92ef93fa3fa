"""Docstrings as the pages want them: our reStructuredText habits become Markdown, and public names become links."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

ROLE = re.compile(r":\w+:`~?([\w.]+)`")
LITERAL_BLOCK = re.compile(r"::(?=\n\n)")
EXAMPLE = re.compile(r"^Example:$", re.MULTILINE)


class MarkdownDocstrings(Extension):
    """Rewrites every docstring before it is parsed."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Called by griffe for each module, class, function and attribute."""
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(text: str) -> str:
    """Roles become code, ``::`` before an indented block becomes a colon, an example is one of Google's "Examples"."""
    text = ROLE.sub(lambda found: f"`{found[1]}`", text)
    return EXAMPLE.sub("Examples:", LITERAL_BLOCK.sub(":", text))
