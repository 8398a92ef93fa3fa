"""``diffusionlm guidance`` and the packages it scaffolds; the demo package installed and used."""

import shutil
import subprocess
import sys

import pytest

from diffusionlm.cli import main
from diffusionlm.guidance.registry import plugins as registry

pytestmark = pytest.mark.usefixtures("clean_registry")


def test_list_shows_every_plugin_with_its_summary_and_origin(capsys):
    assert main(["guidance", "list"]) == 0
    out = capsys.readouterr().out
    for name in registry.available():
        assert name in out
    assert "phrases.py:" in out
    assert "strategy constraint" in out


def test_show_tells_settings_and_reference(capsys):
    assert main(["guidance", "show", "classifier-free"]) == 0
    out = capsys.readouterr().out
    assert "after Ho and Salimans 2022" in out
    assert "weight = 1.0" in out
    assert main(["guidance", "show", "classifierfree"]) == 2
    assert "did you mean 'classifier-free'" in capsys.readouterr().err


def test_a_new_plugin_conforms_as_it_is(tmp_path, capsys):
    assert main(["guidance", "new", "no-letters", "--folder", str(tmp_path / "plugin")]) == 0
    file = tmp_path / "plugin" / "diffusionlm_no_letters.py"
    assert str(file) in capsys.readouterr().out
    assert main(["guidance", "check", str(file)]) == 0
    assert "holds   gradient" in capsys.readouterr().out
    assert main(["guidance", "new", "no-letters", "--folder", str(tmp_path / "plugin")]) == 2
    assert main(["guidance", "new", "regex"]) == 2
    assert "taken by" in capsys.readouterr().err
    assert main(["guidance", "new", "No Letters"]) == 2


def test_check_fails_for_a_plugin_that_does_not_conform(tmp_path, capsys):
    bad = tmp_path / "bad_plugin.py"
    bad.write_text(
        "from diffusionlm.guidance import Guidance\n"
        "class Bad(Guidance):\n    '''One number for the batch.'''\n"
        "    def energy(self, state): return state.probs.sum()\n"
    )
    assert main(["guidance", "check", str(bad)]) == 1
    assert "FAILS   shape_and_dtype" in capsys.readouterr().out
    assert main(["guidance", "check", str(tmp_path / "none.py")]) == 2
    assert main(["guidance", "check", "nothing"]) == 2
    capsys.readouterr()
    (tmp_path / "plugin.txt").write_text("")
    for target, what in ((tmp_path, "folder"), (tmp_path / "plugin.txt", "file")):
        assert main(["guidance", "check", str(target)]) == 2
        assert f"The {what} {target} is no Python file; give the path of one with plugins" in capsys.readouterr().err


def test_a_plain_function_in_a_file_is_checked_and_shown(tmp_path, capsys):
    file = tmp_path / "short_texts.py"
    file.write_text(
        "def short(state):\n    '''Fewer tokens than now.'''\n"
        "    return (1 - state.probs[..., state.vocabulary.pad_id]).sum(-1)\n\n"
        "def doubled(number):\n    return 2 * number\n"
    )
    assert main(["guidance", "check", str(file)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("short: ")
    assert "doubled" not in out
    assert "holds   json_round_trip" in out
    assert main(["guidance", "show", str(file)]) == 0
    assert "Fewer tokens than now." in capsys.readouterr().out
    file.write_text("def wrong(state):\n    '''No number for each sample.'''\n    return state.probs.sum()\n")
    assert main(["guidance", "check", str(file)]) == 1
    assert "FAILS   shape_and_dtype" in capsys.readouterr().out


def test_a_registered_function_in_a_file_is_checked_by_its_name(tmp_path, capsys):
    file = tmp_path / "registered_here.py"
    file.write_text(
        "from diffusionlm.guidance import register\n\n@register('short-texts')\ndef short(state):\n"
        "    '''Fewer tokens than now.'''\n    return (1 - state.probs[..., state.vocabulary.pad_id]).sum(-1)\n"
    )
    assert main(["guidance", "check", str(file)]) == 0
    assert capsys.readouterr().out.startswith("short-texts: ")


@pytest.mark.parametrize(
    ("source", "reason"), [("raise RuntimeError('at import')", "RuntimeError: at import"), ("def x(:", "SyntaxError: ")]
)
def test_a_file_that_cannot_be_imported_is_one_sentence(tmp_path, capsys, source, reason):
    (tmp_path / "broken_file.py").write_text(source + "\n")
    assert main(["guidance", "check", str(tmp_path / "broken_file.py")]) == 2
    error = capsys.readouterr().err
    assert f"broken_file.py cannot be imported: {reason}" in error
    assert error.count("\n") == 1
    assert "broken_file" not in sys.modules


def test_the_demo_package_is_installed_found_and_used(root, tmp_path):
    """Into a fresh folder, from a copy: building leaves files behind."""
    source, target = tmp_path / "source", tmp_path / "site"
    shutil.copytree(
        root / "demos" / "custom_guidance", source, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
    )
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--target", str(target), str(source)], check=True, timeout=240)
    code = f"""
import os, sys
import pytest
sys.path.insert(0, {str(target)!r})
from diffusionlm.guidance import available, get
from diffusionlm.guidance.testing.toy import ToyModel
print(available()["no-shouting"].origin, "diffusionlm_house_style" in sys.modules)
result = ToyModel().sample(["full-stop", {{"no-shouting": {{"weight": 20.0}}}}], rows=8)
assert all(text[-1] in ".!?" for text in result.texts), result.texts
assert all(all(held.values()) for held in result.certificates)
print(get("no-shouting").__module__, flush=True)
os.chdir({str(source)!r})  # the tests of the package, from its own folder
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "tests"]))
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, timeout=280)
    assert out.returncode == 0, out.stdout + out.stderr
    said = out.stdout.split()
    assert said[:6] == [
        "package", "diffusionlm-house-style", "0.1.0", "(diffusionlm_house_style:NoShouting)", "False",
        "diffusionlm_house_style",
    ]  # fmt: skip
    assert "[100%]" in out.stdout  # its tests ran; none would be exit code 5
