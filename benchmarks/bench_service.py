"""The service under load ÷ the same texts as one offline call: texts a second, waiting, errors, memory.

    python -m benchmarks.bench_service --model restaurant --clients 16 --texts 400 --steps 16

Clients ask one text at a time, each with a seed of its own, as soon as they have the last one. Half way the service may be
killed with ``--kill``: clients ask again, and every text is compared with that of the offline call. The ratio is given in wall
time and in processor time, which other programs on the machine disturb less.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from diffusionlm import DiffusionLMPipeline
from diffusionlm.evaluation.record import write_json

GOAL = 0.8


@dataclass
class Service:
    """A process of ``diffusionlm serve`` that can be killed and started again on its port."""

    model: str
    batch: int
    port: int
    process: subprocess.Popen[bytes] | None = None
    processor: list[float] = field(default_factory=list)

    def start(self) -> None:
        command = [
            sys.executable,
            "-m",
            "diffusionlm",
            "serve",
            "--model",
            f"model={self.model}",
            "--port",
            str(self.port),
        ]
        self.process = subprocess.Popen([*command, "--threads", "1", "--limit-batch", str(self.batch)])
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"http://127.0.0.1:{self.port}/ready").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.1)
        raise TimeoutError("The service did not start within 300 s.")

    def used(self) -> float:
        """Processor seconds."""
        assert self.process is not None
        parts = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> float:
        """Resident megabytes."""
        assert self.process is not None
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


async def load(service: Service, clients: int, seeds: list[int], steps: int, kills: int) -> dict[str, Any]:
    """Texts by seed, seconds of each request, errors that clients saw, memory along the way."""
    waiting, texts, seconds = list(reversed(seeds)), {}, []
    errors, memory = 0, []
    at = {len(seeds) * (k + 1) // (kills + 1) for k in range(kills)}

    async def one(client: httpx.AsyncClient) -> None:
        nonlocal errors
        while waiting:
            seed, began = waiting.pop(), time.perf_counter()
            while True:
                try:
                    body = {"model": "model", "prompt": "", "seed": seed, "steps": steps}
                    answer = await client.post("/v1/completions", json=body)
                    answer.raise_for_status()
                    break
                except httpx.HTTPError:
                    errors += 1
                    await asyncio.sleep(0.2)
            assert seed not in texts, "a text came twice"
            texts[seed] = answer.json()["choices"][0]["text"]
            seconds.append(time.perf_counter() - began)
            if len(texts) % 50 == 0:
                memory.append(service.memory())
            if len(texts) in at:
                at.discard(len(texts))
                await asyncio.to_thread(service.kill)
                await asyncio.to_thread(service.start)

    limits = httpx.Limits(max_connections=clients)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{service.port}", timeout=600, limits=limits) as client:
        await asyncio.gather(*(one(client) for _ in range(clients)))
    return {"texts": texts, "seconds": seconds, "errors": errors, "memory": memory}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="restaurant")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--texts", type=int, default=400)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--json")
    given = parser.parse_args()

    import torch

    torch.set_num_threads(1)
    pipe = DiffusionLMPipeline.from_pretrained(given.model)
    pipe.set_progress_bar_config(disable=True)
    seeds = list(range(1000, 1000 + given.texts))
    pipe(seed=0, steps=2)
    wall, processor = time.perf_counter(), time.process_time()
    expected = pipe([None] * len(seeds), seed=seeds, steps=given.steps, batch_size=given.batch).texts
    offline = time.perf_counter() - wall, time.process_time() - processor

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    service = Service(given.model, given.batch, port)
    service.start()
    asyncio.run(load(service, 2, [1, 2, 3, 4], 2, 0))  # warm
    used, wall = service.used(), time.perf_counter()
    found = asyncio.run(load(service, given.clients, seeds, given.steps, given.kills))
    online = time.perf_counter() - wall, service.used() - used
    service.kill()
    same = sum(found["texts"][seed] == own[0] for seed, own in zip(seeds, expected, strict=True))
    figures = {
        "clients": given.clients,
        "texts": len(seeds),
        "as_offline": same,
        "errors": found["errors"],
        "kills": given.kills,
        "texts_per_second": len(seeds) / online[0],
        "ratio_wall": offline[0] / online[0],
        "ratio_processor": None if given.kills else offline[1] / online[1],
        "seconds_p50": statistics.median(found["seconds"]),
        "seconds_p95": statistics.quantiles(found["seconds"], n=20)[-1],
        "memory_mb": [round(value) for value in found["memory"]],
        "goal": GOAL,
    }
    for name, value in figures.items():
        print(f"{name:18} {value}")
    if given.json:
        write_json(Path(given.json), figures)


if __name__ == "__main__":
    main()
