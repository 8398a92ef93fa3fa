"""``diffusionlm generate``: text from a checkpoint, on the command line."""

from __future__ import annotations

import re
import sys
from itertools import count
from pathlib import Path
from typing import Any

SETTINGS = (
    "prompt",
    "num_samples",
    "steps",
    "temperature",
    "seed",
    "max_length",
    "max_span_length",
    "batch_size",
    "best_of",
    "block_length",
    "fluency",
    "bigrams",
)
NUMBERS = SETTINGS[1:]
JOB = ("input", "output", "workers", "engine", "parts", "rows_of_a_part", "threads", "most_steps", "most_samples")
OTHERS = ("sampler", "guidance", "context", "checkpoint", "adapter", "device", "dtype", "format", *JOB)
CONFIGS = Path(__file__).parent.parent / "configs"
SPAN = re.compile(r"\[SPAN(:\d+)?\]")
SUMMARY = "Write texts, fill [SPAN]s, or write from a condition"
HELP = """usage: diffusionlm generate [key=value ...] [TEXT ...] [-- TEXT ...]

Writes whole texts, or fills the spans of each TEXT: [SPAN] ends itself, [SPAN:5] has five tokens. What stands
behind -- is a TEXT even where it looks like a setting. guidance takes names of plugins ('diffusionlm guidance list'),
your own Python files with plugins, which are run, or a
JSON file that format=json wrote, which is steered by again. A text is taken as it stands; between double quotes it may be what
would be a list ([0-9]) or nothing (null) otherwise: guidance.forbid='"[0-9]"'.

  diffusionlm generate
  diffusionlm generate "The [SPAN:2] is a pub [SPAN:5] near [SPAN]." num_samples=2 seed=0
  diffusionlm generate prompt="name[The Mill], food[Italian], area[riverside]"
  diffusionlm generate "[SPAN] by the river." guidance=phrases guidance.include="[The Mill]"
  diffusionlm generate guidance="{phrases: {include: [The Mill]}, length: {words: 12}}"
  diffusionlm generate guidance=my_plugin.py guidance.weight=3
  diffusionlm generate context="{retrieved: {store: places, k: 1, segment: prompt}}"
  diffusionlm generate context="{image: menu.png}" checkpoint=runs/seeing/pipeline
  diffusionlm generate steps=16 sampler=euler format=json
  diffusionlm generate input=rows.jsonl output=out workers=2      # a job: docs/jobs.md

settings (key=value) and their defaults:

"""


