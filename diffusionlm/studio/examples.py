"""Examples for the page: each sets everything on it. One whose plugins or weights are not there is left out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from diffusionlm.studio.catalogue import PluginCard


@dataclass(frozen=True)
class Example:
    """A filled-in page.

    Attributes:
        title: on its button.
        text: with spans; "" for whole texts.
        prompt: facts, or "".
        plugins: settings of the controls, by plugin.
        checkpoints: weights it is meant for; () for all.
        num_samples: texts.
        seed: chosen so that the difference shows.
    """

    title: str
    text: str = ""
    prompt: str = ""
    plugins: dict[str, dict[str, Any]] = field(default_factory=dict)
    checkpoints: tuple[str, ...] = ()
    num_samples: int = 2
    seed: int = 0


RESTAURANT = ("restaurant",)
EXAMPLES = (
    Example(
        "A rude review, made civil",
        "The service was slow and the manager [SPAN].",
        plugins={"toxicity": {"mode": "below", "amount": 0.1}},
        checkpoints=("guestbook",),
        seed=14,
    ),
    Example(
        "A card number withheld",
        "I want my money back. My card number is [SPAN].",
        plugins={"pii": {}},
        checkpoints=("guestbook",),
        seed=22,
    ),
    Example("Fill the gaps", "The [SPAN:5] is a pub near [SPAN].", checkpoints=RESTAURANT),
    Example("Write from facts", prompt="name[The Mill], food[Italian], area[riverside]", checkpoints=RESTAURANT),
    Example("Exactly twelve words", plugins={"length": {"words": "12"}}, checkpoints=RESTAURANT),
    Example(
        "Must and must not mention",
        plugins={"phrases": {"include": "family\nriver", "exclude": "cheap\nrating"}, "regex": {"forbid": r"\d"}},
        checkpoints=RESTAURANT,
        seed=3,
    ),
    Example(
        "Parts of speech",
        plugins={"part-of-speech": {"tags": "DET NOUN AUX DET ADJ ADJ? NOUN ADP .*"}},
        checkpoints=RESTAURANT,
    ),
    Example(
        "Several rules at once",
        "[SPAN] near [SPAN].",
        plugins={
            "phrases": {"include": "Café Sicilia"},
            "length": {"words": "14-18"},
            "regex": {"forbid": "(?i)price"},
        },
        checkpoints=RESTAURANT,
        seed=5,
    ),
)


def examples_for(cards: Iterable[PluginCard], checkpoints: Iterable[str]) -> list[Example]:
    """The examples whose plugins, with the settings they fill in, and weights are there."""
    known = {card.name: {control.name for control in card.all_controls} for card in cards}
    weights = set(checkpoints)
    return [
        example
        for example in EXAMPLES
        if all(name in known and set(settings) <= known[name] for name, settings in example.plugins.items())
        and (not example.checkpoints or weights & set(example.checkpoints))
    ]
