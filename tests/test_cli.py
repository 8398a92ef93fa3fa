"""The frame of the command line: finding, listing and running subcommands, and errors as sentences."""

import os
import subprocess
import sys
import textwrap

import pytest

import diffusionlm
from diffusionlm import cli, commands

COMMAND = '''
"""A command made by the tests."""
SUMMARY = "Do what the test asks"

def main(argv):
    """Run."""
'''


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Makes a subcommand of the given name whose main has the given body."""
    monkeypatch.setattr(cli, "_COMMANDS", tmp_path)
    monkeypatch.setattr(commands, "__path__", [str(tmp_path)])

    def make(name, body):
        (tmp_path / f"{name}.py").write_text(COMMAND + textwrap.indent(textwrap.dedent(body), "    "))
        monkeypatch.delitem(sys.modules, f"diffusionlm.commands.{name}", raising=False)
        monkeypatch.delattr(commands, name, raising=False)

    yield make
    for path in tmp_path.glob("*.py"):
        sys.modules.pop(f"diffusionlm.commands.{path.stem}", None)


def test_the_arguments_reach_the_command_and_its_exit_code_comes_back(command, capsys):
    command("echo", "print(argv); return 7")
    assert cli.main(["echo", "a", "--b", "c"]) == 7
    assert capsys.readouterr().out == "['a', '--b', 'c']\n"


def test_the_listing_shows_the_commands_that_exist_in_order_and_nothing_else(command, capsys):
    for name in ("zebra", "info", "generate", "_private"):
        command(name, "return 0")
    assert cli.available_commands() == ["generate", "info", "zebra"]
    assert cli.main(["--help"]) == 0
    text = capsys.readouterr().out
    assert "  generate  Do what the test asks\n  info      Do what the test asks\n  zebra     Do" in text
    assert "private" not in text
    assert "train" not in text


def test_a_command_without_a_summary_is_our_mistake(command):
    command("silent", "return 0")
    (cli._COMMANDS / "silent.py").write_text("def main(argv): return 0\n")
    with pytest.raises(AssertionError, match="silent.py is a subcommand without a line SUMMARY"):
        cli.main(["--help"])


@pytest.mark.parametrize("arguments", [["-V"], ["--version"]])
def test_version(arguments, capsys):
    assert cli.main(arguments) == 0
    assert capsys.readouterr().out == f"diffusionlm {diffusionlm.__version__}\n"


def test_no_command_shows_the_help_and_fails(capsys):
    assert cli.main([]) == 2
    assert capsys.readouterr().err.startswith("usage: diffusionlm COMMAND")


def test_help_of_a_command_is_the_commands_own(command, capsys):
    command("echo", "print(argv); return 0")
    cli.main(["help", "echo"])
    assert capsys.readouterr().out == "['--help']\n"


@pytest.mark.parametrize(
    ("given", "hint"),
    [("genrate", "did you mean 'generate'?"), ("xyz", "there are: generate."), ("--hepl", "did you mean '--help'?")],
)
def test_unknown_commands_and_options_get_a_hint(command, capsys, given, hint):
    command("generate", "return 0")
    assert cli.main([given]) == 2
    error = capsys.readouterr().err
    assert f"'{given}'" in error
    assert hint in error


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("raise ValueError('steps is 0; give 1 or more.')", "steps is 0; give 1 or more."),
        ("raise OSError('There is no checkpoint x.')", "There is no checkpoint x."),
        ("raise FloatingPointError('The gradient is not finite.')", "The gradient is not finite."),
        (
            "raise ImportError('Plugin x cannot be imported.')",
            "Plugin x cannot be imported.",
        ),
        ("raise ValueError('first line\\n  second line')", "first line second line"),
        (
            "from diffusionlm.guidance import GuidanceError; raise GuidanceError('Plugin x fell.')",
            "Plugin x fell.",
        ),
        ("open('/nowhere/at/all')", "No such file or directory: /nowhere/at/all"),
    ],
)
def test_errors_of_the_user_are_one_sentence_and_exit_code_2(command, capsys, monkeypatch, body, sentence):
    monkeypatch.delenv("DIFFUSIONLM_TRACEBACK", raising=False)
    command("fail", body)
    assert cli.main(["fail"]) == 2
    assert capsys.readouterr().err == f"diffusionlm fail: {sentence}\n"


def test_the_traceback_is_there_for_the_asking(command, capsys, monkeypatch):
    monkeypatch.setenv("DIFFUSIONLM_TRACEBACK", "1")
    command("fail", "raise ValueError('steps is 0.')")
    assert cli.main(["fail"]) == 2
    error = capsys.readouterr().err
    assert "Traceback (most recent call last)" in error
    assert error.endswith("diffusionlm fail: steps is 0.\n")


@pytest.mark.parametrize("error", ["ValueError()", "TypeError('ours')", "RuntimeError('ours')", "KeyError('ours')"])
def test_our_own_mistakes_keep_their_traceback(command, error):
    command("fail", f"raise {error}")
    with pytest.raises((ValueError, TypeError, RuntimeError, KeyError)):
        cli.main(["fail"])


def test_a_missing_extra_says_what_to_install(command, capsys, monkeypatch):
    monkeypatch.setattr(cli.metadata, "requires", lambda name: ["torch>=2", 'flash-attn<3,>=2.8; extra == "flash"'])
    command("fail", "raise ModuleNotFoundError(\"No module named 'flash_attn'\", name='flash_attn.layers')")
    assert cli.main(["fail"]) == 2
    assert "run: pip install 'diffusionlm-toolkit[flash]'" in capsys.readouterr().err


def test_a_name_that_cannot_be_imported_is_our_mistake(command):
    command("fail", "from diffusionlm.checkpoints.folders import nothing_of_that_name")
    with pytest.raises(ImportError, match="nothing_of_that_name"):
        cli.main(["fail"])


def test_a_missing_module_of_no_extra_is_our_mistake(command):
    command("fail", "import diffusionlm.no_such_module")
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        cli.main(["fail"])


def test_interruption_ends_with_130(command, capsys):
    command("wait", "raise KeyboardInterrupt")
    assert cli.main(["wait"]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_error(root, tmp_path):
    (tmp_path / "chatter.py").write_text(COMMAND + "    for _ in range(100_000): print('text')\n    return 0\n")
    program = (
        "import sys; from pathlib import Path; from diffusionlm import cli, commands; "
        f"cli._COMMANDS = Path({str(tmp_path)!r}); commands.__path__ = [{str(tmp_path)!r}]; "
        "sys.exit(cli.main(['chatter']))"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", program], cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert writer.stdout.readline() == "text\n"
    writer.stdout.close()
    assert writer.stderr.read() == ""
    assert writer.wait(timeout=240) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["info", "nowhere"], "Unknown checkpoint 'nowhere'"),
        (["train", "data.train=nofile.txt"], "The data file 'nofile.txt' does not exist"),
        (["train", "experiment=restaurant", "data.root=nowhere"], "set data.root=FOLDER"),
        (["distil", "teacher=nope", "data.train=nofile.txt"], "Unknown checkpoint 'nope'"),
        (["distil", "teacher=restaurant", "data.train=nofile.txt"], "The data file 'nofile.txt' does not exist"),
        (["train-classifier", "name=p", "data.train=nofile.csv"], "'nofile.csv' does not exist"),
        (["train-classifier", "name=p", "checkpoint=nope", "data.train=nofile.csv"], "Unknown checkpoint 'nope'"),
    ],
)
def test_missing_files_and_checkpoints_are_told_before_torch_is_imported(root, arguments, words):
    program = (
        f"import sys; from diffusionlm import cli; code = cli.main({arguments!r}); "
        "assert 'torch' not in sys.modules; sys.exit(code)"
    )
    run = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, timeout=240)
    assert run.returncode == 2, run.stderr
    assert words in run.stderr


def test_listing_the_real_commands_imports_neither_them_nor_torch(root):
    program = (
        "import sys; from diffusionlm import cli; code = cli.main(['--help']); "
        "assert 'torch' not in sys.modules; "
        "assert not [m for m in sys.modules if m.startswith('diffusionlm.commands')]; sys.exit(code)"
    )
    run = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, timeout=240)
    assert run.returncode == 0, run.stderr
    assert "commands:" in run.stdout


@pytest.mark.parametrize("name", cli.available_commands())
def test_every_command_has_a_help_that_reads(root, name):
    run = subprocess.run(
        [sys.executable, "-m", "diffusionlm", name, "--help"],
        cwd=root,
        env={**os.environ, "COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert run.returncode == 0, run.stderr
    assert f"diffusionlm {name}" in run.stdout
    assert cli.summary(name)[0].isupper()
    assert len(cli.summary(name)) <= 90
