"""Perceiver latents beside the whole memory: the time of a denoising step over the length of what the spans look at.

    python -m benchmarks.bench_latents --size small --memory 64 512 4096 8192 --latents 0 16 64 256 --out report.json

Networks of one size with random weights, for time does not depend on what they learned. A memory is encoded once for all steps
of a text, which is timed apart; a step is one pass over the spans beside it. Times are the smallest of several runs, of the
processor (all threads together). Latents are what the encoding is compressed to, 0 keeps all of it.

    python -m benchmarks.bench_latents --dialogues open/sgd.dialogues.txt.xz --runs RUNS --latents 0 16 64 256 --out report.json

With --dialogues (one a line, "User: ... System: ...") such networks are trained to write a turn beside all that was said
before it, each for as many steps on the same batches, and bounded on held-out dialogues, nats a token: with what was said, and
without.
"""

from __future__ import annotations

import argparse
import random
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from benchmarks.brief_trainings import network
from benchmarks.commandline import training_config
from diffusionlm.denoiser import DenoiserConfig, SpanDenoiser
from diffusionlm.evaluation.likelihood import text_bounds
from diffusionlm.evaluation.record import Stopwatch, write_json
from diffusionlm.evaluation.text_files import read_texts
from diffusionlm.text import TextTokenizer
from diffusionlm.training.corpus import TokenCorpus

TURN = re.compile(r"(?<=\S) (?=(?:User|System|A|B): )")
REPLY, SAID = 40, 256  # tokens of the longest turn, and of what was said before it


def main(arguments: Sequence[str] | None = None) -> None:
    options = read_arguments(arguments)
    watch = Stopwatch()
    figures = likelihoods(options) if options.dialogues else times(options)
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}
    if options.out is not None:
        write_json(options.out, {"settings": settings, "figures": figures, "seconds": watch.seconds})


def likelihoods(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Bounds of held-out turns for each number of latents, after equal training."""
    pairs = turns(read_texts([options.dialogues]))
    random.Random(options.seed).shuffle(pairs)
    held, pairs = pairs[: 4 * options.texts], pairs[4 * options.texts :]
    tokenizer = TextTokenizer.train_bpe([text for pair in pairs for text in pair], options.bpe)
    corpus = TokenCorpus.from_pairs(pairs, tokenizer, REPLY - 1, SAID)
    batches = {
        "limits": (REPLY,),
        "task_weights": {"whole": 1.0},
        "prompt_share": 0.8,
        "tokens_per_batch": options.tokens,
    }
    said = [len(ids) for ids in tokenizer.encode_batch([prompt for prompt, _ in held])]
    fitting = [
        pair
        for pair, ids, length in zip(held, tokenizer.encode_batch([text for _, text in held]), said, strict=True)
        if len(ids) < REPLY and SAID // 2 <= length <= SAID
    ][: options.texts]
    if not fitting:
        raise ValueError(
            f"No held-out turn of less than {REPLY} tokens stands behind {SAID // 2} to {SAID}: give longer dialogues."
        )
    texts, prompts = [text for _, text in fitting], [prompt for prompt, _ in fitting]
    lengths = [len(ids) for ids in tokenizer.encode_batch(prompts)]
    print(
        f"{len(corpus)} turns, {len(texts)} held out behind {sum(lengths) / len(lengths):.0f} tokens on average",
        flush=True,
    )
    found: dict[str, dict[str, float]] = {}
    print("| latents | with what was said, nats a token | without | Tflop |")
    print("|---|---|---|---|")
    for latents in options.latents:
        name = f"{latents} latents"
        folder = options.runs / name.replace(" ", "-")
        pipe, facts = network(name, folder, {"num_latents": latents}, corpus, batches, tokenizer, options)
        own = dict(facts)
        for key, given in {"with": prompts, "without": None}.items():
            nats = text_bounds(pipe, texts, num_levels=options.levels, max_length=REPLY, prompts=given)
            own[key], own[f"{key}_error"] = nats.per_token
        found[name] = own
        print(
            f"| {latents} | {own['with']:.3f} ± {own['with_error']:.3f} | {own['without']:.3f} | {own['tera_flops']:.1f} |",
            flush=True,
        )
    return found


def turns(dialogues: Sequence[str]) -> list[tuple[str, str]]:
    """(What was said before, a turn) for each last turn of a dialogue."""
    found = []
    for dialogue in dialogues:
        before, _, last = (TURN.sub("\n", dialogue)).rpartition("\n")
        if before:
            found.append((before.replace("\n", " "), last.removeprefix(" ")))
    return found


def times(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Of a step and of the encoding, by latents and length of the memory."""
    shape = training_config([f"model={options.size}", "data=text", "data.train=none.txt"])["model"]
    figures: dict[str, dict[str, float]] = {}
    print("| latents | memory | step, ms | ÷ step at the shortest memory | encoding, ms |")
    print("|---|---|---|---|---|")
    for latents in options.latents:
        torch.manual_seed(options.seed)
        config = DenoiserConfig(
            **{**shape, "vocab_size": 1536, "num_latents": latents, "max_position_embeddings": 8192}
        )
        config._attn_implementation = "sdpa"
        denoiser = SpanDenoiser(config).eval()
        z = torch.randn(1, options.positions, config.embedding_size)
        first = None
        for length in sorted(options.memory):
            ids = torch.randint(1, 1536, (1, length))
            with torch.no_grad():
                encoding = smallest(lambda ids=ids, model=denoiser: model.encode_context(ids), 1)
                memory = denoiser.encode_context(ids)
                step = smallest(
                    lambda memory=memory, model=denoiser, z=z: model(z, torch.zeros(1), memory), options.repeats
                )
            first = step if first is None else first
            figures[f"{latents}/{length}"] = {"step_s": step, "encoding_s": encoding, "ratio": step / first}
            print(
                f"| {latents} | {length} | {step * 1e3:.1f} | {step / first:.2f} | {encoding * 1e3:.0f} |", flush=True
            )
    return figures


def smallest(work: Callable[[], object], runs: int) -> float:
    """Seconds of the processor that a call takes, the smallest of several runs."""
    found = []
    for _ in range(runs):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return min(found)


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="small", help="model=...")
    parser.add_argument("--memory", type=int, nargs="+", default=[64, 512, 4096, 8192], help="positions of memory")
    parser.add_argument("--latents", type=int, nargs="+", default=[0, 16, 64, 256])
    parser.add_argument("--positions", type=int, default=32, help="positions of the spans")
    parser.add_argument("--repeats", type=int, default=7, help="passes of which the quickest counts")
    parser.add_argument("--dialogues", type=Path, help="dialogues to train on and bound, in the place of times")
    parser.add_argument("--runs", type=Path, default=Path("runs/latents"), help="folder that keeps what was trained")
    parser.add_argument("--training-steps", type=int, default=300)
    parser.add_argument("--tokens", type=int, default=4096, help="positions of a batch, with those of the memory")
    parser.add_argument("--bpe", type=int, default=1024, help="vocabulary")
    parser.add_argument("--texts", type=int, default=64, help="held-out turns that are bounded")
    parser.add_argument("--levels", type=int, default=16, help="noise levels for each of them")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
