"""The registry: plugins by name, from files here and in the folders below, from installed packages, and from callers' code.

Files and packages are found without being imported: a file by reading its source for ``@register("name")``, a package by
its entry point in the group ``diffusionlm.guidance``. They are imported when their name is first asked for.
"""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from diffusionlm.errors import UnknownPlugin, suggestion
from diffusionlm.guidance.guidance import API_VERSION, READS, Guidance
from diffusionlm.guidance.registry.function_plugin import class_from_function
from diffusionlm.guidance.registry.origin import origin_of
from diffusionlm.guidance.strategies.strategy import make_strategy

GROUP = "diffusionlm.guidance"
_HOME = Path(__file__).resolve().parents[1]
Plugin = TypeVar("Plugin", bound=Any)


@dataclass(frozen=True)
class Entry:
    """A plugin that is known by name.

    Attributes:
        name: its name.
        origin: where it comes from, for people: "file:line", or a package with its version.
        kind: "built-in", "package" or "registered" (by the caller's code).
        target: the class, or the module and attribute to import it from.
    """

    name: str
    origin: str
    kind: str
    target: type[Guidance] | str


_registered: dict[str, Entry] = {}


def register(name: str) -> Callable[[Plugin], Plugin]:
    """Decorator that gives a plugin class, or a plain function of the state, its name.

    Args:
        name: lower-case words joined by hyphens or underscores.

    Raises:
        ValueError: if the name is taken (naming both places) or malformed.
        TypeError: if the class is off the contract, naming the method.
    """
    if not isinstance(name, str) or not name.replace("-", "").replace("_", "").isalnum() or name != name.lower():
        raise ValueError(
            f"register takes a name of lower-case words joined by hyphens, as in @register('no-shouting'); got {name!r}."
        )

    def add(plugin: Plugin) -> Plugin:
        kind: Any = plugin if isinstance(plugin, type) else class_from_function(plugin)
        validate(kind, name)
        _add(name, kind)
        kind.name = name
        return plugin

    return add


def validate(kind: Any, name: str) -> None:
    """Checks a class against the contract.

    Raises:
        TypeError: naming the method or attribute that is off, and where the class stands.
    """
    where = f"the plugin {name!r} ({origin_of(kind)})"
    if not (isinstance(kind, type) and issubclass(kind, Guidance)):
        raise TypeError(f"{where} must be a subclass of diffusionlm.guidance.Guidance or a function of the state.")
    if kind.energy is Guidance.energy:
        raise TypeError(
            f"{where} lacks the method energy(self, state), which returns one number for each sample, (B,)."
        )
    for method, arguments in (("energy", 1), ("bind", 1), ("measure", 1)):
        _takes(getattr(kind, method), arguments, f"{where}: {method}", kind.__dict__.get(method))
    if not isinstance(kind.api_version, int) or kind.api_version > API_VERSION:
        raise TypeError(
            f"{where} was written for version {kind.api_version!r} of the contract, this library has {API_VERSION}; upgrade "
            "diffusionlm, or set api_version."
        )
    unknown = [item for item in kind.reads if item not in READS] if not isinstance(kind.reads, str) else [kind.reads]
    if unknown:
        raise TypeError(f"{where}: reads must be a tuple out of {READS}, got {kind.reads!r}.")
    default: Any = kind.__dataclass_fields__["strategy"].default
    try:
        make_strategy(default)
    except ValueError as error:
        raise TypeError(f"{where}: strategy: {error}") from None


