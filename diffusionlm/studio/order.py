"""Order of a visitor, checked, and the code that asks for the same."""

from __future__ import annotations

import json
import keyword
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np

from diffusionlm.guidance import Guidance
from diffusionlm.guidance.registry.plugins import get
from diffusionlm.studio.catalogue import PluginCard
from diffusionlm.studio.limits import LIMITS, Limits, Refused

MAX_SEED = 2**31 - 1
_BARE = re.compile(r"^(?!(?:null|true|false|nan|inf)$)[a-z]+$")  # words that Hydra reads as strings


@dataclass(frozen=True)
class Order:
    """One call of the pipeline, in plain data.

    Attributes:
        checkpoint: name of the weights.
        text: with spans, or None for whole texts.
        prompt: a condition, or None.
        num_samples: texts.
        steps: denoising steps.
        temperature: of the choice among words.
        seed: of the first text.
        sampler: by name, or None for the checkpoint's own.
        guidance: (plugin name, its settings), in order.
    """

    checkpoint: str
    text: str | None
    prompt: str | None
    num_samples: int
    steps: int
    temperature: float
    seed: int
    sampler: str | None = None
    guidance: tuple[tuple[str, dict[str, Any]], ...] = field(default=())

    @classmethod
    def read(
        cls,
        checkpoint: str,
        text: str | None,
        prompt: str | None,
        num_samples: Any,
        steps: Any,
        temperature: Any,
        seed: Any,
        sampler: str | None,
        plugins: Mapping[str, Mapping[str, Any]],
        cards: Mapping[str, PluginCard],
        samplers: tuple[str, ...],
        limits: Limits = LIMITS,
    ) -> Order:
        """An order from what the page sent.

        Args:
            checkpoint: name of the weights, checked by the caller.
            text: "" or None for whole texts.
            prompt: "" or None for none.
            num_samples: a whole number.
            steps: a whole number.
            temperature: a number above 0.
            seed: a whole number; None draws one.
            sampler: a name, or "" for the checkpoint's own.
            plugins: what is switched on: values of the controls, by plugin.
            cards: the catalogue, by name.
            samplers: names that are allowed.
            limits: the largest order.

        Raises:
            Refused: with a sentence for the visitor.
        """
        for what, given in {"The text": text, "The facts": prompt, "The sampler": sampler}.items():
            if given is not None and not isinstance(given, str):
                raise Refused(f"{what} must be text.")
        text, prompt = (text or "").replace("\r\n", "\n"), (prompt or "").replace("\r\n", "\n")
        limits.check_text(text, "The text")
        limits.check_text(prompt, "The facts")
        if sampler and sampler not in samplers:
            raise Refused(f"There is no sampler {str(sampler)[:40]!r}; there are {', '.join(samplers)}.")
        if len(plugins) > limits.plugins:
            raise Refused(f"{len(plugins)} plugins are switched on; this page takes {limits.plugins} at once.")
        if isinstance(temperature, bool) or not isinstance(temperature, int | float) or not 0.05 <= temperature <= 2:
            raise Refused(f"Temperature must lie between 0.05 and 2, not {str(temperature)[:40]}.")
        drawn = int(np.random.SeedSequence().generate_state(1)[0] % 10_000) if seed in (None, "") else seed
        unknown = [name for name in plugins if name not in cards]
        if unknown:
            raise Refused(f"There is no plugin {unknown[0][:40]!r} on this page.")
        return cls(
            checkpoint=checkpoint,
            text=text if text.strip() else None,
            prompt=prompt.strip() or None,
            num_samples=limits.whole(num_samples, "The number of texts", 1, limits.samples),
            steps=limits.whole(steps, "The number of steps", 1, limits.steps),
            temperature=float(temperature),
            seed=limits.whole(drawn, "The seed", 0, MAX_SEED),
            sampler=sampler or None,
            guidance=tuple((name, cards[name].settings(given, limits)) for name, given in plugins.items()),
        )

    def plugins(self) -> list[Guidance]:
        """The plugins as objects.

        Raises:
            ValueError: the plugin's own sentence about its settings.
        """
        return [get(name)(**settings) for name, settings in self.guidance]

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of the pipeline but for guidance."""
        found = {
            "prompt": self.prompt,
            "num_samples": self.num_samples,
            "steps": self.steps,
            "sampler": self.sampler,
            "temperature": self.temperature,
            "seed": self.seed,
        }
        return {key: value for key, value in found.items() if value is not None}

    @property
    def shown(self) -> list[tuple[str, dict[str, Any]]]:
        """`guidance` with a line in place of each text that a plugin never shows, such as a secret."""
        return [
            (name, {key: _withheld(name, key, value) for key, value in given.items()}) for name, given in self.guidance
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, without what a plugin never shows."""
        guidance = [{"name": name, **settings} for name, settings in self.shown]
        return {**vars(self), "guidance": guidance}


