"""Texts longer than the model takes: time and memory over the length, and rules over the whole text.

    python -m benchmarks.bench_length --checkpoint restaurant --lengths 128 256 512 1000 --out report.json

Each text is one closed span, written in blocks behind a sliding window. Time is that of the processor (all threads together),
so that a busy machine does not count; the exponent is the slope of log(time) over log(tokens). Memory is the largest number of
positions that a pass of the network sees, and what the resident set of the process grew by since the shortest text: what is
held when a text is finished, and the most that was ever held. The rules (a phrase exactly once, a forbidden pattern, no
personal data, a number of words) are read from the characters of each text.
"""

from __future__ import annotations

import argparse
import math
import re
import resource
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from diffusionlm import DiffusionLMPipeline
from diffusionlm.denoiser import SpanDenoiser
from diffusionlm.evaluation.record import Stopwatch, write_json
from diffusionlm.guidance import Length, Phrases, Regex
from diffusionlm.guidance.pii import PII

PHRASE, FORBIDDEN = "The Portland Arms", r"\b(pub|cheap)\b"


def main(arguments: Sequence[str] | None = None) -> None:
    options = read_arguments(arguments)
    watch = Stopwatch()
    pipe = DiffusionLMPipeline.from_pretrained(options.checkpoint)
    pipe.set_progress_bar_config(disable=True)
    call = {"steps": options.steps, "seed": options.seed, "block_length": options.block_length}
    pipe("[SPAN:8]", steps=2, seed=0)
    passes = count_positions(pipe.denoiser)
    report: dict[str, Any] = {}
    for way in ("plain", "with rules"):
        rows = []
        for length in sorted(options.lengths):
            guidance = None if way == "plain" else rules(length)
            text = f"[SPAN:{length}]" if guidance is None else None
            passes.clear()
            began, wall = time.process_time(), time.perf_counter()
            result = pipe(text, max_length=length, guidance=guidance, **call)
            row = {
                "tokens": length,
                "processor_s": time.process_time() - began,
                "wall_s": time.perf_counter() - wall,
                "longest_pass": max(passes),
                "positions": sum(passes),
                "resident_mb": resident(),
                "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            }
            if guidance is not None:
                row["rules_hold"] = holds(result.texts[0], length) and all(result.certificates[0].values())
                row["guidance_s"] = result.timings["guidance"]
            rows.append(row)
            print(" ".join(f"{name}={value:.4g}" for name, value in row.items()), flush=True)
        times = np.array([row["processor_s"] for row in rows])
        tokens = np.array([row["tokens"] for row in rows])
        exponent = float(np.polyfit(np.log(tokens), np.log(times), 1)[0]) if len(rows) > 1 else math.nan
        grown, peak = (rows[-1][name] - rows[0][name] for name in ("resident_mb", "peak_mb"))
        print(
            f"{way}: time grows as tokens^{exponent:.2f}, resident memory by {grown:.0f} MB from the shortest to the longest, "
            f"its peak by {peak:.0f} MB"
        )
        report[way] = {"rows": rows, "exponent": exponent, "resident_grown_mb": grown, "peak_grown_mb": peak}
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}
    if options.out is not None:
        write_json(options.out, {"settings": settings, "figures": report, "seconds": watch.seconds})


def resident() -> float:
    """Resident set of the process, MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def rules(length: int) -> list[Any]:
    """A phrase exactly once, a forbidden pattern, no personal data, and a number of words."""
    once = [Phrases(include=[PHRASE]), Regex(forbid=[FORBIDDEN, f"{PHRASE}[\\s\\S]*{PHRASE}"])]
    return [*once, PII(), Length(words=words(length))]


def words(length: int) -> tuple[int, int]:
    """Words of a text of so many tokens."""
    return int(0.6 * length), int(0.7 * length)


def holds(text: str, length: int) -> bool:
    """Whether a text keeps the rules but for personal data, read with Python alone."""
    least, most = words(length)
    return text.count(PHRASE) == 1 and not re.search(FORBIDDEN, text) and least <= len(text.split()) <= most


def count_positions(denoiser: SpanDenoiser) -> list[int]:
    """A list to which every pass of the network adds the positions that it sees, memory included."""
    passes: list[int] = []

    def note(_: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        memory = arguments[2] if len(arguments) > 2 else named.get("memory")
        passes.append(arguments[0].shape[1] + (0 if memory is None else memory.length))

    denoiser.register_forward_pre_hook(note, with_kwargs=True)
    return passes


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="restaurant")
    parser.add_argument("--lengths", type=int, nargs="+", default=[128, 256, 512, 1000])
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument(
        "--block-length", type=int, help="positions written at once; half of what the model takes if not given"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