def main(argv: list[str]) -> int:
    """Composes ``configs/generate.yaml`` with the ``key=value`` arguments, generates for the others, prints."""
    from diffusionlm.commands._compose import compose_config, split_overrides

    given, plain = (argv[: argv.index("--")], argv[argv.index("--") + 1 :]) if "--" in argv else (argv, [])
    overrides, texts = split_overrides(given, _is_text)
    if any(text in ("-h", "--help") for text in texts):
        from importlib.resources import files

        listing = (files("diffusionlm.configs") / "generate.yaml").read_text().split("\n", 1)[1]
        print(HELP + "\n".join("  " + line for line in listing.splitlines()))
        return 0
    flags = [text for text in texts if text.startswith("--")]
    if flags:
        raise ValueError(
            f"Unknown option {flags[0]!r}: settings are written key=value, as in {_key(flags[0].lstrip('-'))}=..."
        )
    if "=" in texts:
        raise ValueError("Settings are written without spaces around '=', as in steps=16.")
    misplaced = [text for text in plain if _key(text) in (*SETTINGS, *OTHERS) and not SPAN.search(text)]
    if misplaced:
        raise ValueError(f"{misplaced[0]!r} stands behind --, so it is a TEXT; settings stand in front of it.")
    texts += plain
    for override in overrides:
        if SPAN.search(override) and _key(override) in NUMBERS:
            raise ValueError(
                f"{_key(override)} is no text. A TEXT that looks like a setting goes behind --: ... -- {override!r}"
            )
    try:
        guided = any(override.startswith(("guidance=", "+guidance=")) for override in overrides)
        config = compose_config("generate", _as_choices(overrides), ("guidance",) if guided else ())
    except ValueError as error:
        if "There is no key" not in str(error):
            raise
        raise ValueError(f"{error} A TEXT that looks like a setting goes behind --: ... -- '...'") from error
    if saved := _saved(overrides):
        config["guidance"] = saved
    elif several := _several(overrides):
        config["guidance"] = [{"name": name} for name in several]
    _check(config, {override.partition("=")[0].lstrip("+") for override in overrides})

    from diffusionlm.checkpoints.folders import find_folder
    from diffusionlm.commands._lean import import_pipeline

    find_folder(config["checkpoint"])  # a wrong name shows before the slow imports

    if config["input"] is not None or config["output"] is not None:
        if texts:
            raise ValueError(f"A job takes its texts from input=FILE; {texts[0][:60]!r} is one too many.")
        from diffusionlm.serving.jobs.command import run

        return run(config, {_key(override) for override in overrides})

    import torch

    if _is_plain(config) and "diffusionlm.pipeline" not in sys.modules:
        import_pipeline()
    from diffusionlm.guidance.registry.plugin_files import plugins_with_files
    from diffusionlm.pipeline import DiffusionLMPipeline

    settings = {name: config[name] for name in SETTINGS}
    settings["sampler"] = config.get("sampler")
    if config.get("guidance"):
        try:
            settings["guidance"] = saved or plugins_with_files(config["guidance"])
        except TypeError as error:  # a setting of the wrong kind
            raise ValueError(str(error)) from error
    device = config["device"] or ("cuda" if torch.cuda.is_available() else "cpu")
    pipe = DiffusionLMPipeline.from_pretrained(
        config["checkpoint"], torch_dtype=getattr(torch, config["dtype"]), device=device
    )
    if config["adapter"] is not None:
        pipe.load_adapter(config["adapter"], "given")
        pipe.set_adapter("given")
    pipe.set_progress_bar_config(disable=not sys.stderr.isatty())
    if config["context"] is not None:
        from diffusionlm.context.written import read_written

        settings["context"] = read_written(config["context"], pipe)
    result = pipe(texts or None, **settings)
    if config["format"] == "json":
        print(result.to_json())
        return 0
    short = {goal.sample: f"{goal.goal}: {goal.value:.2f}" for goal in result.unmet}
    numbers = count()
    for group in result.samples:
        for sample in group:
            notes = [f"broken: {name}" for name, held in sample.certificates.items() if not held]
            if sample.attempts > 1:
                notes.append(f"written {sample.attempts} times")
            if (number := next(numbers)) in short:
                notes.append(f"not reached: {short[number]}")
            print(sample.text + (f"  [{'; '.join(notes)}]" if notes else ""))
        if len(result.samples) > 1:
            print()
    print(f"{result.timings['total']:.1f} s, seed {result.settings['seed']}", file=sys.stderr)
    return 0


def _is_plain(config: dict[str, Any]) -> bool:
    """Whether nothing is asked for that needs more than our own network and samplers: no adapter, no other's model."""
    from diffusionlm.checkpoints.folders import INDEX, find_folder

    own = (find_folder(config["checkpoint"]) / INDEX).is_file()
    sampler = config.get("sampler")
    name = sampler.get("name") if isinstance(sampler, dict) else sampler
    return own and config["adapter"] is None and (name is None or (CONFIGS / "sampler" / f"{name}.yaml").is_file())


def _check(config: dict[str, Any], given: set[str]) -> None:
    """Raises ValueError for a setting that nothing reads, is missing, or of the wrong kind; loads nothing."""
    from diffusionlm.errors import suggestion

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
            if value == "???" and f"guidance.{key}" not in given:
                raise ValueError(f"guidance.{key} is not set; give guidance.{key}=...")
    _check_plugins(config.get("guidance"))


