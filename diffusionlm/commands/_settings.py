"""Shared parts of commands with a configuration of their own: settings as ``key=value``, ``--help`` and ``--cfg``."""

from __future__ import annotations

from typing import Any

from diffusionlm.commands._compose import compose_config, split_overrides


def read_settings(
    argv: list[str], command: str, text: str, besides: str = "", opened: tuple[str, ...] = ()
) -> dict[str, Any] | None:
    """The configuration of a command; None where it was asked to show that, or its help, which it then has printed.

    Args:
        argv: what the user gave.
        command: its name; ``configs/`` has a file of that name.
        text: its help, in front of the settings.
        besides: in the message on what is no setting: what else may be given.
        opened: keys of the top level below which anything may be set.

    Raises:
        ValueError: for an argument that is no setting.
    """
    overrides, options = split_overrides(argv)
    config_name = command.replace("-", "_")
    if any(option in ("-h", "--help") for option in options):
        from importlib.resources import files

        listing = (files("diffusionlm.configs") / f"{config_name}.yaml").read_text().split("\n", 1)[1]
        print(text + "\n".join("  " + line for line in listing.splitlines()))
        return None
    unknown = [option for option in options if option != "--cfg"]
    if unknown:
        raise ValueError(
            f"Settings are written key=value, got {unknown[0]!r}; {besides}see 'diffusionlm {command} --help'."
        )
    config = compose_config(config_name, overrides, opened)
    if options:
        import yaml

        print(yaml.safe_dump(config, sort_keys=False, allow_unicode=True), end="")
        return None
    return config


def check_files(data: dict[str, Any]) -> None:
    """Looks for the files of ``data`` before the slow imports.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a source is described wrongly.
    """
    from diffusionlm.corpora.sources import described_sources

    for sources in described_sources(data):
        for source in sources:
            _ = source.files
