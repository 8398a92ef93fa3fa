"""How long a visitor of the demo waits: from the click to the first step that is shown, and to the finished text.

    python -m benchmarks.bench_demo --runs 5

Starts `diffusionlm demo` as a process and speaks the page's own protocol over HTTP, streaming included; what the browser
needs to draw is not counted. The guided order asks for two texts, guided and unguided side by side, in 32 steps.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from benchmarks.commandline import make_parser
from benchmarks.local_server import answering
from diffusionlm.evaluation.record import Stopwatch, write_json
from diffusionlm.studio.visitor import Visitor

GOALS = {"first step": 1.0, "finished": 10.0}
GUIDED = {"Text": "[SPAN] near [SPAN].", "Seed": 5, "Length · rule": True, "Words": "14-18"}


@contextmanager
def running_demo(threads: int) -> Iterator[str]:
    """Serves the demo on a free port; gives its address.

    Raises:
        RuntimeError: if it ends, or does not answer in time.
    """
    command = [sys.executable, "-m", "diffusionlm", "demo", "--threads", str(threads), "--port"]
    with answering(lambda port: [*command, str(port)]) as (url, _):
        yield url


def seconds_of(url: str, order: dict[str, Any]) -> dict[str, float]:
    """Seconds to the first step and to the end of one order.

    Raises:
        RuntimeError: if the order was refused.
    """
    visitor = Visitor(url)
    began = time.perf_counter()
    state, first = visitor.write(**order)
    if state.get("state") != "done":
        raise RuntimeError(f"The demo refused the order: {json.dumps(state)[:300]}")
    return {"first step": first, "finished": time.perf_counter() - began}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--runs", type=int, default=5, help="visitors, one after the other (default: 5)")
    options = parser.parse_args(arguments)
    watch = Stopwatch()
    with running_demo(options.threads or 1) as url:
        seconds_of(url, GUIDED)  # the first visitor of a server compiles the rule
        runs = [seconds_of(url, {**GUIDED, "Seed": options.seed + number}) for number in range(options.runs)]
    figures = {}
    print("| what | median, s | slowest, s | goal, s |\n|---|---|---|---|")
    for name, goal in GOALS.items():
        seconds = [run[name] for run in runs]
        figures[name] = {"median": statistics.median(seconds), "slowest": max(seconds), "all": seconds, "goal": goal}
        print(f"| {name} | {figures[name]['median']:.2f} | {max(seconds):.2f} | < {goal:g} |", flush=True)
    path = options.out / "demo.json"
    write_json(path, watch.record("demo", {"runs": options.runs, "order": GUIDED}, figures))
    print(f"Record: {path}")


if __name__ == "__main__":
    main()
