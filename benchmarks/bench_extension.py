"""Texts longer than those of training: the bound by length, for each way to scale RoPE, and in blocks.

    python -m benchmarks.bench_extension --checkpoint restaurant --texts valid.txt --lengths 64 128 256 --out report.json
    python -m benchmarks.bench_extension --train E2E/train.txt --texts E2E/valid.txt --runs RUNS --out report.json

Texts of exactly so many tokens are cut from the held-out texts in a row, and bounded as one closed span: nats a token, with
the same noise for each method, so that differences are surer than the figures. "blocks" has half of what the model takes at a
time behind a window of the other half, as the pipeline writes what is longer than the model takes. What is printed last belongs
on the card of the weights (``card["positions"]``), where ``pipe.scale_positions(length)`` looks for it.

With --train, three networks are trained from nothing on as many tokens, cut from the texts in a row: with RoPE and with
ALiBi on stretches as long as the shortest of --lengths, and with RoPE on stretches as long as the longest, which is what the
others are measured against.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.brief_trainings import network
from diffusionlm import DiffusionLMPipeline
from diffusionlm.corpora.e2e import read_e2e
from diffusionlm.denoiser.position_scaling import METHODS, scale_positions
from diffusionlm.diffusion import likelihood_bound
from diffusionlm.evaluation.record import Stopwatch, write_json
from diffusionlm.text import TextTokenizer
from diffusionlm.training.corpus import TokenCorpus


def main(arguments: Sequence[str] | None = None) -> None:
    options = read_arguments(arguments)
    watch = Stopwatch()
    figures: dict[str, Any]
    if options.train is None:
        figures = measure(DiffusionLMPipeline.from_pretrained(options.checkpoint), options)
        card = {length: {name: round(value, 3) for name, value in own.items()} for length, own in figures.items()}
        print(json.dumps({"positions": card}))
    else:
        figures = compare(options)
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}
    if options.out is not None:
        write_json(options.out, {"settings": settings, "figures": figures, "seconds": watch.seconds})


def measure(pipe: DiffusionLMPipeline, options: argparse.Namespace, whole: bool = False) -> dict[str, dict[str, float]]:
    """Nats a token by length and method.

    Args:
        pipe: of the network.
        options: of the command.
        whole: texts are open spans, as those of the networks trained here were.
    """
    trained, plain = pipe.model.max_length, pipe.denoiser.config.position_kind == "rope"
    stream = read_tokens(pipe.tokenizer, options.texts, options.count * max(options.lengths))
    measured: dict[str, dict[str, float]] = {}
    for length in options.lengths:
        rows = torch.tensor(stream[: options.count * length]).view(options.count, length)
        found = measured[str(length)] = {}
        for method in (*METHODS, "blocks"):
            if length <= trained and method != "none":
                continue
            if method in METHODS[1:] and not plain:
                continue
            scale_positions(pipe.denoiser, "none" if method == "blocks" else method, max(trained, length))
            parts = block_parts(length, trained) if method == "blocks" else [(0, 0, length)]
            nats = sum(float(bound(pipe, rows, *part, options.levels, options.seed, whole).sum()) for part in parts)
            found[method] = nats / rows.numel()
            print(f"{length} positions, {method}: {found[method]:.3f} nats a token", flush=True)
    return measured


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """The three networks of --train, each measured."""
    texts = texts_of(options.train)
    tokenizer = TextTokenizer.train_bpe(texts, options.bpe)
    stream = np.array([token for ids in tokenizer.encode_batch(texts) for token in ids], dtype=np.int32)
    short, long = min(options.lengths), max(options.lengths)
    figures: dict[str, Any] = {}
    for kind, length in (("rope", short), ("alibi", short), ("rope", long)):
        name = f"{kind} trained at {length}"
        count = len(stream) // length
        offsets, none = np.arange(count + 1) * length, np.zeros(0, dtype=np.int32)
        corpus = TokenCorpus(stream[: count * length], offsets, none, np.zeros(count + 1, dtype=np.int64))
        batches = {
            "limits": (length,),
            "task_weights": {"whole": 0.6, "prefix": 0.4},
            "prompt_share": 0.0,
            "tokens_per_batch": options.tokens,
        }
        folder = options.runs / name.replace(" ", "-")
        pipe, facts = network(name, folder, {"position_kind": kind}, corpus, batches, tokenizer, options)
        print(name, facts, flush=True)
        figures[name] = {**facts, "nats": measure(pipe, options, whole=True)}
    return figures


def read_tokens(tokenizer: TextTokenizer, path: Path, count: int) -> list[int]:
    """The first ``count`` tokens of the texts of a file, one behind the other."""
    out: list[int] = []
    for text in texts_of(path):
        out += tokenizer.encode(text)
        if len(out) >= count:
            return out[:count]
    raise ValueError(f"{path} has {len(out)} tokens, {count} are needed: ask for fewer --count or shorter --lengths.")


def texts_of(path: Path) -> list[str]:
    """Texts of a file, each once."""
    lines = path.read_text(encoding="utf-8").splitlines()
    of_e2e = bool(lines) and "||" in lines[0]
    return list(dict.fromkeys([text for _, text in read_e2e(path)] if of_e2e else lines))


def block_parts(length: int, trained: int) -> list[tuple[int, int, int]]:
    """(begin of the window, begin and end of the block) for each block of a text."""
    half = trained // 2
    return [(max(0, begin - half), begin, min(length, begin + half)) for begin in range(0, length, half)]


def bound(
    pipe: DiffusionLMPipeline,
    rows: Tensor,
    first: int,
    begin: int,
    end: int,
    levels: int,
    seed: int,
    whole: bool = False,
) -> Tensor:
    """Nats (B,) of the tokens from ``begin`` to ``end`` of rows (B, L), given those from ``first`` on."""
    denoiser = pipe.denoiser
    known, own = rows[:, first:begin], rows[:, begin:end]
    memory = denoiser.encode_context(known) if known.shape[1] else None
    places = torch.arange(begin - first, end - first).expand(len(rows), -1)
    open_mask = torch.ones_like(own, dtype=torch.bool) if whole else None

    def denoise(latents: Tensor, gamma: Tensor) -> tuple[Tensor, Tensor]:
        estimate = None
        for _ in range(2):  # the second time with the clean estimate of the first
            logits = denoiser(latents, gamma, memory, estimate, None, places, open_mask).logits
            estimate = denoiser.clean_estimate(logits.softmax(-1))
        assert estimate is not None
        return logits, estimate

    with torch.no_grad():
        generator = torch.Generator().manual_seed(seed)
        everywhere = torch.ones_like(own, dtype=torch.bool)
        return likelihood_bound(denoise, denoiser.embed(own), own, everywhere, pipe.schedule, levels, generator).total


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="restaurant")
    parser.add_argument(
        "--texts", type=Path, default=Path("data/e2e/valid.txt"), help="held-out texts, of E2E or one a line"
    )
    parser.add_argument("--lengths", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--count", type=int, default=16, help="texts of each length")
    parser.add_argument("--levels", type=int, default=16, help="noise levels for each text")
    parser.add_argument("--train", type=Path, help="texts to train three networks on, in the place of --checkpoint")
    parser.add_argument("--runs", type=Path, default=Path("runs/extension"), help="folder that keeps them")
    parser.add_argument("--training-steps", type=int, default=300)
    parser.add_argument("--tokens", type=int, default=1536, help="positions of a batch")
    parser.add_argument("--bpe", type=int, default=1024, help="vocabulary")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
