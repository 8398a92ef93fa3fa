"""One chunk of a job, from its rows to its part. The same code in one process, in several, and on a cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from diffusionlm.serving.jobs.folder import JobFolder
from diffusionlm.serving.jobs.row_reading import JOB, JobSettings, read_row
from diffusionlm.serving.jobs.source import Broken, Source
from diffusionlm.serving.plugins import from_key
from diffusionlm.serving.rows import WorkRow, Written, batches, write

if TYPE_CHECKING:
    from diffusionlm.pipeline import DiffusionLMPipeline


@dataclass(frozen=True)
class JobPlan:
    """All that a worker needs to know, plain enough to be sent to another process.

    Attributes:
        source: where the rows are.
        output: the folder.
        kind: "jsonl" or "parquet", the form of the parts.
        settings: of rows that do not say otherwise.
        checkpoint: bundled name, folder, or Hub repository.
        guidance: of the job, plain data: ``{"name": ..., settings}`` or a list; a path that ends in .py is run.
        batch_size: rows that are denoised at once.
        device, dtype: of the network; None takes CUDA if there is one.
        threads: of PyTorch in each process; None leaves them.
    """

    source: Source
    output: str
    kind: str
    settings: JobSettings
    checkpoint: str
    guidance: Any = None
    batch_size: int = 64
    device: str | None = None
    dtype: str = "float32"
    threads: int | None = None

    def load(self) -> DiffusionLMPipeline:
        """The model."""
        import torch

        from diffusionlm.pipeline import DiffusionLMPipeline

        if self.threads is not None:
            torch.set_num_threads(self.threads)
        device = self.device or ("cuda" if torch.cuda.is_available() else "cpu")
        pipe = DiffusionLMPipeline.from_pretrained(
            self.checkpoint, torch_dtype=getattr(torch, self.dtype), device=device
        )
        pipe.set_progress_bar_config(disable=True)
        return pipe


class ChunkWorker:
    """Writes chunks with one model, loaded once.

    Args:
        plan: the job.
    """

    def __init__(self, plan: JobPlan) -> None:
        self.plan, self.pipe = plan, plan.load()
        self.guidance: Any = None
        if plan.guidance is not None:
            from diffusionlm.guidance.registry.plugin_files import plugins_with_files

            self.guidance = plugins_with_files(plan.guidance)

    def run(self, number: int) -> tuple[int, int]:
        """Writes the part of a chunk; returns how many rows were written, and how many failed."""
        return _run_chunk(self.pipe, self.plan, self.guidance, number)


def _run_chunk(pipe: DiffusionLMPipeline, plan: JobPlan, guidance: Any, number: int) -> tuple[int, int]:
    rows: dict[int, dict[str, Any]] = {}
    failed: dict[int, dict[str, Any]] = {}
    work: list[WorkRow] = []
    owners: list[int] = []
    for place, row in plan.source.read(number):
        if isinstance(row, Broken):
            failed[place] = {"row": place, "error": row.reason}
            continue
        try:
            own = read_row(pipe, row, place, plan.settings)
        except ValueError as error:
            failed[place] = {"row": place, "error": _sentence(error), "given": row}
            continue
        rows[place] = row
        work += own
        owners += [place] * len(own)
    results: list[Written | Exception | None] = [None] * len(work)
    for places in batches(work, plan.batch_size):
        done = write(pipe, [work[i] for i in places], lambda key: guidance if key == JOB else from_key(key))
        for i, own_result in zip(places, done, strict=True):
            results[i] = own_result
    texts: dict[int, list[Written]] = {place: [] for place in rows}
    for place, result in zip(owners, results, strict=True):
        if isinstance(result, Exception):
            failed.setdefault(place, {"row": place, "error": _sentence(result), "given": rows[place]})
        elif result is not None:
            texts[place].append(result)
    written = [_result(place, rows[place], own) for place, own in texts.items() if place not in failed]
    JobFolder(plan.output, plan.kind).write_part(number, written, [failed[place] for place in sorted(failed)])
    return len(written), len(failed)


def _result(place: int, row: dict[str, Any], written: list[Written]) -> dict[str, Any]:
    samples = [one.sample for one in written]
    return {
        "row": place,
        **row,
        "texts": [sample.text for sample in samples],
        "spans": [sample.spans for sample in samples],
        "seeds": [sample.seed for sample in samples],
        "certificates": [sample.certificates for sample in samples],
        "unmet": [list(one.unmet) for one in written],
    }


def _sentence(error: Exception) -> str:
    return " ".join(str(error).split())[:2000] or type(error).__name__
