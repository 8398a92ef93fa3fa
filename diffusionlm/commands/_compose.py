"""Hydra's composition for our commands: overrides in, a dictionary out; typos get the nearest name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

OVERRIDE = re.compile(r"^[~+]{0,2}[A-Za-z_][\w.@/]*=")


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


def compose_config(name: str, overrides: list[str]) -> dict[str, Any]:
    """Composes ``configs/<name>.yaml`` with overrides, everything resolved.

    Raises:
        ValueError: for an unknown key or choice (with the nearest valid one), or a value that cannot be read.
    """
    from hydra import compose, initialize_config_module
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    with initialize_config_module("diffusionlm.configs", version_base="1.3"):
        try:
            config = compose(name, overrides=overrides)
            return OmegaConf.to_container(config, resolve=True)  # type: ignore[return-value]
        except (HydraException, OmegaConfBaseException) as error:
            _refuse_model(OmegaConf.to_container(compose(name), resolve=False), overrides)
            said = [str(part).split("\n")[0].rstrip(".") for part in (error, error.__cause__) if part]
            plain = OmegaConf.to_container(_with_groups(compose, name, overrides), resolve=False)
    hint = _suggestion(name, plain, overrides)
    said = said[:1] if hint else said  # the cause names the key within a value
    raise ValueError(". ".join([*said, hint or f"See 'diffusionlm {name} --help'."]))


def _refuse_model(config: Any, overrides: list[str]) -> None:
    """``model`` is a network to be trained; commands that use a trained one call it ``checkpoint``."""
    for override in overrides:
        key, _, value = override.partition("=")
        if key == "model" and key not in config and "checkpoint" in config:
            raise ValueError(f"There is no setting 'model' here: weights are chosen by checkpoint={value}.")


def _with_groups(compose: Any, name: str, overrides: list[str]) -> Any:
    """The configuration with only those overrides that choose an existing file of a group: it has the keys meant."""
    groups = _choices()
    chosen = [o for o in overrides if o.partition("=")[2] in groups.get(o.partition("=")[0], ())]
    return compose(name, overrides=chosen)


def _choices() -> dict[str, list[str]]:
    return {path.name: sorted(f.stem for f in path.glob("[!_]*.yaml")) for path in _groups()}


def _suggestion(name: str, config: Any, overrides: list[str]) -> str:
    keys, groups = _keys(config), _choices()
    for override in overrides:
        if override.startswith("+"):  # adds a key: it cannot be the one that is missing
            continue
        key, _, value = override.lstrip("~").partition("=")
        if key in groups and value not in groups[key]:
            near = difflib.get_close_matches(value, groups[key], n=1)
            return f"Allowed for {key}: {', '.join(groups[key])}." + (f" Did you mean {key}={near[0]}?" if near else "")
        if key not in keys and key not in groups:
            near = difflib.get_close_matches(key, [*keys, *groups], n=1, cutoff=0.5)
            last = [k for k in keys if k.rsplit(".", 1)[-1] == key.rsplit(".", 1)[-1]]
            hint = last or near
            if hint:
                return f"Did you mean {hint[0]}=... instead of {key}=...?"
            return f"There is no key {key!r}; the top level has {', '.join(sorted(config))}."
    return ""


def _groups() -> list[Path]:
    root = Path(__file__).parent.parent / "configs"
    return [path for path in root.iterdir() if path.is_dir() and any(path.glob("*.yaml"))]


def _keys(config: Any, prefix: str = "") -> list[str]:
    out: list[str] = []
    for key, value in config.items():
        out.append(prefix + key)
        if isinstance(value, dict):
            out += _keys(value, prefix + key + ".")
    return out