def _check_plugins(given: Any) -> None:
    """Raises ValueError for plugins and settings that do not exist, as far as sources tell: PyTorch is not loaded for it."""
    from diffusionlm.guidance.registry.signatures import check_name, check_setting

    if isinstance(given, dict) and isinstance(given.get("plugins"), list):  # of a file
        given = given["plugins"]
    if isinstance(given, list):
        for item in given:
            _check_plugins(item)
    elif isinstance(given, dict):
        named = "name" in given or "_target_" in given
        plugins = {str(given.get("_target_") or given["name"]): given} if named else given
        for name, settings in plugins.items():
            if "_target_" not in given and not name.endswith(".py"):
                check_name(name)
            for key in settings if isinstance(settings, dict) else ():
                if key not in ("name", "_target_", "api_version"):
                    check_setting(name, key)


def _key(argument: str) -> str:
    """The setting that an argument would be, without what stands behind its first full stop."""
    return argument.partition("=")[0].lstrip("+~").partition(".")[0]


def _is_text(argument: str) -> bool:
    """True if an argument with "=" is a TEXT all the same: it has a span, and no setting is called like its beginning."""
    return bool(SPAN.search(argument)) and _key(argument) not in (*SETTINGS, *OTHERS)


def _as_choices(overrides: list[str]) -> list[str]:
    """Overrides, with ``sampler`` and ``guidance`` as mappings where they name what ``configs/`` has no file for.

    These are schedulers, plugins, files with plugins, several of them.

    Raises:
        ValueError: if several plugins are one too few or too many for what is set.
    """
    several, out = _several(overrides), []
    for override in overrides:
        key, _, value = override.partition("=")
        if key.startswith("guidance.") and several:
            raise ValueError(
                f'{key} does not show which of {", ".join(several)} is meant; write guidance="{{{several[0]}: '
                f'{{{key.partition(".")[2]}: {value}}}, {several[1]}: {{}}}}".'
            )
        if key in ("sampler", "guidance"):
            if value not in ("", "null", "[]") and not (key == "guidance" and (several or value.endswith(".json"))):
                out.append(_choice(key, value))
        else:
            out.append(override)
    return out


def _several(overrides: list[str]) -> list[str]:
    """The names of a list of plugins, which Hydra has no place for; none where there is one plugin, or a mapping."""
    given = [override.partition("=")[2] for override in overrides if override.startswith("guidance=")]
    names = _names(given[-1]) if given else []
    return names if len(names) > 1 else []


def _saved(overrides: list[str]) -> dict[str, Any]:
    """Content of ``guidance=FILE.json``: what a result says of its guidance, or the whole of ``format=json``; else nothing.

    Raises:
        ValueError: if the file holds neither, or settings are given beside it.
        OSError: if it cannot be read.
    """
    given = [override.partition("=")[2] for override in overrides if override.startswith("guidance=")]
    if not given or not given[-1].endswith(".json"):
        return {}
    more = [override for override in overrides if override.startswith("guidance.")]
    if more:
        raise ValueError(
            f"{more[0]} cannot stand beside guidance={given[-1]}, which holds all settings; change them there."
        )
    import json

    try:
        data = json.loads(Path(given[-1]).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{given[-1]} is no JSON ({error}).") from error
    for key in ("settings", "guidance"):
        data = data.get(key, data) if isinstance(data, dict) else data
    if not isinstance(data, dict) or "plugins" not in data:
        raise ValueError(
            f"{given[-1]} holds no guidance; give a file that 'diffusionlm generate ... format=json' wrote, or "
            "result.settings['guidance'] as JSON."
        )
    return data


def _choice(key: str, value: str) -> str:
    """``sampler`` or ``guidance`` by a name, by names in [], or as a mapping."""
    from diffusionlm.commands._values import quoted

    if value.startswith("{"):
        return f"+{key}={value}"
    if "{" in value:
        raise ValueError(
            f"{key} takes a name, names in [], or a mapping {{name: {{setting: value}}, ...}} in one pair of braces; got "
            f"{value!r}."
        )
    names = _names(value)
    if len(names) == 1 and (CONFIGS / key / f"{names[0]}.yaml").is_file():
        return f"{key}={names[0]}"
    return f"+{key}={{name: {quoted(names[0] if len(names) == 1 else value)}}}"


def _names(value: str) -> list[str]:
    if "{" in value:
        return []
    return [name.strip().strip("'\"") for name in value.strip("[]").split(",") if name.strip()]
