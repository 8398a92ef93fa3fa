"""``diffusionlm guidance``: the plugins there are, what they take, whether they conform, and a new one."""

from __future__ import annotations

import argparse
import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diffusionlm.guidance import Guidance

SUMMARY = "List, show, check and create guidance plugins"


def main(argv: list[str]) -> int:
    """Runs ``list``, ``show NAME_OR_PATH``, ``check NAME_OR_PATH`` or ``new NAME``."""
    parser = argparse.ArgumentParser(prog="diffusionlm guidance", description=SUMMARY + ".")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="every plugin and where it comes from")
    show = actions.add_parser("show", help="what a plugin does, its settings and their defaults")
    show.add_argument("target", help="a plugin's name, or the path of a Python file with plugins")
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
            return _show(arguments.target)
        case "check":
            return _check(arguments.target)
        case _:
            return _new(arguments.name, arguments.folder)


def _list() -> int:
    from diffusionlm.guidance.registry.plugins import available, get, problems

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


def _show(target: str) -> int:
    for number, kind in enumerate(_kinds(target)):
        if number:
            print()
        _describe(kind, target)
    return 0


def _describe(kind: type[Guidance], target: str) -> None:
    from diffusionlm.guidance.guidance import COMMON
    from diffusionlm.guidance.registry.plugins import available
    from diffusionlm.registry import origin_of

    entry = available().get(target)
    origin = origin_of(kind) if entry is None else entry.origin
    print(f"{kind.name or kind.__name__} ({origin})\n\n{inspect.getdoc(kind) or 'It has no docstring.'}\n\nsettings:")
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


def _kinds(target: str) -> list[type[Guidance]]:
    from diffusionlm.guidance.registry.plugin_files import classes_in, is_plugin_file
    from diffusionlm.guidance.registry.plugins import available, get

    if target not in available() and not is_plugin_file(target) and Path(target).exists():
        what = "folder" if Path(target).is_dir() else "file"
        raise ValueError(
            f"The {what} {target} is no Python file; give the path of one with plugins (.py), or a plugin's name."
        )
    return classes_in(target) if is_plugin_file(target) else [get(target)]


def _check(target: str) -> int:
    from diffusionlm.guidance.testing import examine

    failed = False
    for plugin in _kinds(target):
        report = examine(plugin)
        print(report)
        failed |= bool(report.failed)
    return 1 if failed else 0


def _new(name: str, folder: Path | None) -> int:
    from diffusionlm.guidance.registry.scaffold import scaffold

    files = scaffold(name, folder)
    print("\n".join(str(path) for path in files))
    home = files[0].parent
    print(
        f"\nNext: edit {files[0]}, then\n  diffusionlm guidance check {files[0]}\n"
        f"  diffusionlm generate guidance={files[0]}\n  pip install -e {home}    # and it is found by its name, {name}"
    )
    return 0
