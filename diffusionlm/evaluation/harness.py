"""An evaluation: tasks in their order, each result kept as soon as it is there, and one record of all."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import diffusionlm
from diffusionlm.evaluation.context import Context
from diffusionlm.evaluation.data import MissingData
from diffusionlm.evaluation.electricity import Energy
from diffusionlm.evaluation.figures import TaskResult
from diffusionlm.evaluation.record import environment, read_json, settings_key, write_json
from diffusionlm.evaluation.registry import Planned, Task, Unavailable, available, make_task

FORMAT = 1
RESULTS = "results.json"
JUDGE_SECONDS = 0.15  # a text under the packaged judge on one CPU core; other judges differ, the estimate with them


@dataclass(frozen=True)
class TaskRecord:
    """A task's result with what belongs to it.

    Attributes:
        name: of the task.
        settings: of the task.
        result: None where it was left out.
        left_out: why, "" if it was not.
        wall_seconds: of the call that finished this task.
        cpu_seconds: of processor time, all threads, in that call.
        energy: of the whole task, judges included; None where it was not measured.
        resumed: whether the record was there already.
    """

    name: str
    settings: dict[str, Any]
    result: TaskResult | None
    left_out: str = ""
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    energy: dict[str, Any] | None = None
    resumed: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        result = {} if self.result is None else self.result.to_dict()
        return {
            "settings": self.settings,
            "left_out": self.left_out,
            "wall_seconds": round(self.wall_seconds, 2),
            "cpu_seconds": round(self.cpu_seconds, 2),
            "energy": self.energy,
            **result,
        }

    @classmethod
    def from_dict(cls, name: str, data: Mapping[str, Any], resumed: bool = False) -> TaskRecord:
        """Inverse of `to_dict`."""
        result = None if data.get("left_out") else TaskResult.from_dict(dict(data))
        return cls(
            name,
            dict(data.get("settings", {})),
            result,
            data.get("left_out", ""),
            data.get("wall_seconds", 0.0),
            data.get("cpu_seconds", 0.0),
            data.get("energy"),
            resumed,
        )


def plan(
    names: Sequence[str] | None, size: str, settings: Mapping[str, Mapping[str, Any]], context: Context
) -> list[Planned]:
    """Tasks ready to run; those that cannot are left out with the reason, or refused if they were asked for by name.

    Args:
        names: of tasks; None takes all that belong to an evaluation.
        size: "small" or "full".
        settings: of tasks, by their names with "/" and "-" written as "_".
        context: they are checked with.

    Raises:
        ValueError: an unknown task or setting, or a task asked for by name that cannot run.
    """
    known = available()
    by_key = {key_of(name): name for name in known}
    for key in settings:
        if key not in by_key:
            from diffusionlm.errors import nearest

            near = nearest(key, by_key)
            hint = f"did you mean task.{near}?" if near else f"there are: {', '.join(by_key)}."
            raise ValueError(f"There is no task for task.{key}; {hint}")
    chosen = list(dict.fromkeys(names)) if names is not None else [name for name, kind in known.items() if kind.default]
    planned = []
    for name in chosen:
        task = make_task(name, size, settings.get(key_of(name)))
        try:
            task.check(context)
        except (Unavailable, MissingData, ModuleNotFoundError) as error:
            if names is not None:
                raise _named(name, error) from error
            planned.append(Planned(name, task, str(error)))
            continue
        planned.append(Planned(name, task))
    return sorted(planned, key=lambda item: (item.task.order, item.name))


def key_of(name: str) -> str:
    """Key of a task in a configuration: ``control/length`` is ``control_length``."""
    return name.replace("/", "_").replace("-", "_")


def estimate(planned: Sequence[Planned], context: Context) -> float:
    """About how many seconds the tasks take, from the time of a few samples written now."""
    began = time.perf_counter()
    context.pipe(num_samples=8, steps=2, seed=0)
    began = time.perf_counter()
    context.pipe(num_samples=8, steps=4, seed=0)
    a_sample = (time.perf_counter() - began) / 8 / 4 * context.steps
    total = 0.0
    for item in planned:
        if not item.left_out:
            samples, texts = item.task.work(context)
            total += samples * a_sample + texts * JUDGE_SECONDS
    return total


def evaluate(
    planned: Sequence[Planned],
    context: Context,
    on_task: Callable[[TaskRecord | str], None] | None = None,
) -> dict[str, Any]:
    """Runs tasks that `plan` made; each result is kept when it is there, and read from there in a later call.

    Args:
        planned: tasks.
        context: of the evaluation.
        on_task: told a task's name before it runs and its record after.

    Returns:
        The record of the evaluation, also written to ``results.json`` in the folder of the context.

    Raises:
        ValueError: what a task finds wrong; the message names the task.
    """
    records = []
    whole = time.perf_counter()
    for item in planned:
        if on_task:
            on_task(item.name)
        record = _run(item, context)
        records.append(record)
        write_json(context.folder / RESULTS, _results(records, context, time.perf_counter() - whole, False))
        if on_task:
            on_task(record)
    results = _results(records, context, time.perf_counter() - whole, True)
    write_json(context.folder / RESULTS, results)
    return results


def _run(item: Planned, context: Context) -> TaskRecord:
    settings = item.task.settings()
    if item.left_out:
        return TaskRecord(item.name, settings, None, item.left_out)
    about = {
        "task": item.name,
        "settings": settings,
        "common": context.settings,
        "seed": context.seed,
        "judge": Path(context.judge).name,
        "guidance": context.guidance,
        "data": context.data.to_dict(),
        "allow_guide_as_judge": context.allow_guide_as_judge,
        "format": FORMAT,
    }
    file = context.folder / "tasks" / f"{key_of(item.name)}-{settings_key(about)}.json"
    if file.is_file():
        kept = TaskRecord.from_dict(item.name, read_json(file, "delete it to run the task again"), resumed=True)
        # electricity of another country, or none: the task runs again, from samples that are kept
        if context.meter is None or (kept.energy or {}).get("country") == context.meter.country:
            return kept
    began, used = time.perf_counter(), time.process_time()
    energy: Energy | None = None
    try:
        # the meter of a task runs beside those of its samples: they are parts of it, not to be added
        if context.meter is None:
            result = item.task.run(context)
        else:
            with context.meter.measure() as energy:
                result = item.task.run(context)
    except (Unavailable, MissingData) as error:
        raise _named(item.name, error) from error
    seconds, cpu = time.perf_counter() - began, time.process_time() - used
    record = TaskRecord(item.name, settings, result, "", seconds, cpu, energy.to_dict() if energy else None)
    write_json(file, record.to_dict())
    return record


def _named(name: str, error: Exception) -> ValueError:
    return ValueError(f"The task '{name}' cannot run: {str(error).rstrip('.')}.")


def _results(records: Sequence[TaskRecord], context: Context, seconds: float, complete: bool) -> dict[str, Any]:
    found = environment(context.pipe.denoiser.device)
    found["versions"]["diffusionlm"] = diffusionlm.__version__
    energies = [record.energy for record in records if record.energy]
    said = {name: "; ".join(dict.fromkeys(energy[name] for energy in energies)) for name in ("how", "country")}
    total = {
        name: sum(energy[name] for energy in energies) for name in ("wh", "cpu_wh", "memory_wh", "gpu_wh", "co2_grams")
    }
    return {
        "format": FORMAT,
        "complete": complete,
        "version": diffusionlm.__version__,
        "checkpoint": context.facts,
        "settings": {
            **{key: value for key, value in context.settings.items() if key not in context.facts},
            "seed": context.seed,
            "judge": context.judge,
            "guidance": context.guidance,
            "data": context.data.to_dict(),
            "allow_guide_as_judge": context.allow_guide_as_judge,
        },
        "environment": found,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "wall_seconds": round(sum(record.wall_seconds for record in records), 2),
        "wall_seconds_of_this_call": round(seconds, 2),
        "cpu_seconds": round(sum(record.cpu_seconds for record in records), 2),
        "energy": {**total, **said} if energies else None,
        "tasks": {record.name: record.to_dict() for record in records},
    }


def read_results(path: str | Path) -> dict[str, Any]:
    """The record of an evaluation: its file, or the folder it is in.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is no record, or one of another version of the format.
    """
    path = Path(path)
    file = path / RESULTS if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(f"There are no results of an evaluation at {path}: give a {RESULTS}, or its folder.")
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is not JSON ({error}); run the evaluation again.") from None
    if not isinstance(data, dict) or "tasks" not in data or "format" not in data:
        raise ValueError(f"{file} is no record of 'diffusionlm evaluate'.")
    if data["format"] != FORMAT:
        raise ValueError(
            f"{file} was written in format {data['format']} by diffusionlm {data.get('version', '?')}, this is format "
            f"{FORMAT} of {diffusionlm.__version__}: run the evaluation again with one version for both."
        )
    return data


__all__ = ["Planned", "Task", "TaskRecord", "estimate", "evaluate", "plan", "read_results"]
