"""Pages that are made when the site is built, so that they cannot go stale: commands, plugins, API; and inclusions.

The commands say ``--help`` themselves; the API comes from the docstrings. Nothing here imports PyTorch.
"""

from __future__ import annotations

import ast
import contextlib
import io
import os
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
PACKAGES = ("guidance", "samplers", "diffusion", "denoiser", "context", "text", "training", "evaluation", "diffusionlm")
INCLUDE = re.compile(r"^<!-- include (\S+?)(?:#(.+))? -->$", re.MULTILINE)
LINK = re.compile(r"\[([^\]]*)\]\((?!https?://)([^)\s]*)\)")


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages under reference/."""
    pages = {"commands": commands_page(), "plugins": plugins_page()}
    shown = {f"{path}.{kind.name}" for _, path, kind in built_in_plugins()}  # each name on one page
    for package in PACKAGES:
        names = {name: path for name, path in public_names(package).items() if path not in shown}
        shown |= set(names.values())
        pages[package] = api_page(package, names)
    for name, text in pages.items():
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replaces ``<!-- include FILE -->`` and ``<!-- include FILE#Heading -->`` by what stands there."""
    return INCLUDE.sub(lambda found: included(found[1], found[2]), markdown)


def included(file: str, heading: str | None) -> str:
    """The text of a file of the repository below its first heading, or one of its sections without the heading.

    Links to pages of the site stay links; others are left as text.

    Raises:
        ValueError: if there is no such heading.
    """
    text = (ROOT / file).read_text(encoding="utf-8")
    if heading is None:
        text = text.partition("\n")[2]
    else:
        found = re.search(rf"^(#+) {re.escape(heading)}\n(.*?)(?=^#{{1,2}} |\Z)", text, re.MULTILINE | re.DOTALL)
        if found is None:
            raise ValueError(f"{file} has no heading {heading!r}, which a page of docs/ includes.")
        text = found[2]

    def local(link: re.Match[str]) -> str:
        target = Path(link[2])
        return f"[{link[1]}]({target.name})" if target.parent == Path("docs") else link[1]

    return LINK.sub(local, text).strip()


def commands_page() -> str:
    """Every command with its own ``--help``, and that of its actions."""
    from diffusionlm.cli import available_commands, summary

    parts = ["# Commands", "What `diffusionlm COMMAND --help` says, for every command.", _fenced(help_of([]))]
    for name in available_commands():
        text = help_of([name])
        parts += [f"## {name}", f"{summary(name)}.", _fenced(text)]
        if "ACTION ..." in text:  # actions of its own, listed by argparse
            for action in re.findall(r"^ {4}([\w-]+) ", text.partition("ACTION\n")[2], re.MULTILINE):
                parts += [f"### {name} {action}", _fenced(help_of([name, action]))]
    return "\n\n".join(parts) + "\n"


def help_of(arguments: list[str]) -> str:
    """What a command prints for ``--help``.

    Raises:
        RuntimeError: if it does not end well.
    """
    from diffusionlm.cli import main

    out, before = io.StringIO(), os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "100"  # argparse folds to the width of the terminal
    try:
        with contextlib.redirect_stdout(out):
            code = main([*arguments, "--help"])
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        os.environ.pop("COLUMNS")
        if before is not None:
            os.environ["COLUMNS"] = before
    if code:
        raise RuntimeError(f"'diffusionlm {' '.join(arguments)} --help' ended with {code}.")
    return out.getvalue().strip()


def plugins_page() -> str:
    """The built-in plugins: a table, then the docstring of each."""
    found = built_in_plugins()
    table = "\n".join(f"| [`{name}`](#{path}.{kind.name}) | {_first_line(kind)} |" for name, path, kind in found)
    parts = [
        "# Plugins",
        "Every plugin that comes with the library, by the name that `guidance=[...]` takes. `weight`, `window`, `below` and "
        "other settings that all have are those of [Guidance][diffusionlm.guidance.guidance.Guidance].",
        f"| name | what it does |\n|---|---|\n{table}",
    ]
    for name, path, kind in found:
        options = f'{{heading: "{name}", toc_label: "{name}", members: false, show_symbol_type_heading: false}}'
        parts.append(f"::: {path}.{kind.name}\n    options: {options}")
        module = path if kind.name not in public_names("guidance") else "diffusionlm.guidance"
        parts.append(f"```python\nfrom {module} import {kind.name}\n\n{kind.name}({_settings(kind)})\n```")
    return "\n\n".join(parts) + "\n"


