"""From a row of a file to the texts it asks for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from diffusionlm.errors import nearest
from diffusionlm.generation.requests import check_count
from diffusionlm.serving.plugins import check_guidance, to_key
from diffusionlm.serving.rows import RowSettings, WorkRow, check_sampler, make_row
from diffusionlm.spans import Canvas

if TYPE_CHECKING:
    from diffusionlm.pipeline import DiffusionLMPipeline

FIELDS = (
    "text",
    "prompt",
    "guidance",
    "num_samples",
    "seed",
    "steps",
    "temperature",
    "sampler",
    "max_length",
    "max_span_length",
)
RESULTS = ("row", "texts", "spans", "seeds", "certificates", "unmet")
JOB = "job"  # key of the job's own guidance, which may be what no key can hold
_SEED_STREAM = 0x10B5  # keeps the seeds of rows apart from whatever else is drawn from the job's seed


@dataclass(frozen=True)
class JobSettings:
    """Settings of rows that do not say otherwise, see `DiffusionLMPipeline.__call__`, and the most that a row may ask for.

    Raises:
        ValueError: if a bound is no whole number of at least 1.
    """

    num_samples: int = 1
    seed: int = 0
    steps: int | None = None
    temperature: float | None = None
    sampler: str | None = None
    prompt: str | None = None
    max_length: int | None = None
    max_span_length: int | None = None
    guided: bool = False
    most_steps: int = 1000
    most_samples: int = 10_000

    def __post_init__(self) -> None:
        for name in ("most_steps", "most_samples"):
            check_count(name, getattr(self, name))

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for the record."""
        return asdict(self)


def row_seed(job_seed: int, number: int) -> int:
    """The seed of a row without one: it follows from the job's seed and the number of the row, and is below 2^52."""
    drawn = np.random.SeedSequence((job_seed, _SEED_STREAM, number)).generate_state(1, np.uint64)[0]
    return int(drawn >> np.uint64(12))


def read_row(pipe: DiffusionLMPipeline, row: Mapping[str, Any], number: int, job: JobSettings) -> list[WorkRow]:
    """The texts that a row asks for, one `WorkRow` for each sample.

    Args:
        pipe: the model.
        row: its fields. Those that are called like none of ours are the user's own and are carried along.
        number: of the row in its file.
        job: settings that the row does not give.

    Raises:
        ValueError: if a field looks like a misspelt one, is of the wrong kind, or does not fit the model.
    """
    for name in row:
        if name in RESULTS or name == "context":
            hint = "results are written under it; rename yours" if name in RESULTS else "this model reads no context"
            raise ValueError(f"The field {name!r} cannot be used: {hint}.")
        near = nearest(name, FIELDS, cutoff=0.8)
        if name not in FIELDS and near:
            raise ValueError(f"There is no field {name!r}; did you mean {near!r}? Rename it if it is your own.")
    try:
        json.dumps(dict(row), ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        raise ValueError("The row has half of a character (a lone surrogate) in a text.") from None
    given = {**job.to_dict(), **{name: row[name] for name in FIELDS if row.get(name) is not None}}
    check_count("num_samples", given["num_samples"])
    for name, most in (("num_samples", job.most_samples), ("steps", job.most_steps)):
        own = row.get(name)
        if isinstance(own, int) and own > most:
            bound = "most_samples" if name == "num_samples" else "most_steps"
            raise ValueError(
                f"{name} of a row must be at most {most:,}, got {own:,}; whoever runs the job may set {bound}=..."
            )
    for name in ("text", "prompt"):
        if given.get(name) is not None and not isinstance(given[name], str):
            raise ValueError(f"{name} must be a text, got {type(given[name]).__name__}.")
    seed = row_seed(job.seed, number) if row.get("seed") is None else given["seed"]
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed must be an integer that is not negative, got {seed!r}.")
    length = pipe.max_length if given["max_length"] is None else given["max_length"]
    check_count("max_length", length)
    if given["max_span_length"] is not None:
        check_count("max_span_length", given["max_span_length"])
    check_sampler(row.get("sampler"))
    settings = RowSettings(given["steps"], given["temperature"], given["sampler"], _guidance(row, job))
    canvas = Canvas.parse(given["text"]) if given.get("text") else Canvas.whole(length)
    first = make_row(pipe, canvas, given["prompt"] or "", seed, settings, given["max_span_length"])
    return [
        WorkRow(first.canvas, first.prompt, seed + sample, settings, first.positions, first.known)
        for sample in range(given["num_samples"])
    ]


def _guidance(row: Mapping[str, Any], job: JobSettings) -> str:
    """The key of a row's guidance: its own, from the allow-list of the service, or the job's."""
    own = row.get("guidance")
    if own is None:
        return JOB if job.guided else ""
    if isinstance(own, str):  # a column of Parquet
        try:
            own = json.loads(own)
        except ValueError as error:
            if own.lstrip()[:1] not in ("{", "["):
                return to_key(check_guidance(own))  # which says what it may be
            raise ValueError(f"guidance is a text that is not JSON: {error}.") from None
    return to_key(check_guidance(own))
