"""What the tests of the demo share: a plugin with every kind of setting, and orders that are quick to carry out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from diffusionlm.guidance import Guidance, register
from diffusionlm.guidance.registry.plugins import unregister
from diffusionlm.studio.order import Order


@dataclass(frozen=True)
class Pair:
    """A record of plain data."""

    first: int
    second: str | None = None


class Whim:
    """What a text may stand for, where it is no plain data."""


@pytest.fixture
def whimsy():
    """A plugin that somebody else wrote, registered for one test."""

    @register("whimsy")
    class Whimsy(Guidance):
        """Prefers `odd` words. Nobody knows why.

        It really does.

        Args:
            words: one of these, a list.
            least: how many.
            share: of the words that must be odd,
                at least.
            mood: in which it writes.
            loud: with capitals.
            size: in words.
            source: a file with one word a line.
            lists: of words, or a file with them.
            pattern: of what.
            either: this or that.
            judge: who decides.
            shape: of the text, ``"1 < 2"``; in Python also pairs.
            names: of the odd, or lists of them.
            foreign: an object that only its maker knows.
        """

        words: Sequence[str] = ("zany",)
        least: int = 2
        share: float | None = None
        mood: Literal["gay", "grim"] = "gay"
        loud: bool = False
        size: int | Sequence[int | None] | None = None
        source: str = "words.txt"
        lists: str | Path | Sequence[str] = ()
        path_of_words: str = ""
        pattern: str | Sequence[str | Sequence[str]] | Mapping[int, str] = ".*"
        either: str | Path = "a"
        judge: Callable[[str], float] | None = None
        table: Mapping[str, float] | None = None
        anything: Any = None
        shape: str | Pair | Sequence[tuple[int, str]] = "2 < 3"
        names: Sequence[str | Sequence[str]] = ()
        foreign: str | Whim = "a"

        def energy(self, state):
            return state.probs[..., 5].sum(-1)

        def highlight(self, text):
            place = text.find("a")
            return [] if place < 0 else [(place, place + 1, "an a")]

    yield Whimsy
    unregister("whimsy")


@pytest.fixture
def order():
    """Makes an order of four steps."""

    def make(text="The [SPAN:3] near [SPAN].", guidance=(), **changes):
        settings = {"prompt": None, "num_samples": 2, "steps": 4, "temperature": 0.8, "seed": 3} | changes
        return Order("restaurant", text, guidance=tuple(guidance), **settings)

    return make
