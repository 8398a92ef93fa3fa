"""Chunks on several processes of this machine; when the one that started them dies, they stop."""

from __future__ import annotations

import multiprocessing
import os
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from diffusionlm.serving.jobs.work import ChunkWorker, JobPlan

Done = tuple[int, int, int]  # chunk, rows written, rows failed


def run_here(plan: JobPlan, chunks: Sequence[int]) -> Iterator[Done]:
    """Runs chunks in this process, one after another."""
    worker = ChunkWorker(plan)
    for number in chunks:
        yield (number, *worker.run(number))


def run_on_processes(plan: JobPlan, chunks: Sequence[int], workers: int) -> Iterator[Done]:
    """Runs chunks on so many processes, each with a model of its own; yields them as they are done.

    Raises:
        ChildProcessError: if a process dies; its chunk has no part and is done when the job is run again.
        OSError, ValueError: what a process met.
    """
    context = multiprocessing.get_context("spawn")
    waiting: Any = context.Queue()
    done: Any = context.Queue()
    for number in chunks:
        waiting.put(number)
    for _ in range(workers):
        waiting.put(None)
    team = [context.Process(target=_work, args=(plan, waiting, done, os.getpid()), daemon=True) for _ in range(workers)]
    for process in team:
        process.start()
    try:
        left = len(chunks)
        while left:
            try:
                item = done.get(timeout=1.0)
            except queue.Empty:
                dead = [process for process in team if process.exitcode not in (None, 0)]
                if dead:
                    raise ChildProcessError(
                        f"A process of the job died (exit code {dead[0].exitcode}), perhaps for lack of memory; give the same "
                        "command again to go on, with fewer workers or a smaller batch_size."
                    ) from None
                continue
            if isinstance(item, Exception):
                raise item
            left -= 1
            yield item
    finally:
        for process in team:
            process.kill()
            process.join()


def _work(plan: JobPlan, waiting: Any, done: Any, parent: int) -> None:
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    try:
        worker = ChunkWorker(plan)
        while (number := waiting.get()) is not None:
            done.put((number, *worker.run(number)))
    except Exception as error:
        try:
            done.put(type(error)(*error.args))
        except Exception:
            done.put(RuntimeError(f"{type(error).__name__}: {error}"))
    finally:
        done.close()
        done.join_thread()


def _follow(parent: int) -> None:
    """Ends this process when its parent has gone."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
