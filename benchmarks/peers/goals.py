"""The goals that are compared: a value is mentioned, a length is exact, words have certain parts of speech.

A goal knows its targets, how a text is judged, how a controller may rank texts (never by a learned judge), and what a
classifier of prefixes is shown: at every token a number, the *condition*, that says what is asked for at this place.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from diffusionlm.evaluation import syntax_judge
from diffusionlm.evaluation.control import mentions
from diffusionlm.guidance import Length, PartOfSpeech, Phrases, automata

CONTENT, LENGTH, POS = "content", "length", "pos"
TAGS = (
    "ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON", "PROPN", "PUNCT", "SCONJ", "SYM",
    "VERB", "X",
)  # fmt: skip
NO_TAG = len(TAGS)  # past the last word
CLOSE = 2  # words by which a length may be off in the protocol of Diffusion-LM


@dataclass(frozen=True)
class Sentence:
    """A training text: as people write it, cut into words, and their universal tags ("" where nobody tagged it)."""

    text: str
    words: tuple[str, ...]
    tags: tuple[str, ...] = ()


class Goal(ABC):
    """What is asked for, target by target.

    Attributes:
        targets: the values, numbers of words, or tuples of tags.
        num_conditions: how many conditions there are.
    """

    name: str
    targets: Sequence[Any]
    num_conditions: int

    @abstractmethod
    def judged(self, target: Any, text: str) -> float:
        """How well a text does it, 0 to 1: the figure that is reported."""

    def ranked(self, target: Any, text: str) -> float:
        """What a controller may rank texts by; higher is better."""
        return self.judged(target, text)

    @abstractmethod
    def guidance(self, target: Any) -> Any:
        """Our plugin that asks for it."""

    def language(self, target: Any) -> automata.Language | None:
        """The texts that do it, where an automaton over characters says which."""
        return None

    @abstractmethod
    def conditions(self, target: Any, opened: Tensor) -> Tensor:
        """Conditions of tokens with so many words opened up to and with them; of one past the last for the end."""

    @abstractmethod
    def example(self, sentence: Sentence, draw: random.Random) -> tuple[Any, int]:
        """A target and whether the sentence meets it, each case about half of the time."""


class Mention(Goal):
    """A value is in the text word for word."""

    name = CONTENT

    def __init__(self, values: Sequence[str]) -> None:
        self.targets = list(values)
        self.num_conditions = len(self.targets)

    def judged(self, target: str, text: str) -> float:
        """By Python's `re`."""
        return float(mentions(text, target))

    def guidance(self, target: str) -> Phrases:
        """Exact."""
        return Phrases(include=[target])

    def language(self, target: str) -> automata.Language:
        """Texts with the value as whole words."""
        return automata.contains_any([target], whole_words=True)

    def conditions(self, target: str, opened: Tensor) -> Tensor:
        """The number of the value."""
        return torch.full_like(opened, self.targets.index(target))

    def example(self, sentence: Sentence, draw: random.Random) -> tuple[str, int]:
        """A value of the text, or any."""
        said = [value for value in self.targets if mentions(sentence.text, value)]
        target = draw.choice(said) if said and draw.random() < 0.5 else draw.choice(self.targets)
        return target, int(target in said)

    def said(self, sentences: Sequence[Sentence]) -> Tensor:
        """(sentences, values) 1 where a sentence has a value.

        Raises:
            ValueError: no sentence has one of the values, or all have it.
        """
        table = torch.tensor([[float(mentions(s.text, value)) for value in self.targets] for s in sentences])
        for value, share in zip(self.targets, table.mean(0).tolist(), strict=True):
            if not 0 < share < 1:
                count = round(share * len(sentences))
                raise ValueError(f"{count} of {len(sentences)} texts mention {value!r}: a classifier needs both kinds.")
        return table


class ExactLength(Goal):
    """A number of words, as `str.split` counts them."""

    name = LENGTH
    most = 62  # words left that a condition tells apart

    def __init__(self, lengths: Sequence[int]) -> None:
        self.targets = list(lengths)
        self.num_conditions = self.most + 2

    def judged(self, target: int, text: str) -> float:
        """By `str.split`."""
        return float(len(text.split()) == target)

    def ranked(self, target: int, text: str) -> float:
        """The nearer the better."""
        return -abs(len(text.split()) - target)

    def close(self, target: int, text: str) -> float:
        """The protocol of Diffusion-LM: at most two words off."""
        return float(abs(len(text.split()) - target) <= CLOSE)

    def guidance(self, target: int) -> Length:
        """Exact."""
        return Length(words=target)

    def language(self, target: int) -> automata.Language:
        """Texts of so many words."""
        return automata.length(target, target)

    def conditions(self, target: int, opened: Tensor) -> Tensor:
        """Words that are left; 0 for too many."""
        return (target - opened).clamp(-1, self.most) + 1

    def example(self, sentence: Sentence, draw: random.Random) -> tuple[int, int]:
        """Its own length, or one nearby or any."""
        own = len(sentence.text.split())
        if draw.random() < 0.5:
            return own, 1
        other = own + draw.choice((-3, -2, -1, 1, 2, 3)) if draw.random() < 0.5 else draw.choice(self.targets)
        return other, int(other == own)


class Tags(Goal):
    """The parts of speech of all words; ``tag`` is a tagger that is not the judge, for controllers that rank texts."""

    name = POS

    def __init__(self, sequences: Sequence[Sequence[str]], tag: Callable[[Sequence[str]], list[list[str]]]) -> None:
        self.targets = [tuple(own) for own in sequences]
        self.num_conditions = (NO_TAG + 1) ** 2
        self.tag = tag

    def judged(self, target: Sequence[str], text: str) -> float:
        """The share of right tags, by spaCy."""
        return syntax_judge.tags_right(target, text)

    def ranked(self, target: Sequence[str], text: str) -> float:
        """The share of right tags, by the other tagger."""
        found = self.tag([text])[0]
        right = sum(a == b for a, b in zip(target, found, strict=False))
        return right / max(len(target), len(found), 1)

    def guidance(self, target: Sequence[str]) -> PartOfSpeech:
        """Exact over the library's own tables of tags."""
        return PartOfSpeech(list(target))

    def conditions(self, target: Sequence[str], opened: Tensor) -> Tensor:
        """Tags of the word at hand and of the next."""
        ids = torch.tensor([NO_TAG, *tag_ids(target), NO_TAG, NO_TAG])
        last = len(ids) - 1
        return ids[opened.clamp(0, last)] * (NO_TAG + 1) + ids[(opened + 1).clamp(0, last)]

    def example(self, sentence: Sentence, draw: random.Random) -> tuple[tuple[str, ...], int]:
        """Its own tags; or one exchanged, some more, some less."""
        tags = list(sentence.tags)
        if draw.random() < 0.5:
            return tuple(tags), 1
        place = draw.randrange(len(tags))
        kind = draw.random()
        if kind < 0.8:
            tags[place] = draw.choice([tag for tag in TAGS if tag != tags[place]])
        elif kind < 0.9 or place == 0:
            tags += draw.choices(TAGS, k=1 + draw.randrange(3))
        else:
            tags = tags[:place]
        return tuple(tags), 0


def tag_ids(tags: Sequence[str]) -> list[int]:
    """Numbers of tags; what is no universal tag counts as X."""
    return [TAGS.index(tag) if tag in TAGS else TAGS.index("X") for tag in tags]
