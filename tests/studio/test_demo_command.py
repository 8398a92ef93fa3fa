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


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("GRADIO_SERVER_PORT", "http", "GRADIO_SERVER_PORT must be a number in 1..65535, got 'http'"),
        ("GRADIO_SERVER_PORT", "70000", "must lie in 1..65535"),
        ("GRADIO_SERVER_NAME", "203.0.113.7", "Nothing can be served at 203.0.113.7:7860"),
    ],
)
def test_gradios_own_variables_say_where_it_is_served(monkeypatch, capsys, name, value, words):
    monkeypatch.setenv(name, value)
    assert main(["demo"]) == 2
    assert words in capsys.readouterr().err


def test_what_is_served_is_what_was_asked_for(monkeypatch, tiny_pipe, tmp_path, capsys):
    from diffusionlm.studio import server

    tiny_pipe.save_pretrained(tmp_path / "own")
    served = []
    monkeypatch.setattr(server, "serve", lambda *given, **named: served.append((*given, named["weights"])))
    monkeypatch.setenv("GRADIO_SERVER_NAME", "localhost")
    monkeypatch.setenv("GRADIO_SERVER_PORT", "7899")
    own = str(tmp_path / "own")
    assert main(["demo", own, "restaurant"]) == 0
    assert main(["demo", "--port", "7898", "--host", "127.0.0.1"]) == 0
    assert served == [("localhost", 7899, 1, [own, "restaurant"]), ("127.0.0.1", 7898, 1, [])]
    assert main(["demo", "restorant"]) == 2
    assert "restorant" in capsys.readouterr().err


def test_a_page_offers_the_weights_it_was_given(tiny_pipe, tmp_path, monkeypatch):
    from diffusionlm.studio import writing

    bundled = writing.checkpoints()
    monkeypatch.setattr(writing, "_offered", [])
    tiny_pipe.save_pretrained(tmp_path / "own")
    own = str(tmp_path / "own")
    writing.offer([own, "restaurant", own])
    assert writing.checkpoints() == [own, "restaurant"]
    assert writing.pipeline(own).tokenizer.vocab_size == tiny_pipe.tokenizer.vocab_size
    with pytest.raises(FileNotFoundError):
        writing.offer(["nowhere"])
    writing.offer([])
    assert writing.checkpoints() == bundled


def test_plugins_stand_in_the_order_in_which_people_look_for_them():
    from diffusionlm.studio.catalogue import cards

    names = [card.name for card in cards() if not card.trouble]
    wanted = ["toxicity", "pii", "phrases", "length", "regex", "part-of-speech", "constituents", "dependencies"]
    assert [name for name in names if name in wanted] == wanted


def test_the_package_imports_without_gradio(monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    from diffusionlm.studio import catalogue, order, understanding, writing, writing_view

    assert all((catalogue, order, understanding, writing, writing_view))
