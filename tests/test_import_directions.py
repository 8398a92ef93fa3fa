"""Who may import whom: the arrows of the plan, read from the source of every module, and none that runs back.

An import inside a function is an arrow like any other. An import under ``if TYPE_CHECKING`` is none: nothing runs.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import diffusionlm

GROUND = {"diffusion", "text", "errors", "registry"}
PARTS = GROUND | {"denoiser", "samplers", "guidance", "spans", "context"}
CORE = PARTS | {"pipeline", "generation", "checkpoints", "citations", "families"}
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "citations": set(),
    "configs": set(),
    "registry": {"errors"},
    "diffusion": {"registry"},
    "text": {"errors"},
    "denoiser": {"diffusion", "errors", "registry"},
    "samplers": {"diffusion", "errors", "registry"},
    "markers": set(),
    "spans": {"errors", "markers", "text"},
    "guidance": GROUND,
    "context": GROUND | {"denoiser", "spans"},
    "families": GROUND | {"denoiser"},
    "integrations": PARTS | {"families"},
    "checkpoints": PARTS | {"families"},
    "generation": PARTS | {"citations"},
    "pipeline": CORE | {"structured"},
    "structured": CORE,
    "corpora": {"errors", "text"},
    "training": CORE | {"corpora"},
    "evaluation": CORE | {"corpora"},
    "serving": CORE,
    "studio": CORE,
    "commands": CORE
    | {"integrations", "serving", "structured", "training", "evaluation", "studio", "corpora", "configs", "cli"},
    "cli": {"commands", "errors"},
    "__main__": {"cli"},
    "__init__": CORE,
}


def imports(source: str, module: str, is_package: bool) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) for all that ``module`` imports at run time; ``from a import b`` gives ``a.b``."""

    def visit(node: ast.AST) -> Iterator[tuple[int, str]]:
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for child in node.orelse:
                yield from visit(child)
            return
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = module.split(".")
            base = base[: len(base) - node.level + is_package] if node.level else []
            prefix = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{prefix}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__"):
            match node.args:
                case [ast.Constant(value=str(name)), *_]:
                    yield node.lineno, name
        for child in ast.iter_child_nodes(node):
            yield from visit(child)

    yield from visit(ast.parse(source))


def part(dotted: str) -> str | None:
    """The part of the map that a dotted name belongs to, or None for what is not ours."""
    names = dotted.split(".")
    if names[0] in ("guidance", "samplers", "configs"):
        raise AssertionError(f"'{names[0]}' is imported by its bare name; write diffusionlm.{names[0]}")
    if names[0] != "diffusionlm":
        return None
    second = names[1] if len(names) > 1 else "__init__"
    home = diffusionlm._HOME.get(second)  # `from diffusionlm import Canvas` is an arrow to where Canvas lives
    if home is not None:
        return part(home)
    return "__init__" if second.startswith("__") and second != "__main__" else second


def modules(root: Path) -> Iterator[tuple[str, Path]]:
    """Yield (dotted name, file) for the library below ``root``, with the linked folders under their real names."""
    for path in sorted((root / "diffusionlm").glob("*.py")):
        yield f"diffusionlm.{path.stem}", path
    for folder in sorted(path for path in (root / "diffusionlm").iterdir() if path.is_dir()):
        for path in sorted(folder.resolve().rglob("*.py")):
            inner = path.relative_to(folder.resolve()).with_suffix("").parts
            yield ".".join(["diffusionlm", folder.name, *inner]).removesuffix(".__init__"), path


def forbidden_arrows(root: Path) -> list[str]:
    """Every import of the library below ``root`` that the plan does not allow, as sentences."""
    found = []
    for module, path in modules(root):
        source = module.split(".")[1]
        if source not in ALLOWED:
            found.append(f"{path.relative_to(root)}: '{source}' is not on the map; give it a place in ALLOWED")
            continue
        for line, name in imports(path.read_text(encoding="utf-8"), module, path.stem == "__init__"):
            target = part(name)
            # The package itself (its version, say) is open to all: importing it runs nothing else.
            if target not in (None, "__init__", source) and target not in ALLOWED[source]:
                found.append(f"{path.relative_to(root)}:{line}: {source} may not import {target} ({name})")
    return found


