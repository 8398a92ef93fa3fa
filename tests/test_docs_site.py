"""The site: built with warnings as errors, complete, and without a request to anywhere else."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.site  # make docs runs them


@pytest.fixture(scope="module")
def site(root, tmp_path_factory):
    """The built site: paths below it and their HTML. DIFFUSIONLM_SITE names one that was built already."""
    if "DIFFUSIONLM_SITE" in os.environ:
        return read(root / os.environ["DIFFUSIONLM_SITE"])
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=root,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return read(folder)


def read(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text(encoding="utf-8") for path in folder.rglob("*.html")}


def test_every_page_is_in_the_site_and_no_source_is(site, root):
    pages = {path.stem for path in (root / "docs").glob("*.md")}
    assert {f"{page}.html" for page in pages} <= set(site)
    assert len(site["index.html"]) > 5000


def test_nothing_is_loaded_from_elsewhere(site):
    for name, html in site.items():
        loaded = re.findall(r"<(?:script|img|iframe|source|video)\b[^>]*\bsrc=\"?([^\" >]+)", html)
        loaded += re.findall(r"<link\b[^>]*rel=\"?(?:stylesheet|preload|preconnect|icon)[^>]*href=\"?([^\" >]+)", html)
        loaded += re.findall(r"@import[^;]+;|url\((?:https?:)?//[^)]+\)", html)
        assert loaded, name
        assert not [address for address in loaded if re.match(r"(https?:)?//", address) or "@import" in address], name


def test_every_command_and_its_actions_are_in_the_reference(site):
    from diffusionlm.cli import available_commands

    page = site["reference/commands.html"]
    for name in available_commands():
        assert re.search(rf"<h2[^>]*>{name}<", page)
    assert "run the conformance kit over a plugin" in page
    assert re.search(r"<h3[^>]*>guidance check<", page)


def test_every_public_name_is_in_the_reference(site):
    import importlib
    import inspect

    whole = "".join(html for name, html in site.items() if name.startswith("reference/"))
    for package in ("", ".guidance", ".samplers", ".diffusion", ".denoiser", ".text"):
        module = importlib.import_module(f"diffusionlm{package}")
        for name in module.__all__:
            thing = getattr(module, name)
            if inspect.isclass(thing) or inspect.isfunction(thing):
                assert f'id="{thing.__module__}.{thing.__qualname__}"' in whole, f"{module.__name__}.{name}"


def test_every_built_in_plugin_is_in_the_reference(site):
    from diffusionlm.guidance.registry.plugins import PLUGINS

    for name in PLUGINS.built_in:
        assert re.search(rf"<h2 (?:(?!</h2>).)*>\s*{name}\s*<", site["reference/plugins.html"], re.DOTALL), name


def test_the_results_are_those_of_the_benchmarks(site, root):
    page = site["results.html"]
    for heading in re.findall(r"^## (.+)$", (root / "benchmarks" / "README.md").read_text(), re.MULTILINE):
        assert f">{heading}<" in page
    assert "perplexity of 500 samples" in page


def test_an_inclusion_of_what_is_not_there_is_an_error(root, monkeypatch):
    monkeypatch.syspath_prepend(root / "docs")
    import hooks

    with pytest.raises(ValueError, match="README.md has no heading 'Nothing'"):
        hooks.included("README.md", "Nothing")
    with pytest.raises(FileNotFoundError):
        hooks.included("NOTHING.md", None)


def test_the_pictures_are_made_by_their_script(root, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(root / "docs")
    import pictures

    pictures.main(["--out", str(tmp_path), "--steps", "3"])
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {f"{name}.svg" for name in pictures.PICTURES}
    shown = set()
    for page in (root / "docs").glob("*.md"):
        shown |= set(re.findall(r"\(images/([\w-]+\.svg)\)", page.read_text()))
    assert made == shown
    for name in made:
        assert (root / "docs" / "images" / name).read_text().startswith("<?xml")
        assert "http" not in re.sub(
            r"xmlns[^>]*|<!DOCTYPE[^>]*>|rdf:resource=\"[^\"]*\"", "", (tmp_path / name).read_text()
        )
