"""Random calls of a pipeline, right and wrong: every one gives texts that keep their promises, or one sentence.

    python -m benchmarks.fuzz --calls 10000                          # a tiny random model
    python -m benchmarks.fuzz --calls 500 --model restaurant

Hypothesis draws texts with spans, settings and compositions of plugins (`benchmarks.random_calls`). A call may raise
ValueError, TypeError or GuidanceError by a `raise` of this library with a sentence; anything else is a fault, and so is a
text that lost its known parts, a certificate that does not hold, or a result that is no JSON. Faults are counted by
kind (error and place) with the shortest call that shows each; the command fails if there is one.
"""

from __future__ import annotations

import argparse
import json
import linecache
import sys
import time
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hypothesis

import diffusionlm
from benchmarks.random_calls import calls
from benchmarks.tiny_models import tiny_pipeline
from diffusionlm import Canvas, DiffusionLMPipeline
from diffusionlm.errors import GuidanceError
from diffusionlm.guidance import Composition

HOME = Path(diffusionlm.__file__).resolve().parents[1]


@dataclass
class Findings:
    """Counts of one run.

    Attributes:
        written: calls that gave texts.
        refused: calls that were refused with a sentence, by error.
        faults: shortest call, and what happened, of each kind of fault.
        seconds: of processor time.
    """

    written: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    faults: dict[str, tuple[str, str]] = field(default_factory=dict)
    seconds: float = 0.0

    def add(self, kind: str, call: str, said: str) -> None:
        """Notes a fault."""
        if kind not in self.faults or len(call) < len(self.faults[kind][0]):
            self.faults[kind] = (call, said)


def place_of(error: BaseException) -> tuple[str, bool]:
    """Where an error was raised, as "file:line", and whether this library raised it by a statement of its own."""
    frames = traceback.extract_tb(error.__traceback__)
    last = frames[-1]
    source = linecache.getline(last.filename, last.lineno or 0).strip()
    ours = [frame for frame in frames if Path(frame.filename).resolve().is_relative_to(HOME)]
    place = ours[-1] if ours else last
    deliberate = bool(ours) and ours[-1] is last and source.startswith("raise")
    return f"{Path(place.filename).name}:{place.lineno}", deliberate


def judge(pipe: DiffusionLMPipeline, text: Any, settings: dict[str, Any], make: Any, found: Findings) -> None:
    """Makes one call and notes what came of it."""
    call = f"pipe({text!r}, {', '.join(f'{key}={value!r}' for key, value in settings.items())})"
    guidance = None
    try:
        guidance = make()
        shown = guidance.plugins if isinstance(guidance, Composition) else guidance
        call = f"{call[:-1]}, guidance={shown!r})"
        result = pipe(text, guidance=guidance, **settings)
    except (ValueError, TypeError, GuidanceError, OSError) as error:
        place, deliberate = place_of(error)
        said = str(error)
        if not deliberate or not said.strip() or len(said) > 2000:
            found.add(f"{type(error).__name__} at {place}", call, said[:300])
        found.refused[type(error).__name__] += 1
        return
    except Exception as error:
        found.add(f"{type(error).__name__} at {place_of(error)[0]}", call, str(error)[:300])
        return
    found.written += 1
    for kind, said in broken(text, settings, result):
        found.add(kind, call, said)


def broken(text: Any, settings: dict[str, Any], result: Any) -> list[tuple[str, str]]:
    """Promises that a result breaks: (kind, what is seen)."""
    faults = []
    texts = list(text) if isinstance(text, list) else [text]
    if len(result.samples) != len(texts):
        faults.append(("number of inputs", f"{len(result.samples)} of {len(texts)}"))
    for given, group in zip(texts, result.samples, strict=False):
        if len(group) != settings.get("num_samples", 1):
            faults.append(("number of samples", f"{len(group)}"))
        canvas = Canvas.parse(given) if isinstance(given, str) and "[C" not in given else None
        for sample in group:
            wanted = sample.text if canvas is None else interleaved(canvas.literals, sample.spans)
            if sample.text != wanted:
                faults.append(("known text changed", f"{sample.text!r} is not {wanted!r}"))
            for name, held in sample.certificates.items():
                if not held:
                    faults.append((f"certificate broken: {name.partition(':')[0][:24]}", f"{name}: {sample.text!r}"))
    try:
        json.loads(result.to_json())
    except (TypeError, ValueError) as error:
        faults.append(("no JSON", str(error)))
    return faults


def interleaved(literals: Any, spans: list[str]) -> str:
    """Known text and spans in turn."""
    return "".join(part for pair in zip(literals, [*spans, ""], strict=True) for part in pair)


def fuzz(pipe: DiffusionLMPipeline, count: int, seed: int = 0, seconds: float = float("inf")) -> Findings:
    """Makes ``count`` calls, or as many as the processor time allows."""
    found, began = Findings(), time.process_time()

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(calls())
    def one(call: tuple[Any, dict[str, Any], Any]) -> None:
        if time.process_time() - began < seconds:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                judge(pipe, *call, found)

    one()
    found.seconds = time.process_time() - began
    return found


def main(arguments: list[str] | None = None) -> None:
    """Prints counts and every kind of fault; fails if there is one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="of processor time, at most")
    parser.add_argument("--model", help="bundled name or folder (default: a tiny random model)")
    parser.add_argument("--process", choices=["gaussian", "masked"], default="gaussian", help="of the tiny model")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    pipe = DiffusionLMPipeline.from_pretrained(options.model) if options.model else tiny_pipeline(options.process)
    pipe.set_progress_bar_config(disable=True)
    found = fuzz(pipe, options.calls, options.seed, options.seconds)
    refused = ", ".join(f"{name} {count:,}" for name, count in found.refused.most_common())
    print(f"{found.written:,} calls gave texts; refused: {refused or 'none'}; {found.seconds:.0f} s of the processor")
    for kind, (call, said) in sorted(found.faults.items()):
        print(f"FAULT {kind}\n  {said}\n  {call}")
    if found.faults:
        sys.exit(1)


if __name__ == "__main__":
    main()
