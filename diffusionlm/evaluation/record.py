"""Record of a measurement: settings, figures, versions, machine, date and wall time, in one JSON file."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from diffusionlm.checkpoints.files import write_text
from diffusionlm.checkpoints.folders import find_folder, read_defaults, weight_files
from diffusionlm.checkpoints.loading import sha256
from diffusionlm.errors import reason_of

PACKAGES = ("diffusionlm-toolkit", "torch", "transformers", "diffusers", "tokenizers", "numpy")


def environment(device: str | torch.device = "cpu") -> dict[str, Any]:
    """Versions of the packages that matter, and the machine: processor, threads of PyTorch, accelerator."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:  # used from the source folder
            versions[package] = "not installed"
    device = torch.device(device)
    return {
        "versions": versions,
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
    }


def checkpoint_facts(name: str | Path) -> dict[str, Any]:
    """Identity of a checkpoint: its name, the checksum of its weights, its noise schedule and limit, and the
    sampler, temperature and weight of the bigram model that a call takes from it.

    Raises:
        FileNotFoundError: there is no such checkpoint, or it has no weights.
    """
    folder = find_folder(name)
    index = read_defaults(folder)
    # the name only: a figure is the same wherever the folder lies
    return {
        "model": Path(name).name,
        "sha256": _checksum(weight_files(folder)),
        "schedule": index.get("schedule"),
        "max_length": index.get("max_length"),
        "sampler": index.get("sampler"),
        "temperature": index.get("temperature"),
        "bigrams": index.get("bigrams", 0.0),
    }


def _checksum(files: Sequence[Path]) -> str:
    """Of one file as it is, of several of their checksums."""
    sums = [sha256(file) for file in files]
    return sums[0] if len(sums) == 1 else hashlib.sha256("".join(sums).encode()).hexdigest()


def settings_key(settings: Mapping[str, Any]) -> str:
    """Ten hexadecimal digits that differ where settings differ; for names of files that are reused."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()[:10]


class Stopwatch:
    """Wall time since it was made, and a record of a measurement that carries it."""

    def __init__(self) -> None:
        self._began = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.perf_counter() - self._began

    def record(
        self, benchmark: str, settings: Mapping[str, Any], figures: Any, device: str | torch.device = "cpu"
    ) -> dict[str, Any]:
        """Everything that belongs to a figure, ready for `write_json`."""
        return {
            "benchmark": benchmark,
            "settings": dict(settings),
            "figures": figures,
            "environment": environment(device),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "wall_seconds": round(self.seconds, 2),
        }


def read_json(path: Path, again: str) -> Any:
    """What `write_json` wrote.

    Args:
        path: of the file.
        again: what to do where it is damaged, such as "delete it to write the samples again".

    Raises:
        ValueError: if it is damaged, naming the file.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({reason_of(error)}); {again}.") from error


def write_json(path: Path, data: Any) -> None:
    """Writes JSON whole or not at all; folders are made."""
    write_text(path, json.dumps(data, indent=1, ensure_ascii=False, default=str) + "\n")


def _processor() -> str:
    """The processor by its name, where the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.lower().startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
