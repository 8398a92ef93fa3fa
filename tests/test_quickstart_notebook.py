"""The notebook runs from top to bottom, is written for what is public, and is committed without outputs."""

import ast
import json

import pytest

from diffusionlm.guidance.registry import plugins as registry


@pytest.fixture(scope="module")
def notebook(root):
    return json.loads((root / "demos" / "quickstart.ipynb").read_text(encoding="utf-8"))


def test_it_runs_from_top_to_bottom(notebook, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry.PLUGINS, "_registered", dict(registry.PLUGINS._registered))
    names = {"__name__": "__main__"}
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(cells) >= 8
    for number, cell in enumerate(cells, 1):
        exec(compile("".join(cell["source"]), f"quickstart.ipynb, code cell {number}", "exec"), names)
    assert len(names["guided"].texts) == 6
    assert names["figure"].get_axes()
    assert not list(tmp_path.iterdir()), "it leaves files behind"


def test_it_is_a_notebook_without_outputs(notebook):
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None


def test_it_uses_public_names_only(notebook):
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            continue
        for node in ast.walk(ast.parse("".join(cell["source"]))):
            if isinstance(node, ast.Attribute):
                assert not node.attr.startswith("_")
            if isinstance(node, ast.ImportFrom):
                assert not any(part.startswith("_") for part in node.module.split("."))
