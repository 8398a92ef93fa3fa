"""Questions with a known answer: held-out E2E sentences that leave the value of one field open, and how answers are judged."""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from diffusionlm.text.conditions import fields_of

FIELDS = {
    "type": ["pub", "restaurant", "coffee shop"],
    "area": ["city centre", "riverside"],
}
BINS = 5  # of the calibration error


@dataclass(frozen=True)
class Question:
    """A sentence with a gap.

    Attributes:
        field: whose value is left out.
        left, right: known text on both sides.
        options: what could stand there.
        answer: what stood there.
    """

    field: str
    left: str
    right: str
    options: Sequence[str]
    answer: str

    @property
    def open_text(self) -> str:
        """The sentence as `pipe.choose` takes it."""
        return f"{self.left}[CHOICE:{'|'.join(self.options)}]{self.right}"

    @property
    def filled(self) -> list[str]:
        """The sentence with each of the options."""
        return [f"{self.left}{option}{self.right}" for option in self.options]


def questions(
    pairs: Sequence[tuple[str, str]], count: int, seed: int, fits: Callable[[str], bool] = lambda text: True
) -> list[Question]:
    """Up to ``count`` questions for each field, from (condition, text) pairs in an order of the seed.

    A sentence asks about a field if it says the field's value, one of the options, exactly once.
    """
    order = list(pairs)
    random.Random(seed).shuffle(order)
    found: list[Question] = []
    asked: Counter[str] = Counter()
    for condition, text in order:
        values = dict(fields_of(condition))
        for name, options in FIELDS.items():
            value = values.get(name)
            if value not in options or asked[name] >= count or "[" in text:
                continue
            places = list(re.finditer(rf"\b{re.escape(value)}\b", text))
            if len(places) == 1 and fits(text):
                start, end = places[0].span()
                found.append(Question(name, text[:start], text[end:], options, value))
                asked[name] += 1
    return found


def judged(asked: Sequence[Question], answers: Sequence[Mapping[str, float]]) -> dict[str, dict[str, Any]]:
    """Accuracy, mean log loss in nats and expected calibration error of probabilities, by field."""
    figures = {}
    for name in dict.fromkeys(question.field for question in asked):
        own = [(q, answer) for q, answer in zip(asked, answers, strict=True) if q.field == name]
        best = [max(answer, key=lambda option: answer[option]) for _, answer in own]
        right = [found == question.answer for found, (question, _) in zip(best, own, strict=True)]
        sure = [answer[found] for found, (_, answer) in zip(best, own, strict=True)]
        said = Counter(question.answer for question, _ in own)
        figures[name] = {
            "texts": len(own),
            "accuracy": sum(right) / len(own),
            "log_loss": sum(-math.log(max(answer[question.answer], 1e-9)) for question, answer in own) / len(own),
            "calibration_error": calibration_error(sure, right),
            "accuracy_of_the_commonest": max(said.values()) / len(own),
            "log_loss_of_equal_odds": math.log(len(own[0][0].options)),
        }
    return figures


def calibration_error(sure: Sequence[float], right: Sequence[bool], bins: int = BINS) -> float:
    """Expected calibration error of the probability of the best option (Guo et al. 2017, eq. 3)."""
    gaps: dict[int, float] = {}
    for probability, hit in zip(sure, right, strict=True):
        place = min(int(probability * bins), bins - 1)
        gaps[place] = gaps.get(place, 0.0) + probability - hit
    return sum(map(abs, gaps.values())) / len(sure)


def softmax(nats: Mapping[str, float]) -> dict[str, float]:
    """Probabilities of options from the negative log-likelihoods of the sentences with them."""
    least = min(nats.values())
    weights = {option: math.exp(least - own) for option, own in nats.items()}
    return {option: weight / sum(weights.values()) for option, weight in weights.items()}
