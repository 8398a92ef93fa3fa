"""How long a newcomer waits: `import diffusionlm`, and `diffusionlm generate` from the shell to the text.

    python -m benchmarks.bench_startup --model restaurant --runs 5

Each run is a fresh process. The first run may read files from the disk that later ones find in memory: the median and
the slowest are given, and the processor time, which other programs on the machine disturb less. Precompiled Python files
are in place, as after an installation and one first use.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from benchmarks.commandline import make_parser
from diffusionlm.evaluation.record import Stopwatch, checkpoint_facts, settings_key, write_json

GOALS = {"import": 0.3, "generate": 8.0}
_IMPORT = "import time; t = time.perf_counter(); import diffusionlm; print(time.perf_counter() - t)"


def import_seconds() -> float:
    """Seconds of `import diffusionlm` in a fresh interpreter, the interpreter's own start not counted."""
    done = subprocess.run([sys.executable, "-c", _IMPORT], check=True, capture_output=True, text=True)
    return float(done.stdout)


def generate_seconds(model: str, samples: int) -> float:
    """Seconds of the whole command, start of the interpreter included.

    Raises:
        RuntimeError: the command failed or wrote nothing; the message holds what it said.
    """
    command = [
        sys.executable,
        "-m",
        "diffusionlm",
        "generate",
        f"checkpoint={model}",
        f"num_samples={samples}",
        "seed=0",
    ]
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    if done.returncode or not done.stdout.strip():
        raise RuntimeError(f"`{' '.join(command[1:])}` ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return seconds


def main(arguments: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--runs", type=int, default=5, help="fresh processes of each (default: 5)")
    parser.add_argument(
        "--samples", type=int, default=4, help="texts that generate writes (default: 4, as it does itself)"
    )
    options = parser.parse_args(arguments)
    watch = Stopwatch()
    calls: dict[str, Callable[[], float]] = {
        "import": import_seconds,
        "generate": lambda: generate_seconds(options.model, options.samples),
    }
    figures = {}
    print("| what | median, s | slowest, s | goal, s | processor time, s |\n|---|---|---|---|---|")
    for name, call in calls.items():
        before = os.times()
        seconds = [call() for _ in range(options.runs)]
        after = os.times()
        spent = after.children_user + after.children_system - before.children_user - before.children_system
        figures[name] = {
            "median": statistics.median(seconds),
            "slowest": max(seconds),
            "all": seconds,
            "goal": GOALS[name],
            "processor_seconds": spent / options.runs,  # of the whole process; 0 where the system does not tell
        }
        row = (
            f"{figures[name]['median']:.3f}",
            f"{max(seconds):.3f}",
            f"< {GOALS[name]}",
            f"{spent / options.runs:.2f}",
        )
        print(f"| {name} | {' | '.join(row)} |", flush=True)
    settings = {**checkpoint_facts(options.model), "runs": options.runs, "samples": options.samples}
    path = options.out / "startup" / f"{settings['model']}-{settings_key(settings)}.json"
    write_json(path, watch.record("startup", settings, figures))
    print(f"Record: {path}")


if __name__ == "__main__":
    main()
