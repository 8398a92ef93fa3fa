"""Chunks on the machines of a Ray cluster, by Ray Data (extra ``ray``); input and output stand on a disk that all see."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from typing import Any

from diffusionlm.serving.jobs.processes import Done
from diffusionlm.serving.jobs.work import ChunkWorker, JobPlan


class ChunkWriter:
    """One worker of the cluster: a model, which is loaded once, and chunks that come one by one."""

    def __init__(self, plan: JobPlan) -> None:
        self.worker = ChunkWorker(plan)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Writes the parts of the chunks with these numbers."""
        results = [(int(number), *self.worker.run(int(number))) for number in batch["item"]]
        return {name: [result[i] for result in results] for i, name in enumerate(("chunk", "rows", "failed"))}


def run_on_ray(plan: JobPlan, chunks: Sequence[int], workers: int) -> Iterator[Done]:
    """Runs chunks on so many workers of the cluster that ``RAY_ADDRESS`` names, or of one that is started here.

    A worker that dies is replaced, and its chunk done again: parts are written once, whoever does it.

    Raises:
        ImportError: if Ray is not installed, saying how to install it.
    """
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    try:
        import ray
        import ray.data
    except ModuleNotFoundError as error:
        raise ImportError("engine=ray needs Ray: pip install 'diffusionlm-toolkit[ray]'.") from error

    started = not ray.is_initialized()
    if started:
        here = "RAY_ADDRESS" not in os.environ
        ray.init(
            log_to_driver=False,
            logging_level=logging.ERROR,
            include_dashboard=False if here else None,
            num_cpus=max(workers, os.cpu_count() or 1) + 1 if here else None,  # the writers take one each
        )
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False
        data = ray.data.from_items([int(number) for number in chunks], override_num_blocks=len(chunks))
        gpus = 1 if plan.device is None and _has_gpus(ray) else 0
        done = data.map_batches(
            ChunkWriter,
            fn_constructor_kwargs={"plan": plan},
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=workers),
            num_cpus=1,
            num_gpus=gpus,
        )
        for row in done.iter_rows():
            yield int(row["chunk"]), int(row["rows"]), int(row["failed"])
    finally:
        if started:
            ray.shutdown()


def _has_gpus(ray: Any) -> bool:
    return bool(ray.cluster_resources().get("GPU"))
