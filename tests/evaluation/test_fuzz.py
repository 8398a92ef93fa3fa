"""A short form of `benchmarks.fuzz`: calls right and wrong, and faults that it has to see."""

import pytest

from benchmarks.fuzz import Findings, broken, fuzz, judge
from benchmarks.tiny_models import tiny_pipeline
from diffusionlm.generation.results import GenerationResult, Sample


@pytest.fixture(scope="module")
def pipe():
    pipe = tiny_pipeline()
    pipe.set_progress_bar_config(disable=True)
    return pipe


def test_random_calls_give_texts_that_keep_their_promises_or_a_sentence(pipe):
    found = fuzz(pipe, 25, seed=5)
    assert found.faults == {}
    assert found.written + found.refused.total() == 25


def test_errors_that_nobody_meant_are_faults(pipe):
    def stumble(*_, **__):
        return 1 / 0

    found = Findings()
    judge(pipe, None, {}, stumble, found)
    assert [kind.partition(" at ")[0] for kind in found.faults] == ["ZeroDivisionError"]
    found = Findings()
    judge(pipe, None, {}, lambda: int("x"), found)  # a ValueError, but not by a sentence of ours
    assert len(found.faults) == 1
    found = Findings()
    judge(pipe, None, {"steps": 0}, lambda: None, found)
    assert not found.faults
    assert found.refused == {"ValueError": 1}


def test_lost_text_and_broken_certificates_are_faults():
    samples = [[Sample("The bar.", ["pub"], [[1]], 0, {"length: 2 words": False})]]
    kinds = [kind for kind, _ in broken("The [SPAN].", {}, GenerationResult(samples, {}, {}, False))]
    assert kinds == ["known text changed", "certificate broken: length"]
