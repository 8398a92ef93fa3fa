"""Every registered plugin, with the controls that the page makes for it. Plugins are known by name for their order alone."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from diffusionlm.guidance import Constraint, Guidance
from diffusionlm.guidance.registry.plugins import available, get
from diffusionlm.guidance.settings import SCHEDULES
from diffusionlm.studio.control import Control
from diffusionlm.studio.limits import LIMITS, Limits, Refused
from diffusionlm.studio.parameters import Parameters, parameters_of

# What people look for first, and what only some of them need; other plugins stand between, rules before wishes.
FIRST = ("toxicity", "pii", "personal-names", "phrases", "length", "regex")
LAST = ("part-of-speech", "constituents", "dependencies", "digit-runs")
MODES = ("weight", "below", "above")


@dataclass(frozen=True)
class PluginCard:
    """A plugin as the page shows it.

    Attributes:
        name: its registered name.
        summary: first sentence of its documentation.
        details: the rest, without the sections on arguments, errors and examples.
        controls: of its own settings.
        steering: of weight or goal, schedule, window, trust region; empty for rules that always hold.
        hidden: settings that only Python can give.
        source: "built-in", or the package it comes from.
        trouble: why it cannot be switched on here, or "".
    """

    name: str
    summary: str
    details: str = ""
    controls: tuple[Control, ...] = ()
    steering: tuple[Control, ...] = ()
    hidden: tuple[str, ...] = ()
    source: str = "built-in"
    trouble: str = ""

    @property
    def title(self) -> str:
        """The name as people read it."""
        return self.name.replace("-", " ").replace("_", " ").capitalize()

    @property
    def all_controls(self) -> tuple[Control, ...]:
        """Its own and those of steering, in the order of the page."""
        return (*self.controls, *self.steering)

    def settings(self, given: Mapping[str, Any], limits: Limits = LIMITS) -> dict[str, Any]:
        """Arguments of the plugin from what the page sent; only what differs from its defaults.

        Raises:
            Refused: if a value cannot be used, or there is no control of that name.
        """
        if self.trouble:
            raise Refused(f"{self.title} cannot be used on this page: {self.trouble}")
        unknown = set(given) - {control.name for control in self.all_controls}
        if unknown:
            raise Refused(f"{self.title} has no setting {sorted(unknown)[0]!r} on this page.")
        values: dict[str, Any] = {}
        for control in self.all_controls:
            if control.name in given:
                try:
                    values[control.name] = control.read(given[control.name], limits)
                except Refused as refusal:
                    raise Refused(f"{self.title}: {refusal}") from None
        defaults = {control.name: control.default for control in self.all_controls}
        mode, amount = values.pop("mode", defaults.get("mode")), values.pop("amount", None)
        found = {key: value for key, value in values.items() if not _same(value, defaults[key])}
        if mode is not None and amount is not None and (mode, amount) != (defaults["mode"], defaults["amount"]):
            found[mode] = amount
            if defaults["mode"] not in ("weight", mode):
                found[defaults["mode"]] = None  # an energy pulls one way only
        return found


def _same(value: Any, default: Any) -> bool:
    if isinstance(value, list | tuple) and isinstance(default, list | tuple):
        return list(value) == list(default)
    return bool(value == default) and isinstance(value, bool) == isinstance(default, bool)


def cards() -> list[PluginCard]:
    """A card for every known plugin in the order in which people look for them; those that cannot be used here last."""
    found = [_card(name, entry.kind, entry.origin) for name, entry in available().items()]
    return sorted(found, key=lambda card: (bool(card.trouble), _place(card.name), bool(card.steering), card.name))


def _place(name: str) -> int:
    return FIRST.index(name) if name in FIRST else LAST.index(name) + 1000 if name in LAST else len(FIRST)


def _card(name: str, kind: str, origin: str) -> PluginCard:
    source = re.sub(r" \(.*\)$", "", origin) if kind == "package" else ("your code" if kind == "registered" else kind)
    try:
        plugin = get(name)
    except (ImportError, TypeError, ValueError) as error:  # a package that fails to import, a name given twice
        return PluginCard(name, "This plugin cannot be loaded.", source=source, trouble=str(error))
    if kind == "registered" and plugin.__module__.startswith("diffusionlm.guidance."):
        source = "built-in"
    summary, details = documentation(plugin)
    parameters = parameters_of(plugin)
    trouble = ""
    if parameters.missing:
        what = " and ".join(parameters.missing)
        trouble = f"it needs {what}, which only Python can give."
    return PluginCard(
        name, summary, details, parameters.controls, steering_of(plugin), _named(parameters), source, trouble
    )


def _named(parameters: Parameters) -> tuple[str, ...]:
    return tuple(name for name in parameters.hidden if name not in parameters.missing)


def documentation(kind: type) -> tuple[str, str]:
    """First sentence and the remaining prose of a docstring, without its sections and without markup."""
    text = re.split(r"^\w[\w ]*:\n(?=[ \t])", inspect.getdoc(kind) or "", maxsplit=1, flags=re.MULTILINE)[0]
    text = re.sub(r"`+([^`]*)`+", r"\1", text)
    head, _, rest = text.strip().partition("\n\n")
    head = " ".join(head.split())
    first = re.match(r"(.+?[.!?])\s+(.+)", head)
    if first:
        head, rest = first[1], f"{first[2]}\n\n{rest}"
    return head, rest.strip()


def steering_of(kind: type[Guidance]) -> tuple[Control, ...]:
    """Controls of weight or goal and of where it acts, with the defaults of the class; none for rules that always hold."""
    defaults = {name: kind.__dataclass_fields__[name].default for name in ("weight", "below", "above", "schedule")}
    if issubclass(kind, Constraint) and kind.__dataclass_fields__["strategy"].default == "constraint":
        return ()
    mode = next((name for name in ("below", "above") if defaults[name] is not None), "weight")
    found = [
        Control("mode", "choice", mode, MODES, help="A weight pulls with fixed strength; a goal finds the weight."),
        Control(
            "amount", "number", float(defaults[mode]), help="The weight, or the value that the measure shall keep."
        ),
    ]
    if isinstance(defaults["schedule"], str):
        found.append(
            Control(
                "schedule", "choice", defaults["schedule"], tuple(SCHEDULES), help="How the weight changes over time."
            )
        )
    window, budget = (kind.__dataclass_fields__[name].default for name in ("window", "budget"))
    return (
        *found,
        Control("window", "pair", window, help="Where it acts: from, to. 1 is pure noise, 0 is clean text."),
        Control(
            "budget", "number", budget, (), True, "Largest change of the model's belief a step, in nats a position."
        ),
    )