def _takes(function: Callable[..., Any], count: int, what: str, own: Any) -> None:
    parameters = list(inspect.signature(function).parameters.values())
    if not isinstance(own, staticmethod | classmethod):
        parameters = parameters[1:]
    needed = [p for p in parameters if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    free = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required_keywords = [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    if len(needed) > count or (len(positional) < count and not free) or required_keywords:
        takes = ", ".join(str(p) for p in parameters) or "nothing"
        raise TypeError(f"{what} must take one argument besides self; it takes {takes}.")


def _add(name: str, kind: type[Guidance]) -> None:
    entry = Entry(name, origin_of(kind), "registered", kind)
    other = _registered.get(name)
    if other is not None:
        assert isinstance(other.target, type)
        same = (other.target.__module__, other.target.__qualname__) == (kind.__module__, kind.__qualname__)
        if not same:  # a module that is run again (a notebook cell) replaces its own plugin
            raise _duplicate(name, other.origin, entry.origin)
    builtin = built_in_files().get(name)
    if builtin is not None and not _is_file(kind, builtin.origin):
        raise _duplicate(name, builtin.origin, entry.origin)
    for package in _packages().get(name, []):
        module = str(package.target).partition(":")[0]
        if kind.__module__.partition(".")[0] != module.partition(".")[0]:
            raise _duplicate(name, package.origin, entry.origin)
    _registered[name] = entry


def _is_file(kind: type, origin: str) -> bool:
    return origin_of(kind).rpartition(":")[0] == origin.rpartition(":")[0]


def _duplicate(name: str, first: str, second: str) -> ValueError:
    return ValueError(f"The plugin name {name!r} is taken: {first} has it, and {second} wants it; rename one of them.")


def unregister(name: str) -> None:
    """Forgets a plugin that code registered; built-in files and packages stay findable."""
    _registered.pop(name, None)


def registered() -> list[Entry]:
    """What code has registered, in that order."""
    return list(_registered.values())


# ---- finding --------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def built_in_files() -> dict[str, Entry]:
    """Plugins in the files of this folder and the folders in it, by reading their sources.

    Raises:
        ValueError: if two files give one name.
    """
    return files_in(_HOME, "diffusionlm.guidance")


def files_in(folder: Path, package: str) -> dict[str, Entry]:
    """Plugins in the files below a folder, by reading their sources; nothing is imported.

    Raises:
        ValueError: if two files give one name.
    """
    found: dict[str, Entry] = {}
    for path in sorted(folder.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        if "@register(" not in source:
            continue
        inner = path.relative_to(folder).with_suffix("").parts
        module = ".".join([package, *inner]).removesuffix(".__init__")
        for node in ast.walk(ast.parse(source, str(path))):
            if not isinstance(node, ast.ClassDef | ast.FunctionDef):
                continue
            for decorator in node.decorator_list:
                match decorator:
                    case ast.Call(func=ast.Name(id="register"), args=[ast.Constant(value=str(name))]):
                        entry = Entry(name, f"{path}:{node.lineno}", "built-in", f"{module}:{node.name}")
                        if name in found:
                            raise _duplicate(name, found[name].origin, entry.origin)
                        found[name] = entry
    return found


def _packages() -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = {}
    for point in metadata.entry_points(group=GROUP):
        package = point.dist
        origin = f"package {package.name} {package.version} ({point.value})" if package else point.value
        entries = found.setdefault(point.name, [])
        if all(str(other.target) != point.value or other.origin != origin for other in entries):
            entries.append(Entry(point.name, origin, "package", point.value))
    return found


def _candidates() -> dict[str, list[Entry]]:
    found = {name: [entry] for name, entry in built_in_files().items()}
    for name, entries in _packages().items():
        found[name] = found.get(name, []) + entries
    for name, entry in _registered.items():
        found.setdefault(name, [entry])
    return dict(sorted(found.items()))


def available() -> dict[str, Entry]:
    """Every known plugin by name, in alphabetical order; nothing is imported. See `problems` for names given twice.

    Example:
        >>> "phrases" in available()
        True
    """
    return {name: entries[0] for name, entries in _candidates().items()}


def get(name: str) -> type[Guidance]:
    """The class of a plugin; imports it if need be.

    Raises:
        UnknownPlugin: if there is none, with the nearest name.
        ImportError: if the file or package that has it fails to import, naming it and why.
        ValueError: if two places give the name, naming both.

    Example:
        >>> get("length")(words=12).words
        12
    """
    known = _candidates()
    if name not in known:
        hint = suggestion(name, known)
        if name.endswith(".py") or "/" in name:
            hint = (
                "a plugin of your own is given as an object in Python, by its name once its package is installed, or as "
                "guidance=FILE.py to 'diffusionlm generate'"
            )
        raise UnknownPlugin(f"There is no guidance plugin {name!r}; {hint}")
    if len(known[name]) > 1:
        raise _duplicate(name, known[name][0].origin, known[name][1].origin)
    if name in _registered:
        return load(_registered[name])
    return load(known[name][0])


def load(entry: Entry) -> type[Guidance]:
    """Imports what an entry names, and validates it.

    Raises:
        ImportError: if that fails, naming the plugin, its origin and the reason.
    """
    if isinstance(entry.target, type):
        return entry.target
    module, _, attribute = entry.target.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in filter(None, attribute.split(".")):
            found = getattr(found, part)
    except Exception as error:
        raise ImportError(
            f"The guidance plugin {entry.name!r} from {entry.origin} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    if entry.name in _registered:
        registered = _registered[entry.name].target
        assert isinstance(registered, type)
        return registered
    kind: Any = found if isinstance(found, type) else class_from_function(found)
    validate(kind, entry.name)
    kind.name = entry.name
    _registered[entry.name] = Entry(entry.name, entry.origin, entry.kind, kind)
    return kind


def problems() -> dict[str, str]:
    """Plugins that cannot be used, and why: packages that fail to import, names that two places give.

    Imports every installed plugin package; plugins that are not listed here stay usable whatever the others do.
    """
    found = {}
    for name, entries in _candidates().items():
        if len(entries) > 1:
            found[name] = str(_duplicate(name, entries[0].origin, entries[1].origin))
        elif entries[0].kind == "package":
            try:
                load(entries[0])
            except (ImportError, TypeError, ValueError) as error:
                found[name] = str(error)
    return found
