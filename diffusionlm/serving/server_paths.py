"""Paths of the server taken out of what its clients read: sentences for Python name files by their whole path."""

from __future__ import annotations

import re
import sys
import tempfile
from functools import lru_cache
from pathlib import Path


def without_paths(sentence: str, *more: str | Path) -> str:
    """A sentence in which files of this machine stand by their last name.

    Only what begins like the folders that this process runs in or from is taken for a path, so that texts of clients stay
    as they are.

    Args:
        sentence: what a client is to read.
        more: folders beside those of this process.

    Example:
        >>> without_paths(f"It is defined in {Path(__file__).resolve()}:12.", "/srv/models")
        'It is defined in server_paths.py:12.'
    """
    roots = sorted({*_roots(), *(str(Path(one).resolve()) for one in more)}, key=len, reverse=True)
    pattern = rf"(?<![\w/.])(?:{'|'.join(map(re.escape, roots))})(?:[/\\][^\s'\"`,;()\[\]<>]*)?"
    return re.sub(pattern, lambda match: _last(match.group()), sentence)


def _last(path: str) -> str:
    name, stop = path.rstrip("/\\"), ""
    while name.endswith((".", ":", "?", "!")):
        name, stop = name[:-1], name[-1] + stop
    return re.split(r"[/\\]", name)[-1] + stop


@lru_cache(maxsize=1)
def _roots() -> tuple[str, ...]:
    """Folders that this process runs in or from: of the package, of Python, of the user, for temporary files."""
    package = Path(__file__).resolve().parents[2]
    found = {package, Path(sys.prefix), Path(sys.base_prefix), Path.home(), Path.cwd(), Path(tempfile.gettempdir())}
    found |= {Path(one) for one in sys.path if one and Path(one).is_absolute()}
    return tuple(str(one) for one in found if len(one.parts) > 1)