def built_in_plugins() -> list[tuple[str, str, ast.ClassDef]]:
    """(name, dotted module, class) of each plugin in guidance/ and its folders, by name, read from the sources."""
    found = []
    for path in sorted((ROOT / "guidance").rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            for decorator in node.decorator_list if isinstance(node, ast.ClassDef) else []:
                match decorator:
                    case ast.Call(func=ast.Name(id="register"), args=[ast.Constant(value=str(name))]):
                        inner = path.relative_to(ROOT / "guidance").with_suffix("").parts
                        found.append((name, ".".join(["diffusionlm.guidance", *inner]), node))
    return sorted(found, key=lambda plugin: plugin[0])


def _first_line(kind: ast.ClassDef) -> str:
    return (ast.get_docstring(kind) or "").partition("\n")[0].replace("|", "\\|")


def _settings(kind: ast.ClassDef) -> str:
    own = [node for node in kind.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)]
    return ", ".join(ast.unparse(node.target) + (f"={ast.unparse(node.value)}" if node.value else "") for node in own)


def api_page(package: str, names: dict[str, str]) -> str:
    """What a package says of itself, and the names it exports, from their docstrings."""
    where = "diffusionlm" if package == "diffusionlm" else f"diffusionlm.{package}"
    itself = "    options: {members: false, show_root_heading: false, show_root_toc_entry: false}"
    parts = [f"# {where}", f"::: {where}\n{itself}", *(f"::: {path}" for path in names.values())]
    return "\n\n".join(parts) + "\n"


def public_names(package: str) -> dict[str, str]:
    """Each public class and function of a package, and the dotted path of where it is defined; no module is imported for it."""
    home = ROOT / ("diffusionlm" if package == "diffusionlm" else f"diffusionlm/{package.replace('.', '/')}")
    dotted = "diffusionlm" if package == "diffusionlm" else f"diffusionlm.{package}"
    tree = ast.parse((home / "__init__.py").read_text(encoding="utf-8"))
    listed: list[str] | None = None
    lazily: dict[str, str] = {}
    directly: dict[str, str] = {}
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=ast.List() as value):
                listed = ast.literal_eval(value)
            case ast.Assign(targets=[ast.Name(id="__all__")]):
                listed = sorted(lazily)
            case ast.Assign(targets=[ast.Name(id="_HOME" | "_HOME_OF")], value=value):
                table = ast.literal_eval(value)
                lazily = {name: at if at.startswith("diffusionlm.") else f"{dotted}.{at}" for name, at in table.items()}
            case ast.ImportFrom(module=str(module), names=aliases) if module.startswith("diffusionlm"):
                directly |= {alias.name: module for alias in aliases}
    if listed is None:
        modules = sorted(path.stem for path in home.glob("*.py") if not path.stem.startswith("_"))
        return {module: f"{dotted}.{module}" for module in modules}
    homes = directly | lazily
    classes_and_functions = [name for name in listed if not (name.startswith("__") or name.isupper())]
    found = {name: _definition(homes[name], name) for name in classes_and_functions}
    if package == "diffusionlm":  # what the pipeline yields and returns
        found |= {name: f"diffusionlm.generation.results.{name}" for name in ("Sample", "StepState")}
    return found


def _definition(module: str, name: str) -> str:
    """Follows one re-export: ``diffusionlm.text`` exports what ``diffusionlm.text.vocabulary`` defines."""
    path = ROOT / module.replace(".", "/")
    if path.is_dir():
        return public_names(module.removeprefix("diffusionlm."))[name]
    source = ast.parse(path.with_suffix(".py").read_text(encoding="utf-8"))
    for node in source.body:
        if isinstance(node, ast.ImportFrom) and node.module and any(alias.name == name for alias in node.names):
            return _definition(node.module, name)
    return f"{module}.{name}"


def _fenced(text: str) -> str:
    return f"```text\n{text}\n```"