def private_imports(source: str, module: str) -> list[str]:
    """Imports of names of ours that begin with an underscore, which the package does not export."""
    return [
        f"{module}:{line}: {name}"
        for line, name in imports(source, module, is_package=False)
        if part(name) and any(piece.startswith("_") and not piece.startswith("__") for piece in name.split("."))
    ]


def test_no_import_runs_against_the_arrows_of_the_plan(root):
    assert forbidden_arrows(root) == []


def test_the_whole_map_is_read(root):
    seen = {name.split(".")[1] for name, _ in modules(root)}
    assert {"diffusion", "denoiser", "text", "samplers", "guidance", "training", "evaluation", "commands"} <= seen


@pytest.mark.parametrize("folder", ["demos", "benchmarks"])
def test_demos_and_benchmarks_use_only_what_the_package_exports(root, folder):
    found = [
        line
        for path in sorted((root / folder).rglob("*.py"))
        for line in private_imports(path.read_text(encoding="utf-8"), str(path.relative_to(root)))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("diffusionlm/diffusion/process.py", "import diffusionlm.denoiser"),
        ("diffusionlm/diffusion/process.py", "from diffusionlm import denoiser"),
        ("diffusionlm/diffusion/process.py", "from diffusionlm import SpanDenoiser"),
        ("diffusionlm/diffusion/process.py", "from ..denoiser import model"),
        ("diffusionlm/diffusion/__init__.py", "from ..denoiser import model"),
        ("diffusionlm/diffusion/process.py", "def late():\n    from diffusionlm.text import Vocabulary"),
        ("diffusionlm/diffusion/process.py", "import importlib\nimportlib.import_module('diffusionlm.text')"),
        ("diffusionlm/corpora/sources.py", "import diffusionlm.spans"),
        ("diffusionlm/denoiser/model.py", "from diffusionlm.text import Vocabulary"),
        ("diffusionlm/spans.py", "from diffusionlm.guidance import Guidance"),
        ("diffusionlm/pipeline.py", "import diffusionlm.training"),
        ("diffusionlm/training/loop.py", "import diffusionlm.commands.train"),
        ("diffusionlm/training/loop.py", "from diffusionlm.evaluation import fluency"),
        ("guidance/pii.py", "from diffusionlm.pipeline import DiffusionLMPipeline"),
        ("samplers/euler.py", "from diffusionlm.guidance import Guidance"),
        ("diffusionlm/novelty.py", ""),
    ],
)
def test_a_planted_arrow_that_runs_back_is_found(tmp_path, file, source):
    for name in ("guidance", "samplers"):
        (tmp_path / name).mkdir()
        (tmp_path / "diffusionlm").mkdir(exist_ok=True)
        (tmp_path / "diffusionlm" / name).symlink_to(f"../{name}")
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(source)
    (arrow,) = forbidden_arrows(tmp_path.resolve())
    assert arrow.startswith(file)


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("diffusionlm/denoiser/model.py", "from diffusionlm.diffusion import process\nfrom . import attention"),
        (
            "diffusionlm/diffusion/process.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import diffusionlm.guidance",
        ),
        ("diffusionlm/diffusion/process.py", "import torch\nfrom diffusionlm import __version__"),
        ("diffusionlm/pipeline.py", "from diffusionlm import Canvas, guidance, spans"),
    ],
)
def test_arrows_of_the_plan_pass(tmp_path, file, source):
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text(source)
    assert forbidden_arrows(tmp_path) == []


def test_a_bare_import_of_a_linked_folder_is_found(tmp_path):
    (tmp_path / "diffusionlm").mkdir()
    (tmp_path / "diffusionlm" / "pipeline.py").write_text("from guidance.base import Guidance")
    with pytest.raises(AssertionError, match="write diffusionlm.guidance"):
        forbidden_arrows(tmp_path)


@pytest.mark.parametrize(
    ("source", "private"),
    [
        ("from diffusionlm.text import Vocabulary", False),
        ("from diffusionlm import __version__", False),
        ("from diffusionlm.text._trie import Trie", True),
        ("from diffusionlm import _HOME", True),
        ("from torch import _C", False),
    ],
)
def test_private_imports_are_told_from_public_ones(source, private):
    assert bool(private_imports(source, "benchmarks/speed.py")) == private
