"""A new plugin package on disk: the plugin, its entry point, and a test with the conformance kit."""

from __future__ import annotations

import keyword
from pathlib import Path

_PLUGIN = '''"""The guidance plugin {name!r} for diffusionlm."""

from diffusionlm.guidance import Guidance, register


@register("{name}")
class {class_name}(Guidance):
    """Lower the expected number of tokens that contain a letter.

    Args:
        letter: the letter to avoid.
    """

    reference = ""  # the paper and equation that it follows, if any
    letter: str = "e"

    def bind(self, vocabulary):
        """Finds the tokens; called once for each tokenizer."""
        self.tokens = vocabulary.where(lambda text: self.letter in text.lower())

    def energy(self, state):
        """Expected number (B,): lower is better. state.probs is (B, L, V)."""
        return (state.probs[..., self.tokens.to(state.device)].sum(-1) * state.span_mask).sum(-1)
'''

_TEST = '''"""The plugin keeps the contract: diffusionlm's conformance kit, one test for each check."""

from diffusionlm.guidance.testing import parametrize_checks, run_check
from {module} import {class_name}


@parametrize_checks({class_name}(), {class_name}(letter="s", weight=20.0))
def test_plugin(plugin, check):
    run_check(plugin, check)
'''

_PROJECT = """[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "{package}"
version = "0.1.0"
description = "The guidance plugin {name} for diffusionlm"
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["diffusionlm-toolkit"]

[project.optional-dependencies]
test = ["pytest>=8.4"]

# How diffusionlm finds the plugin: the group, the plugin's name, and where its class is.
[project.entry-points."diffusionlm.guidance"]
{name} = "{module}:{class_name}"

[tool.setuptools]
py-modules = ["{module}"]
"""

_README = """# {package}

A guidance plugin for [diffusionlm](https://pypi.org/project/diffusionlm-toolkit).

    pip install .
    diffusionlm guidance show {name}
    pip install pytest && pytest          # the conformance kit

    pipe(seed=0, guidance={{"{name}": {{"weight": 4.0}}}})     # and again without guidance, to compare
"""


def scaffold(name: str, folder: Path | None = None) -> list[Path]:
    """Writes a plugin package that installs, is found by name, and passes the conformance kit as it is.

    Args:
        name: of the plugin: lower-case words joined by hyphens.
        folder: where to write it; a new folder of the plugin's name below the current one if None.

    Returns:
        The files.

    Raises:
        ValueError: if the name is malformed or taken.
        FileExistsError: if the folder exists and is not empty.
    """
    from diffusionlm.guidance.registry.plugins import available

    words = name.split("-")
    if not all(word.isidentifier() and word == word.lower() for word in words) or keyword.iskeyword(words[0]):
        raise ValueError(f"A plugin's name is lower-case words joined by hyphens, as in 'no-shouting'; got {name!r}.")
    taken = available().get(name)
    if taken is not None:
        raise ValueError(f"The plugin name {name!r} is taken by {taken.origin}; choose another.")
    folder = Path(name) if folder is None else folder
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"The folder {folder} exists and is not empty; name another.")
    values = {
        "name": name,
        "class_name": "".join(word.capitalize() for word in words),
        "package": f"diffusionlm-{name}",
        "module": "diffusionlm_" + name.replace("-", "_"),
    }
    files = {
        f"{values['module']}.py": _PLUGIN,
        f"tests/test_{values['module']}.py": _TEST,
        "pyproject.toml": _PROJECT,
        "README.md": _README,
    }
    written = []
    for path, template in files.items():
        text = template.format(**values)
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        written.append(target)
    return written
