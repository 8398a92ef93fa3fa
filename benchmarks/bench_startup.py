"""How long a newcomer waits: `import diffusionlm`, and `diffusionlm generate` from the shell to the text.

    python -m benchmarks.bench_startup --model restaurant --runs 5

Each run is a fresh process. The first run may read files from the disk that later ones find in memory: the median and
the slowest are given. Precompiled Python files are in place, as after an installation and one first use.
"""

from __future__ import annotations

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
    print("| what | median, s | slowest, s | goal, s |\n|---|---|---|---|")
    for name, call in calls.items():
        seconds = [call() for _ in range(options.runs)]
        figures[name] = {
            "median": statistics.median(seconds),
            "slowest": max(seconds),
            "all": seconds,
            "goal": GOALS[name],
        }
        print(f"| {name} | {figures[name]['median']:.3f} | {max(seconds):.3f} | < {GOALS[name]} |", flush=True)
    settings = {**checkpoint_facts(options.model), "runs": options.runs, "samples": options.samples}
    path = options.out / "startup" / f"{settings['model']}-{settings_key(settings)}.json"
    write_json(path, watch.record("startup", settings, figures))
    print(f"Record: {path}")


if __name__ == "__main__":
    main()
