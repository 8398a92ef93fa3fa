"""``diffusionlm evaluate``: what a model can do, what it costs, and whether another one does it better."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffusionlm.evaluation.context import Context

SUMMARY = "Measure a model: fluency, control, speed, energy; compare two runs"
HELP = """usage: diffusionlm evaluate [key=value ...] [--cfg]
       diffusionlm evaluate compare A B [--json]
       diffusionlm evaluate report FOLDER
       diffusionlm evaluate card FOLDER CHECKPOINT
       diffusionlm evaluate tasks

Runs tasks on a checkpoint and writes results.json, report.md and report.html to a folder. Interrupted, the same command
goes on. `compare` sets two such folders side by side (paired bootstrap), `report` writes the report again, `card` writes the
figures and texts of the task `quality` into a checkpoint's card, `tasks` lists what can be measured, with settings.

  diffusionlm evaluate data.root=E2E
  diffusionlm evaluate checkpoint=MODEL tasks=[fluency,control/length] size=full data.valid=FILE
  diffusionlm evaluate data.root=E2E tasks=[fluency] guidance="{phrases: {include: [The Mill]}}" out=outputs/with-phrases
  diffusionlm evaluate tasks=[control/length] +task.control_length.per_target=4

settings (key=value) and their defaults:

"""
FORMATS = ("float32", "bfloat16", "float16")


def main(argv: list[str]) -> int:
    """Composes ``configs/evaluate.yaml`` with the ``key=value`` arguments and runs the tasks; or compares two runs."""
    if argv and argv[0] in ("compare", "report", "card", "tasks"):
        return {"compare": _compare, "report": _report, "card": _card, "tasks": _tasks}[argv[0]](argv[1:])
    from diffusionlm.commands._settings import read_settings

    config = read_settings(
        argv, "evaluate", HELP, "besides there are compare, report, card and tasks; ", ("task", "guidance")
    )
    if config is None:
        return 0
    return _evaluate(config)


def _evaluate(config: dict[str, Any]) -> int:
    from diffusionlm.checkpoints.folders import find_folder

    if config["dtype"] not in FORMATS:
        raise ValueError(f"dtype must be one of {', '.join(FORMATS)}, got {config['dtype']!r}.")
    for name in ("task", "guidance"):
        if not isinstance(config[name] or {}, dict):
            raise ValueError(f"{name} must be a mapping such as {{name: {{setting: value}}}}, got {config[name]!r}.")
    names = [config["tasks"]] if isinstance(config["tasks"], str) else config["tasks"]
    folder = find_folder(config["checkpoint"])  # a wrong name shows before the slow imports

    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from diffusionlm.evaluation.harness import TaskRecord, estimate, evaluate, plan

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bar:
        context = make_context(config, folder, _tracker(bar))
        planned = plan(names, config["size"], config["task"] or {}, context)
        todo = [item for item in planned if not item.left_out]
        for item in planned:
            if item.left_out:
                console.print(f"left out: {item.name}: {item.left_out}", highlight=False, markup=False)
        if not todo:
            raise ValueError("None of the tasks can run; see above for the reasons.")
        minutes = estimate(planned, context) / 60
        count = f"{len(todo)} task{'s' * (len(todo) != 1)}"
        console.print(f"{count}, about {minutes:.0f} min if nothing is kept from before; {context.folder}")
        whole = bar.add_task("tasks", total=len(todo))
        finished: list[str] = []

        def told(what: TaskRecord | str) -> None:
            if isinstance(what, str):
                bar.update(whole, description=what)
            elif what.result is not None:
                bar.advance(whole)
                finished.append(what.name)
                kept = " (kept from before)" if what.resumed else ""
                shown = "; ".join(f"{item.name} {item.shown()}" for item in what.result.figures[:3])
                console.print(f"{what.name}: {shown}{kept}", highlight=False, markup=False)

        try:
            record = evaluate(planned, context, told)
        except KeyboardInterrupt:
            _say_what_is_kept(console, finished, len(todo), context.folder)
            raise
    _write_report(record, context.folder)
    print(context.folder / "report.html")
    return 0


def _say_what_is_kept(console: Any, finished: list[str], total: int, folder: Path) -> None:
    """A report of the tasks that are done, and how to go on."""
    from diffusionlm.evaluation.harness import read_results

    report = ""
    if finished:
        _write_report(read_results(folder), folder)
        report = f", reported in {folder / 'report.html'}"
    console.print(
        f"{len(finished)} of {total} tasks are finished{report}. Texts and scores of the one at work are kept: the same "
        "command goes on.",
        highlight=False,
        markup=False,
    )


def make_context(config: dict[str, Any], folder: Path, progress: Any) -> Context:
    """Shared context of the tasks, from a composed configuration.

    Raises:
        ValueError: for a setting out of range.
        ModuleNotFoundError: energy is to be measured and codecarbon is not installed.
    """
    import torch

    from diffusionlm.evaluation.context import Context
    from diffusionlm.evaluation.data import EvaluationData
    from diffusionlm.evaluation.electricity import EnergyMeter
    from diffusionlm.evaluation.record import checkpoint_facts
    from diffusionlm.pipeline import DiffusionLMPipeline

    energy, data = config["energy"], config["data"]
    meter = EnergyMeter(energy["country"], energy["cpu_watts"]) if energy["enabled"] else None
    if data["root"] is not None and not Path(data["root"]).is_dir():
        raise ValueError(f"data.root={data['root']} is no folder; give the one with train.txt and valid.txt.")
    if config["threads"] is not None:
        torch.set_num_threads(config["threads"])
    device = config["device"] or ("cuda" if torch.cuda.is_available() else "cpu")
    pipe = DiffusionLMPipeline.from_pretrained(folder, torch_dtype=getattr(torch, config["dtype"]), device=device)
    pipe.set_progress_bar_config(disable=True)
    facts = checkpoint_facts(folder)
    return Context(
        pipe,
        {"model": facts["model"], "sha256": facts["sha256"]},
        Path(config["out"] or Path("outputs") / "evaluate" / facts["model"]),
        EvaluationData(
            data["root"], data["train"], data["valid"], data["format"], config["seed"], lexicon=_paths(data["lexicon"])
        ),
        config["judge"],
        config["guidance"] or None,
        pipe.steps if config["steps"] is None else config["steps"],
        config["temperature"],
        config["seed"],
        config["allow_guide_as_judge"],
        meter,
        progress,
        config["dtype"],
    )


def _paths(given: Any) -> tuple[str, ...]:
    """Paths of ``data.lexicon``: one, or a list."""
    return (str(given),) if isinstance(given, str) else tuple(map(str, given or ()))


def _tracker(bar: Any) -> Any:
    def track(items: Any, description: str) -> Any:
        items = list(items)
        task = bar.add_task(f"  {description}", total=len(items))
        try:
            for item in items:
                yield item
                bar.advance(task)
        finally:
            bar.remove_task(task)

    return track


def _write_report(record: dict[str, Any], folder: Path) -> None:
    from diffusionlm.evaluation.record import write_text
    from diffusionlm.evaluation.report import to_html, to_markdown

    write_text(folder / "report.md", to_markdown(record))
    write_text(folder / "report.html", to_html(record))


def _compare(arguments: list[str]) -> int:
    paths = [argument for argument in arguments if argument != "--json"]
    if len(paths) != 2 or any(path.startswith("-") for path in paths):
        raise ValueError("compare takes two folders of results: diffusionlm evaluate compare A B [--json]")
    from diffusionlm.evaluation.comparison import compare_results, to_markdown
    from diffusionlm.evaluation.harness import read_results

    first, second = (read_results(path) for path in paths)
    differences, notes = compare_results(first, second)
    if "--json" in arguments:
        import json

        print(json.dumps({"differences": [item.to_dict() for item in differences], "notes": notes}, indent=1))
    else:
        print(to_markdown(differences, notes, (paths[0], paths[1])))
    return 0


def _report(arguments: list[str]) -> int:
    if len(arguments) != 1:
        raise ValueError("report takes the folder of an evaluation: diffusionlm evaluate report FOLDER")
    from diffusionlm.evaluation.harness import read_results

    record = read_results(arguments[0])
    folder = Path(arguments[0]) if Path(arguments[0]).is_dir() else Path(arguments[0]).parent
    _write_report(record, folder)
    print(folder / "report.html")
    return 0


def _card(arguments: list[str]) -> int:
    if len(arguments) != 2:
        raise ValueError(
            "card takes the folder of an evaluation and a checkpoint: diffusionlm evaluate card FOLDER CHECKPOINT"
        )
    from diffusionlm.evaluation.card import write_card
    from diffusionlm.evaluation.harness import read_results

    print(write_card(read_results(arguments[0]), arguments[1]))
    return 0


def _tasks(arguments: list[str]) -> int:
    if arguments and arguments != ["--help"]:
        raise ValueError(f"tasks takes no arguments, got {arguments[0]!r}.")
    from diffusionlm.evaluation.harness import key_of
    from diffusionlm.evaluation.registry import available, make_task

    for name, kind in available().items():
        print(f"{name}: {(kind.__doc__ or '').strip().splitlines()[0]}")
        small, full = make_task(name).settings(), make_task(name, "full").settings()
        for key, value in small.items():
            more = f"   (size=full: {full[key]})" if full[key] != value else ""
            print(f"    task.{key_of(name)}.{key}={value}{more}")
    sys.stdout.flush()
    return 0
