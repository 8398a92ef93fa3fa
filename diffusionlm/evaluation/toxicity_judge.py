"""Judges of toxicity that are no guide: installed packages, or any function that gives texts probabilities."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

PROFANITY = "profanity-check"
DETOXIFY = "detoxify"
HINT = (
    f"give '{PROFANITY}' (pip install alt-profanity-check), '{DETOXIFY}:original' (pip install "
    "'diffusionlm-toolkit[detoxify]'), or 'package.module:function', a function of a list of texts that gives a probability "
    "for each"
)


@dataclass(frozen=True)
class ToxicityJudge:
    """A judge.

    Attributes:
        name: how reports name it.
        known_as: names under which a guide might be the same.
        score: texts -> probability of each that it is toxic.
    """

    name: str
    known_as: tuple[Any, ...]
    score: Callable[[Sequence[str]], np.ndarray]


def find_judge(name: str) -> None:
    """True if a judge is at hand, without loading it.

    Raises:
        ModuleNotFoundError: its package is not installed; the message says what to install.
        ValueError: it is no name of a judge.
    """
    kind = name.partition(":")[0]
    package = {PROFANITY: "profanity_check", DETOXIFY: "detoxify"}.get(kind)
    if package is None and ":" not in name:
        raise ValueError(f"There is no judge of toxicity {name!r}: {HINT}.")
    try:
        found = importlib.util.find_spec(package or kind)
    except (ModuleNotFoundError, ValueError):
        found = None
    if found is None:
        hint = HINT if package else f"there is no module {kind!r} on Python's path; PYTHONPATH=. adds this folder"
        raise ModuleNotFoundError(f"the judge of toxicity {name!r} is not installed: {hint}")


def load_toxicity_judge(name: str) -> ToxicityJudge:
    """A judge by name; see `find_judge` for the names and what is raised.

    Raises:
        ModuleNotFoundError: its package is not installed.
        ValueError: there is no such judge or function.
    """
    find_judge(name)
    kind, _, rest = name.partition(":")
    if kind == PROFANITY:
        from profanity_check import predict_prob

        return ToxicityJudge(name, (name, "profanity_check"), lambda texts: np.asarray(predict_prob(list(texts))))
    if kind == DETOXIFY:
        from detoxify import Detoxify

        model = Detoxify(rest or "original")
        # the variants share data and labels: none of them judges another
        return ToxicityJudge(
            name, (name, DETOXIFY), lambda texts: np.asarray(model.predict(list(texts))["toxicity"], dtype=float)
        )
    function = getattr(importlib.import_module(kind), rest, None)
    if not callable(function):
        raise ValueError(f"{kind} has no function {rest!r}: {HINT}.")
    return ToxicityJudge(name, (name, function), lambda texts: np.asarray(function(list(texts)), dtype=float))
