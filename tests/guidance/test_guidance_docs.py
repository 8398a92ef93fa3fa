"""The code in the guidance documents runs, block after block, with a pipeline at hand."""

import re

import pytest

from diffusionlm.guidance import registry

PAGES = ["write-a-plugin.md", "which-strategy.md", "guarantees.md"]


@pytest.mark.parametrize("page", PAGES)
def test_every_code_block_runs(root, pipe, page):
    before = dict(registry._registered)
    blocks = re.findall(r"```python\n(.*?)```", (root / "docs" / page).read_text(), re.DOTALL)
    assert blocks
    names = {"pipe": pipe, "__name__": "docs"}
    try:
        for number, block in enumerate(blocks):
            exec(compile(block, f"{page}, block {number}", "exec"), names)
    finally:
        registry._registered.clear()
        registry._registered.update(before)
