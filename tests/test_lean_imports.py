"""Packages that a command does not need are hidden while the libraries are imported, and only then."""

import sys

import pytest

from diffusionlm.commands._lean import lean_imports
from diffusionlm.commands.generate import _is_plain


def test_packages_are_hidden_within_the_block_and_there_again_behind_it(tmp_path, monkeypatch):
    (tmp_path / "some_heavy_package.py").write_text("weight = 1\n")
    (tmp_path / "some_light_package.py").write_text(
        "try:\n    import some_heavy_package\nexcept ImportError:\n    alone = True\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with lean_imports(["some_heavy_package"]):
        import some_light_package
    import some_heavy_package

    assert some_light_package.alone
    assert some_heavy_package.weight == 1
    with pytest.raises(KeyError), lean_imports(["not_there", "json"]):
        sys.modules["json"].loads("{}")["no key"]  # what is imported stays
    assert "not_there" not in sys.modules


def test_what_needs_more_is_imported_whole():
    plain = {"checkpoint": "restaurant", "adapter": None, "sampler": None}
    assert _is_plain(plain)
    assert _is_plain({**plain, "sampler": {"name": "euler"}})
    assert not _is_plain({**plain, "adapter": "folder"})
    assert not _is_plain({**plain, "sampler": {"name": "DDIMScheduler"}})
