"""Configurations of commands: files composed by Hydra, settings as they were typed; typos get the nearest name."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from diffusionlm.commands._kinds import INTERPOLATED, kind_of_key
from diffusionlm.commands._values import read_value
from diffusionlm.errors import nearest

OVERRIDE = re.compile(r"^[~+]{0,2}[A-Za-z_][\w.@/]*=")


@dataclass(frozen=True)
class Setting:
    """An argument ``key=typed``; ``adds`` where a "+" in front of it adds what the configuration does not have."""

    key: str
    typed: str
    adds: bool


def split_overrides(
    argv: list[str], is_text: Callable[[str], bool] = lambda argument: False
) -> tuple[list[str], list[str]]:
    """Arguments of the form ``key=value`` and the rest, each in order.

    Args:
        argv: the arguments.
        is_text: whether one of that form belongs to the rest all the same.
    """
    settings = [bool(OVERRIDE.match(argument)) and not is_text(argument) for argument in argv]
    return [a for a, own in zip(argv, settings, strict=True) if own], [
        a for a, own in zip(argv, settings, strict=True) if not own
    ]


def compose_config(name: str, overrides: list[str], opened: tuple[str, ...] = ()) -> dict[str, Any]:
    """``configs/<name>.yaml`` with overrides, everything resolved.

    Hydra chooses the files of groups (``model=small``); all other values are read by `read_value`.

    Args:
        name: of the file.
        overrides: arguments ``key=value``.
        opened: keys of the top level below which anything may be set.

    Raises:
        ValueError: for an unknown key or choice (with the nearest valid one), or a value that cannot be read.
    """
    from hydra import compose, initialize_config_module
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    chosen, settings = _sorted(name, overrides)
    try:
        with initialize_config_module("diffusionlm.configs", version_base="1.3"):
            config = compose(name, overrides=chosen)
        plain = OmegaConf.to_container(config, resolve=False)
        _refuse_unknown(plain, settings, opened)
        for setting in settings:
            _set(config, setting, opened)
        return OmegaConf.to_container(config, resolve=True)  # type: ignore[return-value]
    except (HydraException, OmegaConfBaseException) as error:
        said = str(error).split("\n")[0].rstrip(".")
        raise ValueError(f"{said}. See 'diffusionlm {name.replace('_', '-')} --help'.") from error


def _sorted(name: str, overrides: list[str]) -> tuple[list[str], list[Setting]]:
    """Splits what chooses files, for Hydra, from the settings."""
    chosen, settings, groups = [], [], _groups_of(name)
    for override in overrides:
        key, _, typed = override.partition("=")
        if key in groups:
            if typed not in (*groups[key], "null"):
                near = nearest(typed, groups[key])
                hint = f" Did you mean {key}={near}?" if near else ""
                raise ValueError(f"Allowed for {key}: {', '.join(groups[key])}.{hint}")
            chosen.append(override)
        elif key.startswith("~"):
            chosen.append(override)
        else:
            settings.append(Setting(key.lstrip("+"), typed, key.startswith("+")))
    return chosen, settings


def _set(config: Any, setting: Setting, opened: tuple[str, ...]) -> None:
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    plain: Any = OmegaConf.to_container(config, resolve=False)
    guidance = plain.get("guidance")
    try:
        held: Any = OmegaConf.to_container(OmegaConf.create({"it": _raw(config, setting.key)}), resolve=False)
        default = held["it"]
    except OmegaConfBaseException:
        default = None
    value = read_value(setting.key, setting.typed, kind_of_key(setting.key, default, guidance, setting.typed))
    if not (setting.key in INTERPOLATED and isinstance(value, str) and value == setting.typed):
        value = _literal(value)
    adds = setting.adds or setting.key.partition(".")[0] in opened
    OmegaConf.update(config, setting.key, value, merge=True, force_add=adds)


def _raw(config: Any, key: str) -> Any:
    node = config
    for part in key.split("."):
        node = node._get_node(part) if hasattr(node, "_get_node") else None
        if node is None:
            return None
    return node


def _literal(value: Any) -> Any:
    """A value in which OmegaConf sees no interpolation: ``${`` is what was typed."""
    if isinstance(value, str):
        return re.sub(r"(\\*)\$\{", lambda m: 2 * m[1] + "\\${", value)
    if isinstance(value, list):
        return [_literal(item) for item in value]
    return {key: _literal(item) for key, item in value.items()} if isinstance(value, dict) else value


# ---- what there is --------------------------------------------------------------------------------------------------------


def _refuse_unknown(config: Any, settings: list[Setting], opened: tuple[str, ...]) -> None:
    """Raises ValueError for the first key that does not exist, with the nearest one."""
    keys = _keys(config)
    for setting in settings:
        key, top = setting.key, setting.key.partition(".")[0]
        if (
            key == "model" and key not in config and "checkpoint" in config
        ):  # a network to be trained, not a trained one
            raise ValueError(f"There is no setting 'model' here: weights are chosen by checkpoint={setting.typed}.")
        if setting.adds or key in keys or top in opened:
            continue
        last = [known for known in keys if known.rsplit(".", 1)[-1] == key.rsplit(".", 1)[-1]]
        near = last[0] if last else nearest(key, [*keys, *_choices()])
        if near:
            raise ValueError(f"There is no key {key!r}. Did you mean {near}=... instead of {key}=...?")
        raise ValueError(f"There is no key {key!r}; the top level has {', '.join(sorted(config))}.")


@lru_cache(maxsize=8)
def _groups_of(name: str) -> dict[str, list[str]]:
    """The groups that a configuration chooses from, and their choices."""
    import yaml

    data = yaml.safe_load((_root() / f"{name}.yaml").read_text(encoding="utf-8"))
    named = {group for item in data.get("defaults", []) if isinstance(item, dict) for group in item}
    return {group: choices for group, choices in _choices().items() if group in named}


def _choices() -> dict[str, list[str]]:
    return {
        path.name: sorted(f.stem for f in path.glob("[!_]*.yaml"))
        for path in _root().iterdir()
        if path.is_dir() and any(path.glob("*.yaml"))
    }


def _root() -> Path:
    return Path(__file__).parent.parent / "configs"


def _keys(config: Any, prefix: str = "") -> list[str]:
    out: list[str] = []
    for key, value in config.items():
        out.append(prefix + key)
        if isinstance(value, dict):
            out += _keys(value, prefix + key + ".")
    return out
