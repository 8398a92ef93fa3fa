"""The studio's server for `bench_soak`, which notes every error of an order that this library did not mean.

python -m benchmarks.watched_studio --model restaurant --port 7871 --faults faults.jsonl
"""

from __future__ import annotations

import argparse
import json
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.fuzz import place_of
from diffusionlm.errors import GuidanceError


def fault_of(error: Exception) -> str | None:
    """Kind and place of an error that is a fault; None for a sentence that this library raised by a statement of its own.

    An error inside one of our plugins comes as `GuidanceError` with a cause, and is a fault as well.
    """
    place, deliberate = place_of(error)
    inner = error.__cause__ if isinstance(error, GuidanceError) else None
    if inner is not None and not isinstance(inner, GuidanceError):
        return f"{type(inner).__name__} at {place_of(inner)[0]}, in a plugin"
    known = isinstance(error, ValueError | TypeError | GuidanceError | OSError | ImportError)
    return None if known and deliberate and str(error).strip() else f"{type(error).__name__} at {place}"


def watched(carry_out: Callable[..., Iterator[Any]], note: Callable[[str, Exception, Any], None]) -> Callable[..., Any]:
    """The function that carries orders out, which tells of every fault and raises it as before."""

    def watching(order: Any, **settings: Any) -> Iterator[Any]:
        try:
            yield from carry_out(order, **settings)
        except Exception as error:
            if kind := fault_of(error):
                note(kind, error, order)
            raise

    return watching


def main() -> None:
    """Serves until it is ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="restaurant")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--faults", type=Path, required=True)
    given = parser.parse_args()

    from diffusionlm.studio import page, server

    def note(kind: str, error: Exception, order: Any) -> None:
        found = {"kind": kind, "said": str(error)[:600], "order": repr(order)}
        found["trace"] = traceback.format_exception(error)[-8:]
        with given.faults.open("a", encoding="utf-8") as file:
            file.write(json.dumps(found) + "\n")

    page.carry_out = watched(page.carry_out, note)
    server.serve(port=given.port, threads=given.threads, weights=[given.model])


if __name__ == "__main__":
    main()
