"""The studio under visitors for an hour: memory along the way, waiting, and every error that is no sentence.

    python -m benchmarks.bench_soak --minutes 60 --visitors 20 --model restaurant

A server of the studio runs in a process of its own; visitors ask for random orders (`benchmarks.random_orders`) one after the
other over the page's own protocol, go away now and then in the middle of one, and come back as somebody else. Fails, with the
list, if an order raised what this library did not mean, the server logged a traceback, or a visitor was not answered.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.local_server import answering
from benchmarks.random_orders import Asked, draw_order
from benchmarks.watched_studio import fault_of
from diffusionlm.evaluation.record import Stopwatch, write_json
from diffusionlm.samplers import SAMPLERS
from diffusionlm.studio.catalogue import PluginCard, cards
from diffusionlm.studio.order import Order
from diffusionlm.studio.visitor import Visitor
from diffusionlm.studio.writing import carry_out, offer

ODD_WORDS = ("Something went wrong", "Traceback", "Error:", "Error(")


@dataclass
class Soak:
    """What came of a soak.

    Attributes:
        written: orders that gave texts.
        left: orders that their visitors did not wait for.
        refused: orders answered with a sentence, by its first words.
        faults: what is wrong, by kind, with an example.
        seconds: of each order that was answered, waiting in the queue included.
        memory: (seconds since the beginning, resident megabytes).
    """

    written: int = 0
    left: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    faults: dict[str, str] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def judge(self, state: dict[str, Any], asked: Asked, seconds: float) -> None:
        """Notes the answer to an order: the last state of the page's result."""
        with self.lock:
            self.seconds.append(seconds)
            said = str(state.get("message", ""))
            if state.get("state") == "done":
                self.written += 1
            elif state.get("state") != "error" or not said.strip() or any(word in said for word in ODD_WORDS):
                self.faults.setdefault(said[:80] or f"no answer ({state.get('state')})", repr(asked))
            else:
                self.refused[" ".join(said.split()[:4])] += 1

    def slope(self) -> float:
        """Megabytes an hour by least squares, without the first quarter, in which caches fill; NaN before there is enough."""
        kept = self.memory[len(self.memory) // 4 :]
        if len(kept) < 3:
            return float("nan")
        times, sizes = np.array(kept).T
        return float(np.polyfit(times / 3600, sizes, 1)[0])

    def figures(self) -> dict[str, Any]:
        """Plain data for the record."""
        waits = self.seconds or [float("nan")]
        return {
            "calls": len(self.seconds) + self.left,
            "written": self.written,
            "refused": dict(self.refused.most_common()),
            "left": self.left,
            "seconds_p50": statistics.median(waits),
            "seconds_p95": float(np.quantile(waits, 0.95)),
            "memory_begin_mb": self.memory[0][1] if self.memory else None,
            "memory_end_mb": self.memory[-1][1] if self.memory else None,
            "memory_mb_per_hour": self.slope(),
            "faults": self.faults,
        }


def visits(
    answer: Callable[[Asked], dict[str, Any] | None],
    usable: Sequence[PluginCard],
    seed: int,
    found: Soak,
    **limits: Any,
) -> None:
    """One visitor: orders one after the other, until the time is over.

    Args:
        answer: carries an order out; None where the visitor did not wait.
        usable: plugins that can be switched on.
        seed: of the visitor.
        found: filled in.
        limits: ``seconds`` of wall time or ``orders``, and ``steps``, the most denoising steps.
    """
    rng, began, count = random.Random(seed), time.monotonic(), 0
    while time.monotonic() - began < limits.get("seconds", float("inf")) and count < limits.get("orders", float("inf")):
        asked, count, start = draw_order(rng, usable, limits.get("steps", 16)), count + 1, time.perf_counter()
        try:
            state = answer(asked)
        except Exception as error:
            with found.lock:
                found.faults.setdefault(f"{type(error).__name__}: {str(error)[:80]}", repr(asked))
            continue
        if state is None:
            with found.lock:
                found.left += 1
        else:
            found.judge(state, asked, time.perf_counter() - start)


def page_values(asked: Asked, usable: Sequence[PluginCard], model: str) -> list[Any]:
    """Values of all components of the page, in their order."""
    values = [model, *asked.basics, asked.compare]
    for card in usable:
        given = asked.plugins.get(card.name)
        values.append(given is not None)
        values += [(given or {}).get(own.name, own.shown(own.default)) for own in card.all_controls]
    return values


def over_http(
    url: str, usable: Sequence[PluginCard], model: str, seed: int
) -> Callable[[Asked], dict[str, Any] | None]:
    """Answers of a server: a visitor comes for a few orders, and leaves one in twenty before it is done."""
    config = json.load(urllib.request.urlopen(f"{url}/config", timeout=60))
    rng, sessions = random.Random(seed), [Visitor(url, config)]

    def answer(asked: Asked) -> dict[str, Any] | None:
        if rng.random() < 0.2:
            sessions[0] = Visitor(url, config)
        patient = rng.random() > 0.05
        state, _ = sessions[0].send(page_values(asked, usable, model), patient=patient)
        if not patient:
            sessions[0] = Visitor(url, config)
        return state if patient else None

    return answer


def in_process(usable: Sequence[PluginCard], model: str, found: Soak) -> Callable[[Asked], dict[str, Any] | None]:
    """Answers of what the page's handlers call, without a server; errors that nobody meant are noted where they are raised."""
    catalogue = {card.name: card for card in usable}

    def answer(asked: Asked) -> dict[str, Any] | None:
        try:
            order = Order.read(model, *asked.basics, asked.plugins, catalogue, tuple(SAMPLERS))
            *_, _ = carry_out(order, asked.compare)
        except Exception as error:
            if kind := fault_of(error):
                with found.lock:
                    found.faults.setdefault(kind, f"{str(error)[:300]}\n  {asked!r}")
            return {"state": "error", "message": str(error)}
        return {"state": "done"}

    return answer


@contextmanager
def studio(model: str, threads: int, folder: Path) -> Iterator[tuple[str, int]]:
    """Serves `benchmarks.watched_studio`; gives its address and process number.

    Raises:
        RuntimeError: if it ends, or does not answer in time.
    """
    command = [sys.executable, "-m", "benchmarks.watched_studio", "--model", model, "--threads", str(threads)]
    command += ["--faults", str(folder / "faults.jsonl"), "--port"]
    with (folder / "log").open("w") as log, answering(lambda port: [*command, str(port)], log) as found:
        yield found


def resident(pid: int) -> float:
    """Resident megabytes of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def soak(model: str, minutes: float, visitors: int, steps: int, threads: int, seed: int, every: float = 10.0) -> Soak:
    """Lets visitors come for so many minutes; memory is read every ``every`` seconds."""
    usable, found = [card for card in cards() if not card.trouble], Soak()
    with tempfile.TemporaryDirectory() as place:
        with studio(model, threads, Path(place)) as (url, pid):
            began, limits = time.monotonic(), {"seconds": minutes * 60, "steps": steps}
            workers = [
                threading.Thread(
                    target=visits,
                    args=(over_http(url, usable, model, seed + number), usable, seed + number, found),
                    kwargs=limits,
                )
                for number in range(visitors)
            ]
            for worker in workers:
                worker.start()
            while any(worker.is_alive() for worker in workers):
                found.memory.append((time.monotonic() - began, resident(pid)))
                next((worker for worker in workers if worker.is_alive()), workers[0]).join(every)
        faults = Path(place) / "faults.jsonl"
        for line in faults.read_text(encoding="utf-8").splitlines() if faults.is_file() else []:
            fault = json.loads(line)
            found.faults.setdefault(fault["kind"], f"{fault['said']}\n  {fault['order']}\n  {fault['trace'][-2:]}")
        log = (Path(place) / "log").read_text()
        if "Traceback" in log or "An order failed" in log:
            found.faults.setdefault("the server's log", log[-2000:])
    return found


def soak_in_process(model: str, orders: int, steps: int, seed: int = 0, every: int = 20) -> Soak:
    """One visitor's orders without a server; memory of this process is read after each ``every`` of them."""
    usable, found, began = [card for card in cards() if not card.trouble], Soak(), time.monotonic()
    offer([model])
    try:
        answer = in_process(usable, model, found)
        for start in range(0, orders, every):
            visits(answer, usable, seed + start, found, orders=min(every, orders - start), steps=steps)
            found.memory.append((time.monotonic() - began, resident(os.getpid())))
    finally:
        offer([])
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the figures and every kind of fault; fails if there is one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--visitors", type=int, default=20)
    parser.add_argument("--model", default="restaurant")
    parser.add_argument("--steps", type=int, default=16, help="most denoising steps of an order")
    parser.add_argument("--threads", type=int, default=1, help="of the server")
    parser.add_argument("--orders", type=int, help="one visitor, so many orders, without a server")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("outputs/benchmarks"), help="folder for the record")
    given = parser.parse_args(arguments)
    watch = Stopwatch()
    if given.orders:
        found = soak_in_process(given.model, given.orders, given.steps, given.seed)
    else:
        found = soak(given.model, given.minutes, given.visitors, given.steps, given.threads, given.seed)
    figures = found.figures()
    for name, value in figures.items():
        if name not in ("faults", "refused"):
            print(f"{name:20} {value:.1f}" if isinstance(value, float) else f"{name:20} {value}")
    print(f"{'refused':20} {sum(found.refused.values())}")
    for said, count in found.refused.most_common():
        print(f"  {count:5}  {said} ...")
    settings = {key: str(value) for key, value in vars(given).items()}
    write_json(given.out / "soak.json", watch.record("soak", settings, {**figures, "memory": found.memory}))
    for kind, example in sorted(found.faults.items()):
        print(f"FAULT {kind}\n  {example}")
    if found.faults:
        sys.exit(1)


if __name__ == "__main__":
    main()
