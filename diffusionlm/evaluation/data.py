"""The texts that an evaluation compares with: training and held-out texts, targets of control, prompts."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from diffusionlm.corpora.sources import TextSource
from diffusionlm.text.lines import read_lines

HINT = "set data.root=FOLDER to the folder with train.txt and valid.txt, or data.valid=FILE and data.train=FILE"


class MissingData(ValueError):
    """A task needs texts that were not given."""


@dataclass(frozen=True)
class EvaluationData:
    """Files of the texts; each file is read when first asked for.

    Args:
        root: folder with ``train`` and ``valid`` (.txt or .jsonl), and perhaps ``control_targets``.
        train: file of training texts, instead of the one in the folder.
        valid: file of held-out texts, likewise.
        format: one of `diffusionlm.corpora.sources.FORMATS`; "auto" also tells E2E lines from plain ones.
        seed: of the order of the held-out texts.
        fields: of JSON lines, CSV and Parquet.
        lexicon: files and folders of further real texts, whose words are words (`read_texts`).
    """

    root: str | None = None
    train: str | None = None
    valid: str | None = None
    format: str = "auto"
    seed: int = 0
    fields: dict[str, str] = field(default_factory=lambda: {"text_field": "text"})
    lexicon: tuple[str, ...] = ()

    def path(self, name: str) -> Path | None:
        """The file of "train" or "valid", or None if none was given or is there."""
        given = getattr(self, name)
        if given is not None:
            return Path(given)
        for ending in ("txt", "jsonl") if self.root is not None else ():
            if (Path(self.root or "") / f"{name}.{ending}").is_file():
                return Path(self.root or "") / f"{name}.{ending}"
        return None

    def _pairs(self, name: str) -> list[tuple[str, str]]:
        path = self.path(name)
        if path is None:
            raise MissingData(f"There are no {'training' if name == 'train' else 'held-out'} texts: {HINT}.")
        if not path.is_file():
            what = f"{path} is a folder, not a file" if path.is_dir() else f"There is no file {path}"
            raise FileNotFoundError(f"{what}: {HINT}.")
        pairs = list(TextSource(str(path), _format(path, self.format), **_fields(path, self.fields)).pairs())
        if not pairs:
            raise ValueError(f"{path} holds no text.")
        return pairs

    @cached_property
    def training(self) -> list[tuple[str, str]]:
        """(condition, text) of the training texts.

        Raises:
            MissingData: none was given.
        """
        return self._pairs("train")

    @cached_property
    def held_out(self) -> list[tuple[str, str]]:
        """(condition, text) of the held-out texts, in an order that the seed decides.

        Raises:
            MissingData: none was given.
        """
        pairs = self._pairs("valid")
        random.Random(self.seed).shuffle(pairs)
        return pairs

    def targets(self, name: str) -> Path | None:
        """A file of targets in ``control_targets`` of the folder, or None."""
        path = Path(self.root) / "control_targets" / f"{name}.jsonl" if self.root is not None else None
        return path if path is not None and path.is_file() else None

    def to_dict(self) -> dict[str, Any]:
        """Names of the files, for the record."""
        named: dict[str, Any] = {
            name: None if (path := self.path(name)) is None else path.name for name in ("train", "valid")
        }
        return named | ({"lexicon": ", ".join(Path(path).name for path in self.lexicon)} if self.lexicon else {})


def read_prompts(path: str | Path, field_name: str = "prompt") -> list[str]:
    """Prompts of a file: one a line, or JSON lines with a field ``prompt`` (a text, or an object with ``text``).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds no prompt, the same one twice, or a line that cannot be read; the message names the line.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file of prompts {path}.")
    prompts: list[str] = []
    lines: dict[str, int] = {}
    for number, line in enumerate(read_lines(path, "the file of prompts"), start=1):
        if not line.strip():
            continue
        prompt = _json_prompt(line, f"{path}, line {number}", field_name) if path.suffix == ".jsonl" else line.strip()
        if prompt in lines:
            raise ValueError(
                f"{path}, line {number}: the prompt of line {lines[prompt]} stands there again ({prompt[:60]!r}); each "
                "prompt counts once: remove one."
            )
        lines[prompt] = number
        prompts.append(prompt)
    if not prompts:
        raise ValueError(f"The file of prompts {path} is empty: give one prompt a line.")
    return prompts


def _json_prompt(line: str, where: str, field_name: str) -> str:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{where}: not JSON ({error}).") from None
    found = value.get(field_name) if isinstance(value, dict) else value
    found = found.get("text") if isinstance(found, dict) else found
    if not isinstance(found, str) or not found.strip():
        raise ValueError(f"{where}: expected a text in the field {field_name!r}, got {line[:80]}")
    return found.strip()


def _format(path: Path, given: str) -> str:
    if given != "auto" or path.suffix.lower() not in (".txt", ".text"):
        return given
    with path.open(encoding="utf-8-sig", errors="replace") as stream:
        first = next((line for line in stream if line.strip()), "")
    return "e2e" if "||" in first and ":" in first.partition("||")[0] else "text"


def _fields(path: Path, fields: dict[str, str]) -> dict[str, Any]:
    return {} if path.suffix.lower() in (".txt", ".text") else fields
