"""Every Python block and every `diffusionlm` command of the README runs, in the order of the page.

The pages under docs/ run in tests/guidance/test_guidance_docs.py.
"""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md"]
_BLOCK = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
# `diffusionlm train` is run by the tests of training, on data made there; these start servers or need extras.
_ELSEWHERE = ("train", "train-classifier", "evaluate", "demo")


def blocks(page: Path, languages: tuple[str, ...]) -> list[str]:
    return [body for language, body in _BLOCK.findall(page.read_text(encoding="utf-8")) if language in languages]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_python_blocks_run(page: Path, tmp_path) -> None:
    """In a process of its own: a page may register plugins."""
    script = tmp_path / "page.py"
    script.write_text("\n".join(blocks(page, ("python",))), encoding="utf-8")
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def commands() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        for body in blocks(page, ("sh", "bash", "console")):
            for line in body.replace("\\\n", " ").splitlines():
                line = line.strip().removeprefix("$ ")
                if line.startswith("diffusionlm "):
                    found.append((page.name, line))
    return found


@pytest.mark.parametrize(("page", "line"), commands(), ids=lambda value: str(value)[:60])
def test_commands_run(page: str, line: str, tmp_path, monkeypatch, capsys) -> None:
    from diffusionlm.cli import main

    arguments = shlex.split(line, comments=True)[1:]
    if arguments[0] in _ELSEWHERE:
        from diffusionlm.cli import available_commands

        assert arguments[0] in available_commands()
        return
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 0, capsys.readouterr().err
