"""Settings of plugins as their sources declare them: nothing is imported, so that a typo shows before PyTorch is loaded."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import lru_cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from diffusionlm.errors import UnknownPlugin, suggestion

GROUP = "diffusionlm.guidance"
_HOME = Path(__file__).resolve().parents[1]
_BASE = "Guidance"


def settings_of(plugin: str) -> dict[str, str] | None:
    """Name and annotation of every setting, own ones first; None where the source does not tell.

    Args:
        plugin: a registered name, the dotted name of a class of ours (as ``_target_`` has it), or the path of a Python file
            with one plugin class.

    Example:
        >>> settings_of("length")["words"]
        'Range | None'
    """
    found = _class_in(Path(plugin)) if plugin.endswith(".py") else _class_named(plugin)
    if found is None:
        return None
    settings: dict[str, str] = {}
    for _, statement in _lineage(*found):
        own = {}
        for line in statement.body:
            if isinstance(line, ast.FunctionDef) and line.name == "__init__":
                return None
            if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                annotation = ast.unparse(line.annotation)
                if not annotation.startswith("ClassVar") and not line.target.id.startswith("_"):
                    own[line.target.id] = annotation
        settings = {**settings, **{name: kind for name, kind in own.items() if name not in settings}}
    return settings


def check_name(plugin: str) -> None:
    """Raises UnknownPlugin unless a built-in file or an installed package gives that name."""
    known = {*_registered_names(), *(point.name for point in metadata.entry_points(group=GROUP))}
    if plugin not in known:
        raise UnknownPlugin(f"There is no guidance plugin {plugin!r}; {suggestion(plugin, known)}")


def check_setting(plugin: str, setting: str) -> None:
    """Raises ValueError, with the nearest name, where the plugin's source says that it has no such setting."""
    known = settings_of(plugin)
    if known is not None and setting not in known:
        raise ValueError(f"The plugin {_title(plugin)!r} has no setting {setting!r}; {suggestion(setting, known)}")


def _title(plugin: str) -> str:
    """What messages call it: the registered name, or that of the class."""
    found = _class_in(Path(plugin)) if plugin.endswith(".py") else _class_named(plugin)
    if found is None or plugin in _registered_names():
        return plugin
    names = {kind: name for name, (_, kind) in _registered_names().items()}
    return names.get(found[1].name, found[1].name)


# ---- sources ------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _registered_names() -> dict[str, tuple[Path, str]]:
    """Registered name -> the file and the class that have it."""
    found = {}
    for path, source in _sources():
        for name, kind in re.findall(r'^@register\("([\w-]+)"\)\s+(?:@.*\s+)*class (\w+)', source, re.MULTILINE):
            found[name] = (path, kind)
        for name in re.findall(r'^@register\("([\w-]+)"\)\s+def \w+', source, re.MULTILINE):
            found[name] = (path, "")
    return found


@lru_cache(maxsize=1)
def _sources() -> list[tuple[Path, str]]:
    return [(path, path.read_text(encoding="utf-8")) for path in sorted(_HOME.rglob("*.py"))]


@lru_cache(maxsize=1)
def _home_of() -> dict[str, Path]:
    """Class -> its file, over all files of guidance."""
    return {name: path for path, text in _sources() for name in re.findall(r"^class (\w+)", text, re.MULTILINE)}


@lru_cache(maxsize=64)
def _classes(path: Path) -> dict[str, ast.ClassDef]:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    except (OSError, SyntaxError, UnicodeDecodeError):  # who imports it says so
        return {}
    return {statement.name: statement for statement in tree.body if isinstance(statement, ast.ClassDef)}


def _class_named(name: str) -> tuple[Path, ast.ClassDef] | None:
    if name in _registered_names():
        path, kind = _registered_names()[name]
    elif name.startswith("diffusionlm.guidance."):
        kind = name.rpartition(".")[2]
        if kind not in _home_of():
            return None
        path = _home_of()[kind]
    else:
        place = _package_file(name)
        if place is None:
            return None
        path, kind = place
    statement = _classes(path).get(kind)
    return None if statement is None else (path, statement)


def _package_file(name: str) -> tuple[Path, str] | None:
    """File and class of a plugin that an installed package brings."""
    for point in metadata.entry_points(group=GROUP, name=name):
        if "." in point.module:  # to find it would import the package around it
            return None
        spec = find_spec(point.module)
        return (Path(spec.origin), point.attr) if spec is not None and spec.origin else None
    return None


def _class_in(path: Path) -> tuple[Path, ast.ClassDef] | None:
    found = [
        kind
        for name, kind in _classes(path).items()
        if not name.startswith("_") and any(name == _BASE for name, _ in _lineage(path, kind))
    ]
    return (path, found[0]) if len(found) == 1 else None


def _lineage(path: Path, statement: ast.ClassDef) -> Iterator[tuple[str, ast.ClassDef]]:
    """A class and its bases, the nearest first, as far as their sources are found."""
    yield statement.name, statement
    for base in statement.bases:
        name = ast.unparse(base).rpartition(".")[2]
        home = path if name in _classes(path) else _home_of().get(name)
        if home is not None and name != statement.name:
            yield from _lineage(home, _classes(home)[name])
