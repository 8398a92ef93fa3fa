"""``diffusionlm generate``: text from a checkpoint, on the command line."""

from __future__ import annotations

import re
import sys
from itertools import count
from pathlib import Path
from typing import Any

SETTINGS = ("prompt", "num_samples", "steps", "temperature", "seed", "max_length", "max_span_length", "batch_size")
OTHERS = ("sampler", "guidance", "checkpoint", "device", "dtype", "format")
CONFIGS = Path(__file__).parent.parent / "configs"
SUMMARY = "Write texts, fill [SPAN]s, or write from a condition"
HELP = """usage: diffusionlm generate [key=value ...] [TEXT ...] [-- TEXT ...]

Writes whole texts, or fills the spans of each TEXT: [SPAN] ends itself, [SPAN:5] has five tokens. What stands
behind -- is a TEXT even where it looks like a setting.

  diffusionlm generate
  diffusionlm generate "The [SPAN:5] is a pub near [SPAN]." num_samples=2 seed=0
  diffusionlm generate prompt="name[The Mill], food[Italian], area[riverside]"
  diffusionlm generate "[SPAN] by the river." guidance=phrases guidance.include="[The Mill]"
  diffusionlm generate guidance="{phrases: {include: [The Mill]}, length: {words: 12}}"
  diffusionlm generate steps=16 sampler=euler format=json

settings (key=value) and their defaults:

"""


def main(argv: list[str]) -> int:
    """Composes ``configs/generate.yaml`` with the ``key=value`` arguments, generates for the others, prints."""
    from diffusionlm.commands._compose import compose_config, split_overrides

    given, plain = (argv[: argv.index("--")], argv[argv.index("--") + 1 :]) if "--" in argv else (argv, [])
    overrides, texts = split_overrides(given)
    if any(text in ("-h", "--help") for text in texts):
        from importlib.resources import files

        listing = (files("diffusionlm.configs") / "generate.yaml").read_text().split("\n", 1)[1]
        print(HELP + "\n".join("  " + line for line in listing.splitlines()))
        return 0
    flags = [text for text in texts if text.startswith("--")]
    if flags:
        raise ValueError(
            f"Unknown option {flags[0]!r}: settings are written key=value, as in {flags[0].lstrip('-')}=..."
        )
    texts += plain
    chosen = any(override.startswith("guidance=") for override in overrides)
    config = compose_config("generate", [_named(override, chosen) for override in overrides])
    _check(config)

    from diffusionlm.folders import find_folder

    find_folder(config["checkpoint"])  # a wrong name shows before the slow imports

    import torch

    from diffusionlm.pipeline import DiffusionLMPipeline

    device = config["device"] or ("cuda" if torch.cuda.is_available() else "cpu")
    pipe = DiffusionLMPipeline.from_pretrained(
        config["checkpoint"], torch_dtype=getattr(torch, config["dtype"]), device=device
    )
    pipe.set_progress_bar_config(disable=not sys.stderr.isatty())
    settings = {name: config[name] for name in SETTINGS}
    settings["sampler"] = config.get("sampler")
    if config.get("guidance"):
        from diffusionlm.guidance import from_config

        settings["guidance"] = from_config(config["guidance"])
    result = pipe(texts or None, **settings)
    if config["format"] == "json":
        print(result.to_json())
        return 0
    short = {goal.sample: f"{goal.goal}: {goal.value:.2f}" for goal in result.unmet}
    numbers = count()
    for group in result.samples:
        for sample in group:
            notes = [f"broken: {name}" for name, held in sample.certificates.items() if not held]
            if (number := next(numbers)) in short:
                notes.append(f"not reached: {short[number]}")
            print(sample.text + (f"  [{'; '.join(notes)}]" if notes else ""))
        if len(result.samples) > 1:
            print()
    print(f"{result.timings['total']:.1f} s, seed {result.settings['seed']}", file=sys.stderr)
    return 0


def _check(config: dict[str, Any]) -> None:
    """Raises ValueError for a setting that nothing reads, is missing, or of the wrong kind."""
    from diffusionlm.guidance.errors import suggestion

    for key in config:
        if key not in (*SETTINGS, *OTHERS):
            raise ValueError(f"There is no setting {key!r}; {suggestion(key, (*SETTINGS, *OTHERS))}")
    if not isinstance(config["checkpoint"], str):
        raise ValueError(
            f"checkpoint must be a bundled name, a folder, or owner/name on the Hub, got {config['checkpoint']!r}."
        )
    for key, allowed in {"format": ("text", "json"), "dtype": ("float32", "bfloat16", "float16")}.items():
        if config[key] not in allowed:
            raise ValueError(f"{key} must be one of {', '.join(allowed)}, got {config[key]!r}.")
    if isinstance(config.get("guidance"), dict):
        for key, value in config["guidance"].items():
            if value == "???":
                raise ValueError(f"guidance.{key} is not set; give guidance.{key}=...")


def _named(override: str, guided: bool) -> str:
    """An override as Hydra wants it.

    ``sampler`` and ``guidance`` may name what ``configs/`` has no file for: schedulers, plugins, several of them; a plugin's
    settings (``guided``: there is a plugin) may be others than its file lists. A prompt is a text, not a value to parse.
    """
    key, _, value = override.partition("=")
    if key == "prompt" and value not in ("", "null") and value[0] not in "'\"[":
        # Hydra reads a backslash as one but before a quote and at the end
        quoted = re.sub(r"(\\*)('|$)", lambda m: 2 * m[1] + ("\\'" if m[2] else ""), value)
        return f"prompt='{quoted}'"
    if key.startswith("guidance.") and guided:
        return f"++{override}"
    if key not in ("sampler", "guidance") or not value or value == "null":
        return override
    if value.startswith("{"):
        return f"+{override}"
    if "{" in value:
        raise ValueError(
            f"{key} takes a name, names in [], or a mapping {{name: {{setting: value}}, ...}} in one pair of braces; got "
            f"{value!r}."
        )
    names = [name.strip() for name in value.strip("[]").split(",") if name.strip()]
    if len(names) == 1 and (CONFIGS / key / f"{names[0]}.yaml").is_file():
        return f"{key}={names[0]}"
    if key == "sampler":
        return "+sampler={name: '" + value + "'}"
    return "+guidance={" + ", ".join(f"{name}: {{}}" for name in names) + "}"
