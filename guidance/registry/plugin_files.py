"""Plugins in a Python file that a user names: its classes, what it registers, or its plain functions.

Loading a file runs it, so nothing but the command line does it, and only where the user typed the path: names in
configurations, checkpoints and requests never become code.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from diffusionlm.guidance.guidance import Guidance
from diffusionlm.guidance.registry import plugins as registry
from diffusionlm.guidance.registry.configuration import from_mapping, make
from diffusionlm.guidance.registry.function_plugin import class_of, is_energy

ENDING = ".py"


def is_plugin_file(name: str) -> bool:
    """Whether a user who writes this means a file, be it there or not; no plugin's name ends like one."""
    return name.endswith(ENDING)


def classes_in(path: str | Path) -> list[type[Guidance]]:
    """The plugin classes of a Python file, which is run, in the order in which it defines them.

    They are the subclasses of `Guidance` that it defines, and what it gives a name with ``register``. A file that has neither
    offers its functions of one argument called ``state``. A leading underscore leaves a class or function out.

    Raises:
        ValueError: if there is no such file, it cannot be run, or it has no plugin.
        TypeError: if a class is off the contract, naming the method.
    """
    path = Path(path)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise ValueError(f"{path} {what}; give the name of a plugin or the path of a Python file with plugins.")
    module = _run(path)
    own = {
        name: item
        for name, item in vars(module).items()
        if not name.startswith("_") and getattr(item, "__module__", None) == module.__name__
    }
    classes = {item: None for item in own.values() if isinstance(item, type) and issubclass(item, Guidance)}
    for entry in registry.registered():
        assert isinstance(entry.target, type)
        if entry.target.__module__ == module.__name__:
            classes[entry.target] = None
    if not classes:
        classes = {class_of(item): None for item in own.values() if is_energy(item)}
    if not classes:
        raise ValueError(
            f"{path} has no plugin: write a subclass of diffusionlm.guidance.Guidance, or a function of one argument called "
            "'state' that returns the energy of each sample."
        )
    for kind in classes:
        registry.validate(kind, kind.name or kind.__name__)
    return list(classes)


def plugins_with_files(given: Any) -> list[Guidance]:
    """What a command was given for ``guidance``, where a path that ends in .py stands for the plugins of that file.

    Args:
        given: a mapping ``{"name": ..., settings}``, ``{"_target_": ..., settings}`` or ``{name: {settings}, ...}``, or a list
            of mappings.

    Raises:
        ValueError: if a name, a file or a setting is unknown, or settings are given to a file of several plugins.
    """
    if isinstance(given, list):
        return [plugin for item in given for plugin in plugins_with_files(item)]
    data = dict(given)
    if not ("name" in data or "_target_" in data):
        return [plugin for name, settings in data.items() for plugin in _named(str(name), settings)]
    name = str(data.pop("name", ""))
    return [from_mapping(given)] if not is_plugin_file(name) else _of_file(name, data)


def _named(name: str, settings: Any) -> list[Guidance]:
    if settings is not None and not isinstance(settings, Mapping):
        raise ValueError(
            f"The settings of the plugin {name!r} must be a mapping, as in {{{name}: {{weight: 2.0}}}}; got {settings!r}."
        )
    return plugins_with_files({**(settings or {}), "name": name})


def _of_file(path: str, settings: Mapping[str, Any]) -> list[Guidance]:
    classes = classes_in(path)
    if settings and len(classes) > 1:
        names = ", ".join(kind.name or kind.__name__ for kind in classes)
        raise ValueError(
            f"{path} has several plugins ({names}), so it does not show whose {', '.join(settings)} is meant; give each a file "
            "of its own."
        )
    return [make(kind, settings) for kind in classes]


def _run(path: Path) -> ModuleType:
    name = path.stem
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__file__", None) != str(path.resolve()):
        name = f"{name} (plugin file)"  # a file called random.py must not take the place of Python's
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where a plugin's own functions and classes are looked up
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ValueError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    return module
