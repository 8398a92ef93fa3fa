"""The schemas of bench_structured with outlines-core and the autoregressive peer: validity, compile time, time a text.

    python -m benchmarks.bench_outlines --peer PEER --texts 2

outlines-core makes a regular expression of a schema and an index of it over the peer's tokens (Willard and Louf 2023); the
peer samples from left to right among the tokens that the index allows. A text is valid if jsonschema says so, as in
bench_structured; one that has not ended after --length tokens is not. What outlines refuses is listed with its reason.
Needs: pip install outlines-core
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.commandline import machine_parser, set_threads
from benchmarks.peers.autoregressive import Peer
from benchmarks.schemas import SCHEMAS
from diffusionlm.evaluation.record import Stopwatch, write_json
from diffusionlm.guidance.structured.json_schema import is_valid


def index_of(schema: Any, peer: Peer) -> Any:
    """The index of a schema over the peer's tokens; texts begin with a space there.

    Raises:
        Exception: of several kinds, by outlines-core, for what it does not take.
    """
    from outlines_core import Index, Vocabulary
    from outlines_core.json_schema import build_regex_from_schema

    tokens: dict[bytes, list[int]] = {}
    for token, surface in enumerate(peer.tokenizer.vocabulary.surfaces):
        if surface:
            tokens.setdefault(surface, []).append(token)
    return Index(f" ?({build_regex_from_schema(json.dumps(schema))})", Vocabulary(peer.eos, tokens))


@torch.no_grad()
def text_of(peer: Peer, index: Any, length: int, seed: int) -> str | None:
    """A text that the index allows, sampled at temperature 1; None if it has not ended after ``length`` tokens."""
    from outlines_core import Guide

    guide, generator = Guide(index), torch.Generator().manual_seed(seed)
    ids, cache, last = [], None, peer.sep
    for _ in range(length):
        allowed = torch.tensor(guide.get_tokens())
        output = peer.model(input_ids=torch.tensor([[last]]), past_key_values=cache, use_cache=True)
        cache = output.past_key_values
        weights = output.logits[0, -1, allowed].float().softmax(-1)
        last = int(allowed[torch.multinomial(weights, 1, generator=generator)])
        if last == peer.eos:
            return peer.tokenizer.decode(ids)
        ids.append(last)
        guide.advance(last)
    return None


def measured(schema: Any, peer: Peer, count: int, length: int, seed: int) -> dict[str, Any]:
    """Compile time and texts of one schema, or why it is refused."""
    began = time.process_time()
    try:
        index = index_of(schema, peer)
    except Exception as error:  # outlines-core raises exceptions of several kinds
        return {"refused": f"{type(error).__name__}: {error}"[:200]}
    compiled = time.process_time()
    texts = [text_of(peer, index, length, seed + n) for n in range(count)]
    return {
        "compile_seconds": compiled - began,
        "seconds_a_text": (time.process_time() - compiled) / count,
        "texts": count,
        "ended": sum(text is not None for text in texts),
        "valid": sum(text is not None and is_valid(schema, text) for text in texts),
        "example": texts[0],
    }


def summed(rows: Sequence[dict[str, Any]]) -> str:
    """One line for all schemas."""
    taken = [row for row in rows if "refused" not in row]
    if not taken:
        return f"refused: all {len(rows)} schemas"
    total = {name: sum(row[name] for row in taken) for name in ("texts", "ended", "valid")}
    compile_times = [row["compile_seconds"] for row in taken]
    return (
        f"{len(taken)} of {len(rows)} schemas taken; valid {total['valid']} of {total['texts']} texts, ended {total['ended']}; "
        f"compile time {statistics.median(compile_times):.2f} s, longest {max(compile_times):.2f} s; "
        f"{statistics.mean(row['seconds_a_text'] for row in taken):.2f} s a text"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Goes through all schemas and keeps a record."""
    parser = machine_parser(__doc__)
    parser.add_argument("--peer", type=Path, required=True, help="folder written by benchmarks.autoregressive train")
    parser.add_argument("--texts", type=int, default=20, help="of each schema (default: 20)")
    parser.add_argument("--length", type=int, default=200, help="tokens of a text at most (default: 200)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--leave-out", nargs="+", choices=SCHEMAS, default=[], help="schemas that take too long to compile"
    )
    options = parser.parse_args(arguments)
    set_threads(options)
    watch, peer = Stopwatch(), Peer.load(options.peer)
    rows = []
    for name, schema in SCHEMAS.items():
        if name in options.leave_out:
            continue
        rows.append({"schema": name} | measured(schema, peer, options.texts, options.length, options.seed))
        print(rows[-1], flush=True)
    print(summed(rows))
    given = {"peer": str(options.peer), "texts": options.texts, "length": options.length, "seed": options.seed}
    given["left_out"] = options.leave_out
    write_json(options.out / "outlines.json", watch.record("outlines", given, rows, options.device))


if __name__ == "__main__":
    main()
