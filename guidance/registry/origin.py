"""Where a plugin stands, for errors and listings."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any


def origin_of(kind: Any) -> str:
    """ "file:line" of a class or function, or its module where the source is not known."""
    function = kind.__dict__.get("energy") if isinstance(kind, type) else kind
    function = getattr(function, "__func__", function)
    try:
        return f"{Path(inspect.getsourcefile(kind) or '?').resolve()}:{inspect.getsourcelines(kind)[1]}"
    except (TypeError, OSError):
        code = getattr(function, "__code__", None)
        if code is not None:
            return f"{code.co_filename}:{code.co_firstlineno}"
        return f"{getattr(kind, '__module__', '?')}.{getattr(kind, '__qualname__', kind)}"
