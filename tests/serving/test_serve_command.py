"""``diffusionlm serve``: arguments that cannot be, before any model is loaded."""

import socket
from pathlib import Path

import pytest

from diffusionlm.cli import main
from diffusionlm.serving import limits
from diffusionlm.serving.access import read_keys
from diffusionlm.serving.limits import Limits, Refusal
from diffusionlm.serving.server import check_address
from diffusionlm.serving.server_paths import keep_back


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Which model?"),
        (["--model", "restaurnt"], "restaurnt"),
        (["--model", "restaurant", "--model", "restaurant"], "Two models are called 'restaurant'"),
        (["--model", "=restaurant"], "NAME=CHECKPOINT"),
        (["--model", "restaurant", "--prot", "1"], "did you mean '--port'"),
        (["--model", "restaurant", "--port", "70000"], "0..65535"),
        (["--model", "restaurant", "--port", "x"], "invalid int value"),
        (["--model", "restaurant", "--host", "0.0.0.0"], "there are no API keys"),
        (["--model", "restaurant", "--api-keys", "nowhere.txt"], "no file of API keys"),
        (["--model", "restaurant", "--limit-steps", "0"], "limit steps must be a number above 0"),
        (["--model", "restaurant", "--allow-plugin", "phrase"], "did you mean 'phrases'"),
        (["--model", "restaurant", "--threads", "0"], "--threads"),
    ],
)
def test_what_cannot_be_is_one_sentence(arguments, words, capsys, monkeypatch) -> None:
    monkeypatch.delenv("DIFFUSIONLM_API_KEYS", raising=False)
    assert main(["serve", *arguments]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_an_address_in_use_is_told_before_models_are_loaded(capsys) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert main(["serve", "--model", "restaurant", "--port", str(port)]) == 2
    said = capsys.readouterr().err
    assert f"127.0.0.1:{port} already" in said
    assert "Serving" not in said
    with pytest.raises(ValueError, match="cannot listen on"):
        check_address("192.0.2.1", 0)


def test_clients_see_no_path_of_the_server(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("diffusionlm.serving.server_paths._SERVED", set())
    here = Path(limits.__file__)
    said = Refusal(
        400, f"It stands in {here}:12. See '/v1/models', a/b and \"{Path.home()}/x y\", {here.parent}."
    ).message
    keep_back(tmp_path / "a model")
    assert Refusal(400, f"No reader in {tmp_path}/a model/readers.").message == "No reader in readers."
    assert said == "It stands in limits.py:12. See '/v1/models', a/b and \"x y\", serving."


def test_help_lists_every_limit(capsys) -> None:
    with pytest.raises(SystemExit) as end:
        main(["serve", "--help"])
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert all(f"--limit-{name.replace('_', '-')}" in said for name in Limits.__dataclass_fields__)


def test_keys_come_from_a_file_and_from_the_environment(tmp_path) -> None:
    (tmp_path / "keys").write_text("# of the team\nfirst-key-0123456789\n\nsecond-key-0123456789\n")
    found = read_keys(tmp_path / "keys", "third-key-0123456789, first-key-0123456789")
    assert sorted(found) == ["first-key-0123456789", "second-key-0123456789", "third-key-0123456789"]
    assert read_keys(None, None) == []
    with pytest.raises(ValueError, match="at least 16 ASCII characters"):
        read_keys(None, "short")
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(ValueError, match="is empty"):
        read_keys(tmp_path / "empty", None)
