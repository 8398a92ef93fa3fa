"""``diffusionlm guidance``: the plugins there are, what they take, whether they conform, and a new one."""

from __future__ import annotations

import argparse
import importlib.util
import inspect
import sys
from pathlib import Path

SUMMARY = "List, show, check and create guidance plugins"


def main(argv: list[str]) -> int:
    """Runs ``list``, ``show NAME``, ``check NAME_OR_PATH`` or ``new NAME``."""
    parser = argparse.ArgumentParser(prog="diffusionlm guidance", description=SUMMARY + ".")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="every plugin and where it comes from")
    show = actions.add_parser("show", help="what a plugin does, its settings and their defaults")
    show.add_argument("name")
    check = actions.add_parser("check", help="run the conformance kit over a plugin")
    check.add_argument("target", help="a plugin's name, or the path of a Python file with plugins")
    new = actions.add_parser("new", help="write a plugin package with its test")
    new.add_argument("name", help="lower-case words joined by hyphens")
    new.add_argument("--folder", type=Path, default=None, help="where to write it (default: ./NAME)")
    arguments = parser.parse_args(argv)
    match arguments.action:
        case "list":
            return _list()
        case "show":
            return _show(arguments.name)
        case "check":
            return _check(arguments.target)
        case _:
            return _new(arguments.name, arguments.folder)


def _list() -> int:
    from diffusionlm.guidance.registry import available, get, problems

    broken = problems()
    entries = available()
    width = max(map(len, entries), default=0)
    for name, entry in entries.items():
        if name in broken:
            continue
        kind = get(name)
        summary = (inspect.getdoc(kind) or "").partition("\n")[0]
        print(f"{name:<{width}}  {summary}\n{'':<{width}}  {_how(kind)}; {entry.origin}")
    for name, reason in broken.items():
        print(f"{name}: cannot be used. {reason}", file=sys.stderr)
    return 1 if broken else 0


def _how(kind: type) -> str:
    default = kind.__dataclass_fields__["strategy"].default  # type: ignore[attr-defined]
    return f"strategy {default if isinstance(default, str) else default.name}"


def _show(name: str) -> int:
    from diffusionlm.guidance.contract import COMMON
    from diffusionlm.guidance.registry import available, get

    kind = get(name)
    print(f"{name} ({available()[name].origin})\n\n{inspect.getdoc(kind)}\n\nsettings:")
    parameters = inspect.signature(kind).parameters
    for own in (True, False):
        for key, parameter in parameters.items():
            if (key not in COMMON) is own:
                default = "required" if parameter.default is parameter.empty else repr(parameter.default)
                print(f"  {key} = {default}")
        if own:
            print("settings of every plugin:")
    gradient = "differentiable" if kind.differentiable else "not differentiable"
    print(f"\nreads {', '.join(kind.reads)}; {gradient}; contract {kind.api_version}")
    if kind.reference:
        print(f"after {kind.reference}")
    return 0


def _check(target: str) -> int:
    from diffusionlm.guidance.registry import get
    from diffusionlm.guidance.testing import examine

    plugins = _plugins_of_file(Path(target)) if target.endswith(".py") else [get(target)]
    failed = False
    for plugin in plugins:
        report = examine(plugin)
        print(report)
        failed |= bool(report.failed)
    return 1 if failed else 0


def _plugins_of_file(path: Path) -> list[type]:
    from diffusionlm.guidance import Guidance

    if not path.is_file():
        raise ValueError(f"There is no file {path}; give the name of a plugin or the path of a Python file.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where a plugin's own functions and classes are looked up
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[spec.name]
        raise ValueError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    found = [
        item
        for item in vars(module).values()
        if isinstance(item, type) and issubclass(item, Guidance) and item.__module__ == path.stem
    ]
    if not found:
        raise ValueError(f"{path} defines no subclass of diffusionlm.guidance.Guidance.")
    return found


def _new(name: str, folder: Path | None) -> int:
    from diffusionlm.guidance.scaffold import scaffold

    files = scaffold(name, folder)
    print("\n".join(str(path) for path in files))
    home = files[0].parent
    print(f"\nNext: edit {files[0]}, then\n  diffusionlm guidance check {files[0]}\n  pip install -e {home}")
    return 0
