"""Freed memory is given back now and then, and where the C library cannot, nothing happens."""

import sys

import pytest

from diffusionlm.generation import free_memory


@pytest.fixture(autouse=True)
def as_new(monkeypatch):
    monkeypatch.setattr(free_memory, "_last", -1e9)


def test_it_is_done_once_within_the_pause(monkeypatch):
    asked = []
    monkeypatch.setattr(free_memory, "_trim", lambda: asked.append)
    assert free_memory.give_back(pause=100.0)
    assert not free_memory.give_back(pause=100.0)
    assert free_memory.give_back(pause=0.0)
    assert asked == [0, 0]


def test_without_such_a_function_nothing_is_done(monkeypatch):
    monkeypatch.setattr(free_memory, "_trim", lambda: None)
    assert not free_memory.give_back(pause=0.0)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="malloc_trim is glibc's")
def test_the_function_of_the_c_library_can_be_called():
    trim = free_memory._trim()
    assert trim is None or trim(0) in (0, 1)
