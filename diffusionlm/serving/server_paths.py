"""Paths of the server taken out of what its clients read: sentences for Python name files by their whole path."""

from __future__ import annotations

import re
import sys
import tempfile
from functools import lru_cache
from pathlib import Path

_SERVED: set[str] = set()


def keep_back(folder: str | Path) -> None:
    """Counts a folder, such as that of a model, among those whose files `without_paths` names by their last name."""
    if len((whole := Path(folder).resolve()).parts) > 1:
        _SERVED.add(str(whole))


def without_paths(sentence: str) -> str:
    """A sentence in which files of this machine stand by their last name.

    Only what begins like the folders that this process runs in or from, or that `keep_back` was told, is taken for a path, so
    that texts of clients stay as they are.

    Args:
        sentence: what a client is to read.

    Example:
        >>> without_paths(f"It is defined in {Path(__file__).resolve()}:12.")
        'It is defined in server_paths.py:12.'
    """
    roots = sorted({*_roots(), *_SERVED}, key=len, reverse=True)
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
