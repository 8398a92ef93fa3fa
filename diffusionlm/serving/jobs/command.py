"""``diffusionlm generate input=FILE output=FOLDER``: the settings of the command line as a job."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from diffusionlm.serving.jobs.job import Progress, run_job
from diffusionlm.serving.jobs.row_reading import JobSettings
from diffusionlm.serving.jobs.source import open_source
from diffusionlm.serving.jobs.work import JobPlan

OF_A_CALL = ("adapter", "best_of", "bigrams", "block_length", "context", "fluency")


def run(config: Mapping[str, Any], given: set[str]) -> int:
    """Runs the job and tells on stderr how far it is.

    Args:
        config: settings of ``configs/generate.yaml``.
        given: names of those that the user gave; without num_samples among them each row gets one text.

    Returns:
        0, or 1 where rows failed.

    Raises:
        ValueError: for a setting that does not fit a job.
    """
    for name in ("input", "output"):
        if not isinstance(config[name], str):
            raise ValueError(
                f"A job needs both: input=FILE.jsonl (or .parquet) and output=FOLDER; {name} is not given."
            )
    for name in OF_A_CALL:
        if config[name] is not None:
            raise ValueError(f"A job does not take {name}: leave it out, or write with pipe(texts, {name}=...).")
    for name in ("rows_of_a_part", "threads"):
        if config[name] is not None and (type(config[name]) is not int or config[name] < 1):
            raise ValueError(f"{name} must be an integer of at least 1, got {config[name]!r}.")
    names = ("most_steps", "most_samples", "steps", "temperature", "prompt", "max_length", "max_span_length")
    sampler = config.get("sampler")
    settings = JobSettings(
        num_samples=config["num_samples"] if "num_samples" in given else 1,
        seed=0 if config["seed"] is None else config["seed"],
        sampler=json.dumps(sampler, sort_keys=True) if isinstance(sampler, Mapping) else sampler,
        guided=bool(config.get("guidance")),
        **{name: config[name] for name in names},
    )
    source = open_source(config["input"], config["rows_of_a_part"])
    plan = JobPlan(
        source=source,
        output=config["output"],
        kind=config["parts"] or source.kind,
        settings=settings,
        checkpoint=config["checkpoint"],
        guidance=config.get("guidance") or None,
        batch_size=config["batch_size"],
        device=config["device"],
        dtype=config["dtype"],
        threads=config["threads"],
    )
    done = run_job(plan, config["workers"], config["engine"], _tell)
    if sys.stderr.isatty():
        print(file=sys.stderr)  # ends the line that was written over
    if done.failed:
        rows = "row" if done.failed == 1 else "rows"
        print(f"{done.failed:,} {rows} failed; {config['output']}/failed.jsonl says why.", file=sys.stderr)
    return 1 if done.failed else 0


def _tell(progress: Progress) -> None:
    if sys.stderr.isatty():
        print(f"\r{progress}   ", end="", file=sys.stderr, flush=True)
    else:
        print(progress, file=sys.stderr, flush=True)
