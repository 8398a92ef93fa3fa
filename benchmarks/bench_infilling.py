"""Infilling: hidden words of held-out texts written again, beside the autoregressive peer filling left to right.

    python -m benchmarks.bench_infilling --model restaurant --data E2E --peer peer --shares 0.25 0.5 --judge smollm2

Both models fill the same gaps of the same texts; both write as many tokens into a gap as it had, the first of which
opens a word. Ours sees the text on both sides of a gap and how long it is; the peer sees what stands left of it and
writes its most likely tokens, one after the other.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.commandline import add_data, held_out_texts, load_pipeline, make_parser, texts_that_fit
from diffusionlm.evaluation.infilling import fill_gaps, hide_words, infilling_figures
from diffusionlm.evaluation.judge import load_judge
from diffusionlm.evaluation.record import Stopwatch, checkpoint_facts, settings_key, write_json


def main(arguments: Sequence[str] | None = None) -> None:
    options = read_arguments(arguments)
    watch = Stopwatch()
    pipe = load_pipeline(options)
    limit = pipe.model.max_length
    texts, left_out = texts_that_fit(pipe, held_out_texts(options), limit, options.count)
    judge = load_judge(options.judge) if options.judge else None
    peer = None
    if options.peer is not None:
        from benchmarks.peers.autoregressive import Peer

        peer = Peer.load(options.peer, options.device)
    rows: list[dict[str, Any]] = []
    for share in options.shares:
        tasks = [hide_words(text, share, options.seed) for text in texts]
        fills = fill_gaps(
            pipe,
            tasks,
            steps=options.steps,
            temperature=options.temperature,
            sampler=options.sampler,
            seed=options.seed,
            batch_size=options.batch_size,
        )
        rows.append({"model": "diffusion", "share": share} | infilling_figures(tasks, fills, judge).to_dict())
        if peer is not None:
            from benchmarks.peers.autoregressive import fill_left_to_right

            figures = fill_left_to_right(peer, texts, share, judge, 0.0, options.seed)
            rows.append({"model": "left to right", "share": share} | figures)
        print(to_markdown(rows), flush=True)
    if left_out:
        print(f"\n{left_out} texts longer than {limit} tokens were left out, for both.")
    checkpoint = checkpoint_facts(options.model)
    names = ("count", "steps", "temperature", "sampler", "seed", "dtype", "shares", "judge")
    settings = {**checkpoint, **{name: getattr(options, name) for name in names}}
    settings["peer"] = None if options.peer is None else options.peer.name
    path = options.out / "infilling" / f"{checkpoint['model']}-{checkpoint['sha256'][:8]}-{settings_key(settings)}.json"
    figures = {"rows": rows, "texts_too_long_left_out": left_out}
    write_json(path, watch.record("infilling", settings, figures, options.device))
    print(f"Record: {path}")


def to_markdown(rows: Sequence[dict[str, Any]]) -> str:
    head = "| hidden | model | exact gaps (95 %) | exact words | exact texts | perplexity | of the real texts |"
    lines = [head, "|---|---|---|---|---|---|---|"]
    for row in rows:
        gaps = row["exact_gaps"]
        perplexities = ["" if row[name] is None else f"{row[name]:.1f}" for name in ("perplexity", "real_perplexity")]
        lines.append(
            f"| {row['share']:.0%} | {row['model']} | {gaps['value']:.1%} ({gaps['low']:.1%} to {gaps['high']:.1%}) "
            f"| {row['exact_words']:.1%} | {row['exact_texts']:.1%} | {' | '.join(perplexities)} |"
        )
    return "\n".join(lines)


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    add_data(parser)
    parser.add_argument("--count", type=int, default=500, help="held-out texts (default: 500)")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.25, 0.5], help="of the words, hidden")
    parser.add_argument("--steps", type=int, default=32)
    parser.add_argument("--temperature", type=float, default=0.3, help="low: a best guess (default: 0.3)")
    parser.add_argument("--sampler", help="name of a sampler (default: that of the model)")
    parser.add_argument("--batch-size", type=int, default=64, help="texts at once (default: 64)")
    parser.add_argument("--peer", type=Path, help="folder written by benchmarks.autoregressive train")
    parser.add_argument("--judge", help="smollm2, or a folder or hub name: perplexity of the filled texts")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