def _withheld(name: str, key: str, value: Any) -> Any:
    if key not in get(name).withheld or not value:
        return value
    texts = [value] if isinstance(value, str) else value
    return [f"({key} {number}, not shown)" for number in range(1, len(texts) + 1)]


# ---- the same in Python ---------------------------------------------------------------------------------------------


def python_code(order: Order) -> str:
    """A program that writes the texts of an order; it runs wherever the library and the plugins are installed."""
    imports: dict[str, set[str]] = {}
    plugins = [_constructor(name, settings, imports) for name, settings in order.shown]
    lines = ["from diffusionlm import DiffusionLMPipeline"]
    lines += [f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(imports.items())]
    lines += ["", f"pipe = DiffusionLMPipeline.from_pretrained({_quoted(order.checkpoint)})", "result = pipe("]
    if order.text is not None:
        lines.append(f"    {_quoted(order.text)},")
    lines += [f"    {key}={_literal(value)}," for key, value in order.arguments().items()]
    if len(plugins) == 1:
        lines.append(f"    guidance={plugins[0]},")
    elif plugins:
        lines += ["    guidance=[", *(f"        {plugin}," for plugin in plugins), "    ],"]
    return "\n".join([*lines, ")", 'print(*result.texts, sep="\\n")']) + "\n"


def _constructor(name: str, settings: Mapping[str, Any], imports: dict[str, set[str]]) -> str:
    kind = get(name)
    module = "diffusionlm.guidance" if kind.__name__ in _public() else kind.__module__
    try:
        importable = getattr(import_module(module), kind.__name__, None) is kind
    except ImportError:
        importable = False
    if not importable or keyword.iskeyword(kind.__name__):  # a plugin that is a plain function has no class of its own
        return "{" + ", ".join(f"{_quoted(k)}: {_literal(v)}" for k, v in {"name": name, **settings}.items()) + "}"
    imports.setdefault(module, set()).add(kind.__name__)
    return f"{kind.__name__}({', '.join(f'{key}={_literal(value)}' for key, value in settings.items())})"


def _public() -> list[str]:
    return import_module("diffusionlm.guidance").__all__


def _literal(value: Any) -> str:
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, list):
        return "[" + ", ".join(map(_literal, value)) + "]"
    return repr(value)


def _quoted(text: str) -> str:
    """A string literal in double quotes where that needs no more escapes."""
    plain = repr(text)
    if plain.startswith("'") and '"' not in text:
        return '"' + plain[1:-1].replace("\\'", "'") + '"'
    return plain


# ---- the same as a command ------------------------------------------------------------------------------------------


def command(order: Order) -> str:
    """A line for a POSIX shell that writes the texts of an order."""
    words = [f"checkpoint={_hydra(order.checkpoint)}"]
    words += [f"{key}={_hydra(value)}" for key, value in order.arguments().items()]
    if order.guidance:
        words.append("guidance=" + _hydra(dict(order.shown)))
    parts = ["diffusionlm generate", *map(_shell, words)]
    if order.text is not None:
        parts.append(f"-- {_shell(order.text)}")
    return " \\\n  ".join(parts) + "\n"


def _shell(word: str) -> str:
    """A word for a POSIX shell, in double quotes where they keep it readable."""
    quoted = shlex.quote(word)
    return f'"{word}"' if quoted != word and not re.search(r'[$`"\\!]', word) else quoted


def _hydra(value: Any) -> str:
    """A value as the command line reads it."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_hydra(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_hydra, value)) + "]"
    if isinstance(value, str):
        return value if _BARE.match(value) else _hydra_string(value)
    return json.dumps(value)


def _hydra_string(text: str) -> str:
    # Backslashes count only before a quote or at the end.
    out, run = [], 0
    for char in text:
        if char == "\\":
            run += 1
            continue
        out.append("\\" * (2 * run + 1 if char == "'" else run) + char)
        run = 0
    return "'" + "".join(out) + "\\" * (2 * run) + "'"
