"""A job ÷ the pipeline itself: rows a second with 1, 2, 4 workers and on Ray, and kills at random moments.

    python -m benchmarks.bench_jobs --model restaurant --rows 256 --steps 8 --workers 1 2 --kills 10

Each way of running must give the same parts, byte for byte; so must a job that is killed at random moments and run again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from diffusionlm import DiffusionLMPipeline
from diffusionlm.evaluation.record import write_json
from diffusionlm.serving.jobs.job import run_job
from diffusionlm.serving.jobs.row_reading import JobSettings, row_seed
from diffusionlm.serving.jobs.source import open_source
from diffusionlm.serving.jobs.work import JobPlan


def parts(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.glob("part-*.jsonl")))


def killed(plan: JobPlan, source: Path, output: Path, kills: int, workers: int) -> int:
    """Runs the command and kills its processes at random moments; returns how often it was killed."""
    command = [sys.executable, "-m", "diffusionlm", "generate", f"input={source}", f"output={output}", "threads=1"]
    command += [f"checkpoint={plan.checkpoint}", f"steps={plan.settings.steps}", f"workers={workers}"]
    command += [f"rows_of_a_part={plan.source.chunk}", f"batch_size={plan.batch_size}"]
    moments, done = random.Random(0), 0
    while done < kills:
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
        before = len(list(output.glob("part-*"))) if output.exists() else 0
        while process.poll() is None and (len(list(output.glob("part-*"))) if output.exists() else 0) == before:
            time.sleep(0.01)
        time.sleep(moments.random())
        if process.poll() is not None:
            break
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        done += 1
    subprocess.run(command, stderr=subprocess.DEVNULL, check=True)
    return done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="restaurant")
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--ray", type=int, nargs="*", default=[])
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--json")
    given = parser.parse_args()

    import torch

    torch.set_num_threads(1)
    figures: dict[str, Any] = {"rows": given.rows, "steps": given.steps}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        source = home / "rows.jsonl"
        source.write_text("".join(json.dumps({"id": n}) + "\n" for n in range(given.rows)))
        settings = JobSettings(steps=given.steps)
        pipe = DiffusionLMPipeline.from_pretrained(given.model)
        pipe.set_progress_bar_config(disable=True)
        pipe(seed=0, steps=2)
        wall, processor = time.perf_counter(), time.process_time()
        seeds = [row_seed(0, n) for n in range(given.rows)]
        texts = pipe([None] * given.rows, seed=seeds, steps=given.steps, batch_size=given.batch).texts
        plain = time.perf_counter() - wall, time.process_time() - processor
        reference = b""
        ways = [("local", n) for n in given.workers] + [("ray", n) for n in given.ray]
        for engine, workers in ways:
            output = home / f"{engine}-{workers}"
            plan = JobPlan(
                open_source(source, 32), str(output), "jsonl", settings, given.model, batch_size=given.batch, threads=1
            )
            wall, processor = time.perf_counter(), time.process_time()
            run_job(plan, workers, engine)
            spent = time.perf_counter() - wall, time.process_time() - processor
            reference = reference or parts(output)
            assert parts(output) == reference, "the texts depend on the workers"
            rows = [json.loads(line) for line in reference.splitlines()]
            assert [row["texts"] for row in rows] == texts, "the texts are not those of the pipeline"
            figures[f"{engine}_{workers}"] = {
                "rows_per_second": given.rows / spent[0],
                "ratio_wall": plain[0] / spent[0],
                "ratio_processor": plain[1] / spent[1] if (engine, workers) == ("local", 1) else None,
            }
        if given.kills:
            output = home / "killed"
            figures["kills"] = killed(plan, source, output, given.kills, max(given.workers))
            assert parts(output) == reference, "a killed job lost rows or wrote them twice"
            figures["killed_as_whole"] = True
    for name, value in figures.items():
        print(f"{name:18} {value}")
    if given.json:
        write_json(Path(given.json), figures)


if __name__ == "__main__":
    main()
