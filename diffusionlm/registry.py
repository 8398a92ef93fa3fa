"""`Registry`: classes by name, from the files of a package, from installed packages, and from callers' code.

One class serves plugins of guidance, strategies, samplers, noise schedules, kinds of personal data, sources of memory, model
families and evaluation tasks. Adding one is one file with a decorated class, here or in a package of one's own.

Files and packages are found without being imported: a file by reading its source for ``@...register("name")``, a package by its
entry point. They are imported when their name is first asked for.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from diffusionlm.errors import suggestion

Registered = TypeVar("Registered", bound=Any)
_NAME = re.compile(r"(?!.*[A-Z])[^\W_]+([-_+/][^\W_]+|\+)*")


@lru_cache(maxsize=64)
def _entry_points(group: str, places: tuple[tuple[str, int], ...]) -> tuple[metadata.EntryPoint, ...]:
    """Entry points of a group as they were found when the places of packages looked like this; read once (20 ms)."""
    return tuple(metadata.entry_points(group=group))


def _places() -> tuple[tuple[str, int], ...]:
    """Every place of ``sys.path`` and when something was last installed or removed there (0: there is no such folder)."""
    found = []
    for path in sys.path:
        try:
            found.append((path, os.stat(path or ".").st_mtime_ns))
        except OSError:
            found.append((path, 0))
    return tuple(found)


@dataclass(frozen=True)
class Entry:
    """A class that is known by name.

    Attributes:
        name: its name.
        origin: source location for people: "file:line", or a package with its version.
        kind: "built-in", "package" or "registered" (by the caller's code).
        target: the class, or the module and attribute to import it from.
    """

    name: str
    origin: str
    kind: str
    target: Any


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


class Registry(Mapping[str, Any]):
    """Classes of one kind by name; a mapping from names to classes, which are imported when they are looked up.

    Args:
        noun: what one of them is called, for messages: "sampler".
        package: whose files are searched.
        decorator: as it stands in the sources: "SAMPLERS.register".
        validate: called with (class, name) before it is taken; raises what is wrong.
        adapt: makes a class of what was decorated, where that may be a function.
        error: raised for unknown names, a `ValueError`.
        group: entry points of other packages; the package's name if None.
    """

    def __init__(
        self,
        noun: str,
        package: str,
        decorator: str,
        validate: Callable[[Any, str], None] | None = None,
        adapt: Callable[[Any], Any] | None = None,
        error: type[ValueError] = ValueError,
        group: str | None = None,
    ) -> None:
        self.noun, self.package, self.decorator, self.error = noun, package, decorator, error
        self.group = group or package
        self._validate = validate or (lambda kind, name: None)
        self._adapt = adapt or (lambda found: found)
        self._registered: dict[str, Entry] = {}

    # ---- adding -----------------------------------------------------------------------------------------------------

    def register(self, name: str) -> Callable[[Registered], Registered]:
        """Decorator that gives a class its name, and sets its attribute ``name``.

        Raises:
            ValueError: if the name is taken (naming both places) or malformed.
            TypeError: if the class is off its contract.
        """
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(
                f"register takes a name of lower-case words joined by hyphens, as in @register('no-shouting'), or by / for "
                f"a family of them, as in 'control/length'; got {name!r}."
            )

        def add(found: Registered) -> Registered:
            kind = self._adapt(found)
            self._validate(kind, name)
            self._add(name, kind)
            kind.name = name
            return found

        return add

    def _add(self, name: str, kind: Any) -> None:
        entry = Entry(name, origin_of(kind), "registered", kind)
        other = self._registered.get(name)
        if other is not None:
            same = (other.target.__module__, other.target.__qualname__) == (kind.__module__, kind.__qualname__)
            if not same:  # a module that is run again (a notebook cell) replaces its own class
                raise self._duplicate(name, other.origin, entry.origin)
        builtin = self.built_in.get(name)
        if builtin is not None and _file(builtin.origin) != _file(entry.origin):
            raise self._duplicate(name, builtin.origin, entry.origin)
        for package in self._packages().get(name, []):
            module = str(package.target).partition(":")[0]
            if kind.__module__.partition(".")[0] != module.partition(".")[0]:
                raise self._duplicate(name, package.origin, entry.origin)
        self._registered[name] = entry

    def unregister(self, name: str) -> None:
        """Forgets a class that code registered; built-in files and packages stay findable."""
        self._registered.pop(name, None)

    def registered(self) -> list[Entry]:
        """Entries that code has registered, in that order."""
        return list(self._registered.values())

    def _duplicate(self, name: str, first: str, second: str) -> ValueError:
        return ValueError(
            f"The {self.noun} name {name!r} is taken: {first} has it, and {second} wants it; rename one of them."
        )

    # ---- finding ----------------------------------------------------------------------------------------------------

    @cached_property
    def built_in(self) -> dict[str, Entry]:
        """Entries in the files of the package, by reading their sources.

        Raises:
            ValueError: if two files give one name.
        """
        spec = importlib.util.find_spec(self.package)
        assert spec is not None
        assert spec.submodule_search_locations
        return self.files_in(Path(next(iter(spec.submodule_search_locations))).resolve(), self.package)

    def files_in(self, folder: Path, package: str) -> dict[str, Entry]:
        """Entries in the files below a folder, by reading their sources; nothing is imported.

        Raises:
            ValueError: if two files give one name.
        """
        found: dict[str, Entry] = {}
        for path in sorted(folder.rglob("*.py")):
            source = path.read_text(encoding="utf-8")
            if f"@{self.decorator}(" not in source:
                continue
            inner = path.relative_to(folder).with_suffix("").parts
            module = ".".join([package, *inner]).removesuffix(".__init__")
            for node in ast.walk(ast.parse(source, str(path))):
                if not isinstance(node, ast.ClassDef | ast.FunctionDef):
                    continue
                for decorator in node.decorator_list:
                    match decorator:
                        case ast.Call(func=function, args=[ast.Constant(value=str(name))]) if (
                            ast.unparse(function) == self.decorator
                        ):
                            entry = Entry(name, f"{path}:{node.lineno}", "built-in", f"{module}:{node.name}")
                            if name in found:
                                raise self._duplicate(name, found[name].origin, entry.origin)
                            found[name] = entry
        return found

    def _packages(self) -> dict[str, list[Entry]]:
        found: dict[str, list[Entry]] = {}
        for point in _entry_points(self.group, _places()):
            package = point.dist
            origin = f"package {package.name} {package.version} ({point.value})" if package else point.value
            entries = found.setdefault(point.name, [])
            if all(str(other.target) != point.value or other.origin != origin for other in entries):
                entries.append(Entry(point.name, origin, "package", point.value))
        return found

    def candidates(self) -> dict[str, list[Entry]]:
        """Every entry of every name, in alphabetical order; a name with several cannot be used."""
        found = {name: [entry] for name, entry in self.built_in.items()}
        for name, entries in self._packages().items():
            found[name] = found.get(name, []) + entries
        for name, entry in self._registered.items():
            found.setdefault(name, [entry])
        return dict(sorted(found.items()))

    def available(self) -> dict[str, Entry]:
        """Every known entry by name, in alphabetical order; nothing is imported. See `problems` for names given twice."""
        return {name: entries[0] for name, entries in self.candidates().items()}

    def find(self, name: Any) -> Any:
        """The class of a name; imports it if need be.

        Raises:
            ValueError: if there is none, with the nearest name; or if two places give it, naming both.
            ImportError: if the file or package that has it fails to import, naming it and why.
        """
        known = self.candidates()
        if name not in known:
            raise self.error(f"There is no {self.noun} {name!r}; {suggestion(str(name), known)}")
        if len(known[name]) > 1:
            raise self._duplicate(name, known[name][0].origin, known[name][1].origin)
        return self.load(self._registered.get(name, known[name][0]))

    def load(self, entry: Entry) -> Any:
        """Imports what an entry names, and validates it.

        Raises:
            ImportError: if that fails, naming it, its origin and the reason.
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
                f"The {self.noun} {entry.name!r} from {entry.origin} cannot be imported: {type(error).__name__}: {error}"
            ) from error
        if entry.name in self._registered:
            return self._registered[entry.name].target
        kind = self._adapt(found)
        self._validate(kind, entry.name)
        kind.name = entry.name
        self._registered[entry.name] = Entry(entry.name, entry.origin, entry.kind, kind)
        return kind

    def problems(self) -> dict[str, str]:
        """Entries that cannot be used, and why: packages that fail to import, names that two places give.

        Imports every installed package of the group; entries that are not listed here stay usable whatever the others do.
        """
        found = {}
        for name, entries in self.candidates().items():
            if len(entries) > 1:
                found[name] = str(self._duplicate(name, entries[0].origin, entries[1].origin))
            elif entries[0].kind == "package":
                try:
                    self.load(entries[0])
                except (ImportError, TypeError, ValueError) as error:
                    found[name] = str(error)
        return found

    def name_of(self, kind: Any) -> str | None:
        """The name under which a class can be found, or None."""
        name = getattr(kind, "name", None)
        known = name is not None and name in self.candidates()
        return name if known and self.find(name) is kind else None

    # ---- as a mapping -----------------------------------------------------------------------------------------------

    def __getitem__(self, name: str) -> Any:
        if name not in self.candidates():
            raise KeyError(name)
        return self.find(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.candidates())

    def __len__(self) -> int:
        return len(self.candidates())

    def __contains__(self, name: object) -> bool:
        return name in self.candidates()


def _file(origin: str) -> str:
    return origin.rpartition(":")[0]
