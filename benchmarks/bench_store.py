"""A store of many passages: building, bytes, memory, the time of a query, and what it adds to a call.

    python -m benchmarks.bench_store --passages 1000000

The passages are facts of the form that E2E has, about as many invented places. They are encoded by "words", which costs least,
so that the store is what is measured; what a passage costs the other encoders is measured on a few of them. The call writes 16
texts, with one passage for each and without, in turn; the passage stands in the prompt's memory, as weights that were not
fitted to passages need it.
"""

from __future__ import annotations

import random
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.commandline import load_pipeline, make_parser
from diffusionlm.context import Retrieved, Store
from diffusionlm.context.encoders import make_encoder
from diffusionlm.evaluation.record import Stopwatch, checkpoint_facts, settings_key, write_json

FOODS = ("Italian", "French", "Indian", "Chinese", "Japanese", "English", "Fast food")
AREAS = ("riverside", "city centre")
PRICES = ("cheap", "moderate", "high", "less than £20", "more than £30")
NAMES = (
    (
        "Old",
        "New",
        "Green",
        "Golden",
        "Silver",
        "Blue",
        "Red",
        "Royal",
        "Little",
        "Great",
        "Quiet",
        "Merry",
        "Hidden",
        "Black",
    ),
    (
        "Mill",
        "Star",
        "Lamb",
        "Garden",
        "House",
        "Bridge",
        "Crown",
        "Anchor",
        "Oak",
        "Rose",
        "Lion",
        "Swan",
        "Kettle",
        "Fox",
    ),
)


def passages(count: int, seed: int) -> Iterator[str]:
    """So many passages about places of different names, in the form of prompts."""
    rng = random.Random(seed)
    for number in range(count):
        name = f"The {rng.choice(NAMES[0])} {rng.choice(NAMES[1])} {number}"
        yield f"name[{name}], food[{rng.choice(FOODS)}], area[{rng.choice(AREAS)}], price[{rng.choice(PRICES)}]"


def seconds(work: Callable[[], object], turns: int = 5) -> float:
    """Seconds of wall clock that a call takes, the median of several."""
    found = []
    for _ in range(turns):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return statistics.median(found)


def main(argv: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--passages", type=int, default=1_000_000)
    parser.add_argument("--part", type=int, default=250_000, help="passages that are added at a time")
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args(argv)
    pipe, watch, words = load_pipeline(options), Stopwatch(), make_encoder("words")
    figures: dict[str, float] = {}
    few = list(passages(64, options.seed))
    for name in ("minilm", "model"):
        encoder = make_encoder(pipe if name == "model" else name)
        encoder.encode(few[:2])
        figures[f"encode_ms_{name}"] = 1e3 * seconds(lambda own=encoder: own.encode(few), 1) / len(few)
    with tempfile.TemporaryDirectory() as home:
        folder, made = Path(home) / "store", passages(options.passages, options.seed)
        began, store = time.perf_counter(), None
        while part := [text for text, _ in zip(made, range(options.part), strict=False)]:
            if store is None:
                store = Store.build(part, folder, words)
            else:
                store.add(part)
                store.save()
        figures["build_s"] = time.perf_counter() - began
        figures["bytes_a_passage"] = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / options.passages
        del store
        before = _resident()
        loaded = Store.load(folder, words)
        rng = random.Random(options.seed + 1)
        asked = [text for text in passages(options.passages, options.seed) if rng.random() < 200 / options.passages]
        names = [text.split(",")[0] for text in asked][:64]
        loaded.search(names[:1], 1)
        figures["query_ms"] = 1e3 * seconds(lambda: loaded.search(names[:16], 4), options.turns) / 16
        found = loaded.search(names, 1)
        figures["right"] = sum(own[0].text.startswith(name) for own, name in zip(found, names, strict=True)) / len(
            names
        )
        figures["memory_mb"] = (_resident() - before) / 1e6
        call = {"prompt": names[:16], "steps": options.steps, "seed": options.seed}
        ways: dict[str, Callable[[], object]] = {
            "without": lambda: pipe(None, **call),
            "with": lambda: pipe(None, context=[Retrieved(loaded, 1, "prompt", "prompt")], **call),
        }
        times: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(options.turns + 1):
            for name, way in ways.items():
                began_cpu = time.process_time()
                way()
                if turn:
                    times[name].append(time.process_time() - began_cpu)
        figures |= {f"call_s_{name}": statistics.median(own) for name, own in times.items()}
        figures["call_ratio"] = figures["call_s_with"] / figures["call_s_without"]
    for name, value in figures.items():
        print(f"{name:<20}{value:>12.3f}")
    settings = {"passages": options.passages, "part": options.part, "steps": options.steps}
    record = {"benchmark": "store", **settings, "checkpoint": checkpoint_facts(options.model), **figures}
    write_json(options.out / f"store_{settings_key(settings)}.json", record | {"seconds": watch.seconds})


def _resident() -> float:
    """Bytes of memory that the process holds now, mapped files that were touched too."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    main()
