"""The autoregressive transformer beside our model: the same size, data, tokens and time.

    python -m benchmarks.autoregressive train --data E2E --tokenizer FOLDER --out peer --params 8e6 --max-seconds 3600
    python -m benchmarks.autoregressive likelihood --model peer --data E2E
    python -m benchmarks.autoregressive sample --model peer --count 500 --out samples.txt
    python -m benchmarks.autoregressive infill --model peer --data E2E --share 0.25 --judge smollm2

`train` started again with the same --out goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.peers.autoregressive import Peer, TrainOptions, fill_left_to_right, likelihood
from benchmarks.peers.autoregressive_training import train
from diffusionlm.corpora.e2e import read_e2e
from diffusionlm.text.tokenizer import TextTokenizer


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    train_parser = commands.add_parser("train", formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    train_parser.add_argument("--data", type=Path, required=True, help="folder with train.txt and valid.txt of E2E")
    train_parser.add_argument("--tokenizer", type=Path, required=True, help="folder of a TextTokenizer")
    train_parser.add_argument("--out", type=Path, required=True)
    for name, value in asdict(TrainOptions()).items():
        kind = {"action": "store_true"} if isinstance(value, bool) else {"type": type(value), "default": value}
        train_parser.add_argument("--" + name.replace("_", "-"), help=" ", **kind)
    for command in ("likelihood", "sample", "infill"):
        sub = commands.add_parser(command, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        sub.add_argument("--model", type=Path, required=True, help="folder written by train")
        sub.add_argument("--device", default="cpu", help=" ")
        if command != "sample":
            sub.add_argument("--data", type=Path, required=True, help="folder with valid.txt of E2E")
        if command != "likelihood":
            sub.add_argument("--count", type=int, default=500, help="texts")
            sub.add_argument("--seed", type=int, default=0, help=" ")
            sub.add_argument(
                "--temperature", type=float, default=1.0 if command == "sample" else 0.0, help="0 is greedy"
            )
    commands.choices["sample"].add_argument("--out", type=Path, help="file for the texts, one a line")
    commands.choices["sample"].add_argument("--condition", default="", help="such as 'name[The Mill], food[Italian]'")
    commands.choices["infill"].add_argument("--share", type=float, default=0.25, help="of the words, hidden")
    commands.choices["infill"].add_argument("--judge", help="smollm2, or a folder or hub name")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    given = read_arguments(arguments)
    if given.command == "train":
        options = TrainOptions(**{name: getattr(given, name) for name in asdict(TrainOptions())})
        pairs, held_out = read_e2e(given.data / "train.txt"), read_e2e(given.data / "valid.txt")
        figures = train(pairs, held_out, TextTokenizer.from_pretrained(given.tokenizer), given.out, options)
        print(json.dumps(figures, indent=1))
        return
    peer = Peer.load(given.model, given.device)
    if given.command == "sample":
        started = time.perf_counter()
        texts = peer.sample(given.count, temperature=given.temperature, seed=given.seed, condition=given.condition)
        seconds = (time.perf_counter() - started) / given.count
        lines = [" ".join(text.split()) for text in texts]
        if given.out:
            given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
        print("\n".join(lines[:10]), f"... {seconds:.4f} seconds a sample", sep="\n")
        return
    held_out = read_e2e(given.data / "valid.txt")
    if given.command == "likelihood":
        for conditional in (False, True):
            figures = likelihood(peer, peer.examples(held_out), conditional)
            print(json.dumps({"conditional": conditional, **figures}))
        return
    random.Random(given.seed).shuffle(held_out)
    texts = [text for _, text in held_out[: given.count]]
    print(
        json.dumps(fill_left_to_right(peer, texts, given.share, given.judge, given.temperature, given.seed), indent=1)
    )


if __name__ == "__main__":
    main()
