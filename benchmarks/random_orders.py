"""Random orders of the studio's visitors for `bench_soak`: most make sense, some do not, as people's do."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from diffusionlm.studio.catalogue import PluginCard
from diffusionlm.studio.control import Control

TEXTS = [
    "",
    "[SPAN]",
    "The [SPAN:5] is a pub near [SPAN].",
    "[SPAN] near [SPAN].",
    "The Mill is [SPAN:3]. It [SPAN]",
    "Near Café Rouge [SPAN], prices start at £20.",
]
ODD_TEXTS = [
    "no gap at all",
    "[SPAN:0]",
    "[SPAN:999999]",
    "[SPAN] " * 9,
    "a" * 700,
    "[SPAN",
    "\x00[SPAN]",
    ["a"],
    None,
    7,
]
FACTS = ["", "name[The Mill], food[Italian], area[riverside]", "name[The Vaults]", "food[", "🍺" * 40]
PHRASES = [
    "pub",
    "river",
    "family friendly",
    "Café Sicilia",
    "£20",
    "5 out of 5",
    "cheap\nrating",
    "children\ncoffee",
    "é\n'",
]
ODD = ["", None, "x", -3, 10**9, 2.5, True, [], {"path": "/etc/passwd"}, "(", "[SPAN]", "a" * 5000]
# Of settings that take words of their own.
USUAL = {
    ("toxicity", "labels"): ["", "insult\nthreat"],
    ("toxicity", "exclude"): ["", "identity_attack"],
    ("personal-names", "kinds"): [""],
    ("choice", "options"): ["pub\ncoffee shop\nrestaurant", "a pub\na bar"],
    ("regex", "require"): ["", "pub|bar", "(?i)price"],
    ("regex", "forbid"): ["", r"\d", "(?i)price", "river"],
    ("regex", "match"): ["", ".*"],
    ("classifier-free", "without"): ["prompt"],
}


@dataclass(frozen=True)
class Asked:
    """What one visitor sends.

    Attributes:
        basics: text, facts, number of texts, steps, temperature, seed and sampler, in the order of the page.
        compare: whether the unguided text is written beside it.
        plugins: values of the controls as the page holds them, of the plugins that are switched on.
    """

    basics: tuple[Any, ...]
    compare: bool
    plugins: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def draw_order(rng: random.Random, cards: Sequence[PluginCard], steps: int = 16, odd: float = 0.01) -> Asked:
    """One order.

    Args:
        rng: decides.
        cards: plugins that can be switched on.
        steps: most denoising steps.
        odd: share of the fields that get a value which no thoughtful visitor would give.
    """

    def pick(values: Sequence[Any], wrong: Sequence[Any] = ODD) -> Any:
        return rng.choice(wrong if rng.random() < odd else values)

    basics = (
        pick(TEXTS, ODD_TEXTS),
        pick(FACTS[:1] * 4 + FACTS),
        pick([1, 1, 2, 3]),
        pick(range(2, steps + 1)),
        pick([0.5, 0.8, 0.9, 1.0, 1.3]),
        pick([None, *range(9)]),
        pick(["", "", "", "euler", "churn"]),
    )
    chosen = rng.sample(cards, min(len(cards), rng.choice([0, 1, 1, 1, 2, 2, 3])))
    plugins = {
        card.name: {own.name: draw_value(rng, card.name, own, pick) for own in card.all_controls} for card in chosen
    }
    return Asked(basics, rng.random() < 0.5, plugins)


def draw_value(rng: random.Random, plugin: str, control: Control, pick: Any) -> Any:
    """A value of a control as the page sends it: the one that it begins with, most often."""
    shown = control.shown(control.default)
    kept = shown not in ("", None) and rng.random() < 0.7
    if (plugin, control.name) in USUAL:
        return pick(USUAL[plugin, control.name])
    match control.kind:
        case "switch":
            return pick([shown, True, False])
        case "choice":
            return pick([shown] if kept else control.choices)
        case "integer" | "number":
            return pick([shown] if kept else [1, 2, 3] if control.kind == "integer" else [0.1, 0.5, 1.0, 2.0, 5.0])
        case "lines":
            return pick([shown] if kept else ["", *PHRASES])
        case "range":
            return pick([shown] if kept else ["", "12", "8-14", "-20", "5-"])
        case "pair":
            return pick([shown] if kept else ["1, 0", "0.6, 0", "1, 0.5"])
        case _:
            return pick([shown] if kept else [control.example or shown, control.example or shown, ""])
