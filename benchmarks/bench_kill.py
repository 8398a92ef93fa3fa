"""Works that are killed at random moments (SIGKILL), again and again: nothing is lost or half-written, the end is the same.

    python -m benchmarks.bench_kill --of training corpus saving evaluation --times 20

Each work (`benchmarks.killed_works`) runs once whole. In another folder it is begun and killed at a moment drawn evenly from
the time that it takes, then begun again in the same folder, or anew where it had finished. After each kill all that lies under
its own name must load; when at last it finishes it must have come to what the whole one came to, and no draft of a killed
process may be left. Children are forked from one process that has imported the library, so that moments are of the work and
not of imports.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.killed_works import WORKS, Work
from diffusionlm.evaluation.record import Stopwatch, write_json

LEFT_OVERS = (".draft", ".stale", ".going")
IMPORTED = ["diffusionlm.training.run", "diffusionlm.training.export", "diffusionlm.pipeline", "benchmarks.tiny_models"]


@dataclass
class Kills:
    """What came of one work.

    Attributes:
        seconds: that the whole one took.
        kills: how often it was killed.
        finished: how often it came to its end after a kill.
        faults: what was seen, in words.
    """

    seconds: float = 0.0
    kills: int = 0
    finished: int = 0
    faults: list[str] = field(default_factory=list)


def start(work: Work, folder: Path, method: str = "forkserver") -> Any:
    """Begins a work in a process of its own."""
    context: Any = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload(IMPORTED)
    child = context.Process(target=_child, args=(work, folder))
    child.start()
    return child


def _child(work: Work, folder: Path) -> None:
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    work.work(folder)


def kill_often(work: Work, home: Path, times: int, seed: int = 0, method: str = "forkserver") -> Kills:
    """Kills a work so many times.

    Args:
        work: as in `WORKS`.
        home: an empty folder.
        times: number of kills.
        seed: of the moments.
        method: of starting processes, as `multiprocessing` names it.

    Raises:
        RuntimeError: if the work fails without being killed.
    """
    rng, found = random.Random(seed), Kills()
    whole, killed = home / "whole", home / "killed"
    for folder in (whole, killed):
        folder.mkdir()
        work.prepare(folder)
    start(work, killed, method).join()  # the server of processes imports; what was done is done anew
    began = time.monotonic()
    child = start(work, whole, method)
    child.join()
    found.seconds = time.monotonic() - began
    if child.exitcode != 0:
        raise RuntimeError(f"The work fails without being killed (exit code {child.exitcode}).")
    expected = work.outcome(whole).replace(str(whole), "")
    _anew(killed, work.prepare)
    while True:
        child = start(work, killed, method)
        if found.kills < times:
            child.join(rng.uniform(0, found.seconds))
            if child.is_alive():
                child.kill()
                found.kills += 1
        child.join()
        try:
            work.read(killed)
        except Exception as error:
            found.faults.append(f"after kill {found.kills}: {type(error).__name__}: {str(error)[:300]}")
        if child.exitcode == 0:
            found.finished += 1
            if work.outcome(killed).replace(str(killed), "") != expected:
                found.faults.append(f"after kill {found.kills} it came to something else")
            found.faults += [f"{path.name} was left" for path in killed.rglob(".*") if path.name.startswith(LEFT_OVERS)]
            if found.kills >= times:
                return found
            _anew(killed, work.prepare)
        elif child.exitcode > 0:
            found.faults.append(f"after kill {found.kills} it did not go on (exit code {child.exitcode})")
            _anew(killed, work.prepare)


def _anew(folder: Path, prepare: Any) -> None:
    shutil.rmtree(folder)
    folder.mkdir()
    prepare(folder)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a line for each work; fails if a fault was seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--of", nargs="*", choices=WORKS, default=list(WORKS))
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("outputs/benchmarks"), help="folder for the record")
    given = parser.parse_args(arguments)
    watch, figures = Stopwatch(), {}
    print("| work | seconds | kills | finished after them | faults |\n|---|---|---|---|---|")
    for name in given.of:
        with tempfile.TemporaryDirectory() as home:
            found = kill_often(WORKS[name], Path(home), given.times, given.seed)
        figures[name] = vars(found)
        print(f"| {name} | {found.seconds:.1f} | {found.kills} | {found.finished} | {len(found.faults)} |", flush=True)
        for fault in found.faults:
            print(f"FAULT {name}: {fault}")
    write_json(given.out / "kill.json", watch.record("kill", {"times": given.times, "seed": given.seed}, figures))
    if any(own["faults"] for own in figures.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
