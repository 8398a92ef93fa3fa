"""`run_job`: all chunks of a job that have no part yet, by one process, several, or Ray; and how far it is."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from diffusionlm.serving.jobs.folder import JobFolder
from diffusionlm.serving.jobs.processes import run_here, run_on_processes
from diffusionlm.serving.jobs.row_reading import RowSettings
from diffusionlm.serving.jobs.work import JobPlan

FORMAT = 1  # of the folder
ENGINES = ("local", "ray")


@dataclass(frozen=True)
class Progress:
    """Progress of a job.

    Attributes:
        rows: rows that are done, failed ones with them.
        total: rows of the file.
        failed: rows that failed.
        seconds: since this run began.
        new: rows that this run has done.
    """

    rows: int
    total: int
    failed: int
    seconds: float
    new: int

    def __str__(self) -> str:
        rate = self.new / self.seconds if self.seconds else 0.0
        left = f", {(self.total - self.rows) / rate:.0f} s left" if rate and self.rows < self.total else ""
        return f"{self.rows:,} of {self.total:,} rows ({self.failed:,} failed), {rate:.1f} rows/s{left}"


def run_job(
    plan: JobPlan,
    workers: int = 1,
    engine: str = "local",
    tell: Callable[[Progress], None] = lambda progress: None,
) -> Progress:
    """Runs what is left of a job. Run again after a kill, it goes on; run again when it is done, it does nothing.

    Args:
        plan: the job.
        workers: processes, or workers of the cluster; the texts do not depend on it.
        engine: "local" or "ray".
        tell: called whenever a part has been written.

    Raises:
        ValueError: if the folder is of another job, or a setting is out of range; before any work.
        OSError: if the disk is full.
    """
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise ValueError(f"workers must be an integer of at least 1, got {workers!r}.")
    if engine not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(ENGINES)}, got {engine!r}.")
    if plan.kind not in ("jsonl", "parquet"):
        raise ValueError(f"The form of the parts must be jsonl or parquet, got {plan.kind!r}.")
    settings = plan.settings
    RowSettings(settings.steps, settings.temperature, settings.sampler)
    folder, began = JobFolder(plan.output, plan.kind), time.monotonic()
    folder.claim(record(plan))
    folder.tidy()
    done = folder.done()
    chunks = [number for number in range(plan.source.chunks) if number not in done]
    rows, failed, new = sum(_size(plan, number) for number in done), folder.count_failed(), 0

    def progress() -> Progress:
        return Progress(rows, plan.source.rows, failed, time.monotonic() - began, new)

    tell(progress())
    if chunks:
        if engine == "ray":
            from diffusionlm.serving.jobs.cluster import run_on_ray

            finished = run_on_ray(plan, chunks, min(workers, len(chunks)))
        elif workers == 1:
            finished = run_here(plan, chunks)
        else:
            finished = run_on_processes(plan, chunks, min(workers, len(chunks)))
        for _, written, broken in finished:
            rows, failed, new = rows + written + broken, failed + broken, new + written + broken
            tell(progress())
    failed = folder.gather_failed()
    return progress()


def record(plan: JobPlan) -> dict[str, Any]:
    """All that the texts of a job depend on; what is another machine's business (workers, device, batch size) is not in it."""
    return {
        "format": FORMAT,
        "input": plan.source.digest,
        "rows": plan.source.rows,
        "rows_of_a_part": plan.source.chunk,
        "parts": plan.kind,
        "checkpoint": _fingerprint(plan.checkpoint),
        "dtype": plan.dtype,
        "guidance": _described(plan.guidance),
        **plan.settings.to_dict(),
    }


def _size(plan: JobPlan, number: int) -> int:
    return min(plan.source.chunk, plan.source.rows - number * plan.source.chunk)


def _fingerprint(checkpoint: str) -> str:
    """The checkpoint by its content, so that it may stand elsewhere on the next machine."""
    from diffusionlm.checkpoints.folders import find_folder

    folder, digest = find_folder(checkpoint), sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in (".safetensors", ".json"):
            digest.update(str(path.relative_to(folder)).encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _described(guidance: Any) -> Any:
    if guidance is None:
        return None
    from diffusionlm.guidance.registry.plugin_files import plugins_with_files

    described: list[Any] = []
    for plugin in plugins_with_files(guidance):
        try:
            described.append(plugin.to_dict())
        except TypeError:
            described.append(repr(plugin))
    return json.loads(json.dumps(described, default=repr))
