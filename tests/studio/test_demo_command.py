"""``diffusionlm demo`` before anything is served."""

import sys

import pytest

from diffusionlm.cli import main


def test_without_gradio_it_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert main(["demo"]) == 2
    assert "pip install 'diffusionlm-toolkit[demo]'" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--threads", "0"], ["--port", "70000"]])
def test_arguments_out_of_range_are_refused(arguments, capsys):
    assert main(["demo", *arguments]) == 2
    assert "must" in capsys.readouterr().err


def test_the_package_imports_without_gradio(monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    from diffusionlm.studio import catalogue, order, understanding, writing, writing_view

    assert all((catalogue, order, understanding, writing, writing_view))
