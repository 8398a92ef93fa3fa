"""The command line ``diffusionlm``: finds the subcommand, runs it, and turns its errors into sentences.

Exit codes: 0 done, 1 the command says so itself, 2 the user can put it right (one sentence on stderr), 130 interrupted.
"""

from __future__ import annotations

import ast
import os
import re
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module, metadata
from pathlib import Path
from typing import TextIO

import diffusionlm
from diffusionlm.errors import nearest

DISTRIBUTION = "diffusionlm-toolkit"
TRACEBACK_VARIABLE = "DIFFUSIONLM_TRACEBACK"

_COMMANDS = Path(__file__).parent / "commands"
_FIRST = (
    "generate",
    "train",
    "train-classifier",
    "evaluate",
    "guidance",
    "info",
    "demo",
)  # order of the listing; others follow by name


def available_commands() -> list[str]:
    """The subcommands that exist, in the order of the listing. None of them is imported."""
    names = [path.stem.replace("_", "-") for path in _COMMANDS.glob("*.py") if not path.stem.startswith("_")]
    return sorted(names, key=lambda name: (_FIRST.index(name) if name in _FIRST else len(_FIRST), name))


def _module(name: str) -> str:
    return name.replace("-", "_")  # a command is written with hyphens, its file cannot be


def summary(name: str) -> str:
    """The one-line summary of a subcommand, read from its source: listing the commands imports none of them.

    Args:
        name: one of :func:`available_commands`.
    """
    path = _COMMANDS / f"{_module(name)}.py"
    for statement in ast.parse(path.read_text(encoding="utf-8"), str(path)).body:
        match statement:
            case (
                ast.Assign(targets=[ast.Name(id="SUMMARY")], value=ast.Constant(value=str(text)))
                | ast.AnnAssign(target=ast.Name(id="SUMMARY"), value=ast.Constant(value=str(text)))
            ):
                return text
    raise AssertionError(f"{path} is a subcommand without a line SUMMARY = '...'")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the subcommand named by the first argument and return the exit code of the process.

    Args:
        argv: the arguments without the program's name; ``None`` takes those of the process.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    commands = available_commands()

    if not arguments:
        print(_help(commands), file=sys.stderr)
        return 2
    name, rest = arguments[0], arguments[1:]
    if name == "help" and rest and rest[0] in commands:
        name, rest = rest[0], ["--help"]
    if name in ("-h", "--help", "help"):
        print(_help(commands))
        return 0
    if name in ("-V", "--version"):
        print(f"diffusionlm {diffusionlm.__version__}")
        return 0
    if name not in commands:
        print(f"diffusionlm: {_unknown(name, commands)}", file=sys.stderr)
        return 2
    return _run(name, rest)


def _run(name: str, arguments: list[str]) -> int:
    try:
        with _short_warnings(name):
            code = import_module(f"diffusionlm.commands.{_module(name)}").main(arguments)
        sys.stdout.flush()  # a reader that has gone away shows here, not when the interpreter shuts down
        return code
    except BrokenPipeError:  # `diffusionlm generate | head`: the reader has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except KeyboardInterrupt:
        print(f"\ndiffusionlm {name}: interrupted.", file=sys.stderr)
        return 130
    except Exception as error:
        sentence = _sentence(error, name)
        if sentence is None:  # not the user's doing: a mistake of ours keeps its traceback
            raise
        if os.environ.get(TRACEBACK_VARIABLE, "0") not in ("", "0"):
            traceback.print_exc()
        print(f"diffusionlm {name}: {sentence}", file=sys.stderr)
        return 2


@contextmanager
def _short_warnings(name: str) -> Iterator[None]:
    """Warnings for the user as one sentence, as errors are; those for programmers stay as Python writes them."""
    with warnings.catch_warnings():
        plain = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if category is UserWarning:
                print(f"diffusionlm {name}: {' '.join(str(message).split())}", file=sys.stderr)
            else:
                plain(message, category, filename, lineno, file, line)

        warnings.showwarning = show
        yield


def _sentence(error: Exception, command: str) -> str | None:
    """The sentence for the user; ``None`` for a mistake of ours."""
    if isinstance(error, ModuleNotFoundError):
        return _missing_module(error, command)
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.strerror}: {os.fsdecode(error.filename)}"
    guidance = sys.modules.get("diffusionlm.errors")  # imported if a plugin ran at all
    of_plugins = isinstance(error, guidance.GuidanceError) if guidance else False
    by_us = isinstance(error, ImportError) and error.name is None  # Python's own says what could not be imported
    if of_plugins or by_us or isinstance(error, (ValueError, OSError, FloatingPointError)):
        return " ".join(str(error).split()) or None
    return None


def _missing_module(error: ModuleNotFoundError, command: str) -> str | None:
    """The extra to install for a module that only an extra brings; ``None`` if no extra of ours has it."""
    module = (error.name or "").partition(".")[0]
    try:
        requirements = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        requirements = []
    for requirement in requirements:  # for example: datasets<6,>=4; extra == "train"
        found = re.match(r"([\w.-]+).*extra == ['\"]([\w-]+)['\"]", requirement)
        if found and found[1].replace("-", "_").lower() == module.lower():
            return (
                f"'{command}' needs the package '{found[1]}', which is not installed; "
                f"run: pip install '{DISTRIBUTION}[{found[2]}]'"
            )
    return None


def _unknown(name: str, commands: list[str]) -> str:
    what, known = ("option", ["--help", "--version"]) if name.startswith("-") else ("command", commands)
    near = nearest(name, known)
    hint = f"did you mean '{near}'?" if near else f"there are: {', '.join(known) or 'none'}."
    return f"there is no {what} '{name}'; {hint} ('diffusionlm --help' says more)"


def _help(commands: list[str]) -> str:
    width = max(map(len, commands), default=0)
    listing = "\n".join(f"  {name:<{width}}  {summary(name)}" for name in commands)
    return f"""\
usage: diffusionlm COMMAND [ARGUMENTS]

A diffusion language model that writes spans of text, steered by guidance plugins.

commands:
{listing}

options:
  -h, --help     show this text; 'diffusionlm COMMAND --help' tells about one command
  -V, --version  show the version

{TRACEBACK_VARIABLE}=1 shows the full traceback of an error."""


if __name__ == "__main__":
    sys.exit(main())
