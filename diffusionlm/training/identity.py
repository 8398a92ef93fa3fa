"""Identity of a run: a folder that was begun with another model, tokenizer or data is not continued."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from diffusionlm.checkpoints.files import write_text
from diffusionlm.training.cache import tokenizer_fingerprint

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from diffusionlm.corpora.sources import TextSource
    from diffusionlm.text import TextTokenizer

RUN_FILE = "run.json"
# where data lies and how it is read may change, what it says may not
_PLACES = (
    "train",
    "valid",
    "root",
    "name",
    "where",
    "format",
    "text_field",
    "prompt_field",
    "image_field",
    "sound_field",
)
_READING = ("max_examples", "subset", "revision", "streaming")


def run_identity(config: dict[str, Any], sources: Sequence[TextSource], tokenizer: TextTokenizer) -> dict[str, Any]:
    """Everything that a checkpoint depends on, flat: names as on the command line, and plain values."""
    data = {name: value for name, value in config["data"].items() if name not in _PLACES + _READING}
    parts = {"model": config["model"], "data": data, "schedule": config["schedule"], "seed": config["seed"]}
    content = [[source.fingerprint, source.weight] for source in sources]
    start = {"init": config["init"]} if config.get("init") else {}
    return (
        _flat(parts)
        | start
        | {
            "optimizer.name": config["optimizer"].get("name", "muon"),
            "tokenizer (content)": tokenizer_fingerprint(tokenizer),
            "data.train (content)": json.dumps(content),
        }
    )


def has_begun(folder: Path) -> bool:
    """True if a run in this folder got as far as having everything it needs."""
    return (folder / RUN_FILE).is_file() or (folder / "checkpoints").is_dir()


def write_identity(folder: Path, identity: dict[str, Any]) -> None:
    """Marks the run as begun, once everything that it needs could be made: a mistake in the settings begins none."""
    if not (folder / RUN_FILE).is_file():
        write_text(folder / RUN_FILE, json.dumps(identity, indent=2) + "\n")


def check_identity(folder: Path, identity: dict[str, Any]) -> None:
    """Compares with the identity that the run was begun with, if it was.

    Raises:
        ValueError: naming what differs.
    """
    path = folder / RUN_FILE
    if not path.is_file():
        return
    try:
        begun = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{path} cannot be read ({error}); delete it if you know that the settings are the same."
        ) from error
    identity = json.loads(json.dumps(identity))
    differing = [name for name in {**begun, **identity} if begun.get(name) != identity.get(name)]
    if differing:
        said = "; ".join(_difference(name, begun.get(name), identity.get(name)) for name in differing)
        raise ValueError(
            f"The run in {folder} was begun with other settings: {said}. Give the old ones to continue it, or train in "
            "another folder (folder=...)."
        )


def _difference(name: str, old: Any, new: Any) -> str:
    if name.endswith("(content)"):
        return f"{name} has changed"
    return f"{name} was {json.dumps(old)}, now {json.dumps(new)}"


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat
