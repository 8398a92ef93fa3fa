"""Bytes in patches beside flat bytes and BPE: the time of a text, the bound after training, and the arithmetic of a pass.

    python -m benchmarks.bench_bytes --train texts.txt --valid valid.txt --patches 1 4 --bpe 1536 --steps 1000 --out report.json

Models of one width and depth see the same texts (one a line), models of bytes in the same batches. With ``--bpe``, a model of
so many tokens beside them has as many steps as make its training the arithmetic of that of the last patch size. The bound, in
bits a character, is that of whole held-out texts under the averaged weights; times are of the processor, medians of calls that
take turns. A masked model has the bound of its validation, in bits a byte, and no BPE beside it.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.commandline import training_config
from diffusionlm import DiffusionLMPipeline
from diffusionlm.denoiser import DenoiserConfig, SpanDenoiser
from diffusionlm.evaluation.likelihood import text_bounds
from diffusionlm.evaluation.record import Stopwatch, write_json
from diffusionlm.text import TextTokenizer
from diffusionlm.training.export import make_pipeline
from diffusionlm.training.run import build_trainer


def main(arguments: Sequence[str] | None = None) -> None:
    options = read_arguments(arguments)
    watch = Stopwatch()
    texts = Path(options.valid).read_text(encoding="utf-8").splitlines()
    texts = [text for text in texts if 0 < len(text.encode()) < options.length][: options.texts]
    figures: dict[str, dict[str, float]] = {}
    pipes: dict[str, DiffusionLMPipeline] = {}
    lengths: dict[str, int] = {}
    kinds = [f"patches of {size}" for size in options.patches] + ([f"BPE, {options.bpe}"] if options.bpe else [])
    work = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for name, size in zip(kinds, [*options.patches, None], strict=False):
            if size is None:
                overrides, lengths[name] = of_bpe(options, Path(folder), texts, work)
            else:
                overrides, lengths[name] = overrides_of(size, options, Path(folder)), options.length
            trainer, tokenizer = build_trainer(training_config(overrides))
            trainer.run(resume=False)
            pipe = pipes[name] = make_pipeline(trainer, tokenizer)
            pipe.set_progress_bar_config(disable=True)
            trainer.denoiser.eval()
            if options.process == "masked":
                bits = trainer.validate()["valid_bound"] / math.log(2)
            else:
                nats = text_bounds(pipe, texts, num_levels=options.levels, max_length=lengths[name]).nats
                bits = sum(nats) / math.log(2) / sum(map(len, texts))
            passed = flops(trainer.denoiser, lengths[name])
            work = options.steps * passed
            figures[name] = {
                "bits": bits,
                "parameters": sum(p.numel() for p in trainer.denoiser.parameters()),
                "training_seconds": trainer.seconds,
                "mega_flops_a_text": passed / 1e6,
            }
    times: dict[str, list[float]] = {name: [] for name in kinds}
    for turn in range(options.turns):
        for name, pipe in pipes.items():
            began = time.process_time()
            pipe(f"[SPAN:{lengths[name]}]", num_samples=options.samples, steps=options.denoising_steps, seed=turn)
            times[name].append((time.process_time() - began) / options.samples)
    for name in kinds:
        figures[name]["seconds_a_text"] = statistics.median(times[name])
    print(
        f"| model | bits a {'byte' if options.process == 'masked' else 'character'} | s a text | Mflop a pass | parameters |"
    )
    print("|---|---|---|---|---|")
    for name, found in figures.items():
        print(
            f"| {name} | {found['bits']:.3f} | {found['seconds_a_text']:.4f} | {found['mega_flops_a_text']:.1f} "
            f"| {found['parameters']:,} |"
        )
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}
    if options.out is not None:
        write_json(options.out, {"settings": settings, "figures": figures, "seconds": watch.seconds})


def overrides_of(size: int, options: argparse.Namespace, folder: Path) -> list[str]:
    """Settings of ``diffusionlm train`` for one patch size."""
    return [
        f"model={options.size}",
        f"model.patch_size={size}",
        f"model.process={options.process}",
        f"schedule={'masking' if options.process == 'masked' else 'information'}",
        f"sampler={'unmasking' if options.process == 'masked' else 'ancestral'}",
        f"data.train={options.train}",
        f"data.valid={options.valid}",
        "data.tokenizer={kind: byte}",
        f"data.max_length={options.length}",
        f"data.limits=[{options.length}]",
        "data.limit_weights=[]",
        f"data.tokens_per_batch={options.tokens}",
        f"trainer.max_steps={options.steps}",
        f"trainer.save_every={options.steps}",
        f"trainer.valid_every={options.steps + 1}",
        f"trainer.valid_batches={options.valid_batches}",
        f"trainer.warmup_steps={max(1, options.steps // 20)}",
        f"trainer.likelihood_warmup_steps={max(1, options.steps // 4)}",
        f"trainer.ema_decay={max(0.0, 1 - 20 / options.steps):.4f}",
        f"folder={folder / str(size)}",
        f"seed={options.seed}",
    ]


def of_bpe(options: argparse.Namespace, folder: Path, texts: list[str], work: float) -> tuple[list[str], int]:
    """Settings of ``diffusionlm train`` for a vocabulary of BPE at the same arithmetic, and the length of its texts.

    Args:
        options: of the command.
        folder: for what the training writes.
        texts: held-out ones, which tell how many bytes a token has.
        work: floating-point operations of all steps of the model of bytes, for one text a step.
    """
    train = Path(options.train).read_text(encoding="utf-8").splitlines()
    tokenizer = TextTokenizer.train_bpe(train, options.bpe)
    tokens = [len(ids) for ids in tokenizer.encode_batch(texts)]
    share = sum(tokens) / sum(len(text.encode()) for text in texts)
    length = max(max(tokens) + 1, round(options.length * share))
    of_one = ["model.patch_size=1", f"data.max_length={length}", f"data.limits=[{length}]"]
    config = training_config([f"model={options.size}", "data=text", "data.train=none.txt"])["model"]
    shape = {**config, "vocab_size": tokenizer.vocab_size, "max_position_embeddings": length}
    steps = max(1, round(work / flops(SpanDenoiser(DenoiserConfig(**shape)), length)))
    own = [*of_one, f"data.tokenizer={{kind: bpe, vocab_size: {options.bpe}}}"]
    own += [f"data.tokens_per_batch={round(options.tokens * share)}", f"trainer.max_steps={steps}"]
    own += [f"trainer.save_every={steps}", f"trainer.valid_every={steps + 1}", f"folder={folder / 'bpe'}"]
    return [*overrides_of(1, options, folder), *own], length


def flops(denoiser: SpanDenoiser, length: int) -> float:
    """Floating-point operations of a pass over one text."""
    z = torch.randn(1, length, denoiser.config.embedding_size, device=denoiser.device)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        denoiser(z, torch.zeros(1, device=denoiser.device))
    return counter.get_total_flops()


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", required=True, help="texts, one a line")
    parser.add_argument("--valid", required=True, help="held-out ones")
    parser.add_argument("--patches", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--size", default="small", help="model=...")
    parser.add_argument("--process", choices=["gaussian", "masked"], default="gaussian")
    parser.add_argument("--length", type=int, default=256, help="longest text, and the text that is timed, in bytes")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--tokens", type=int, default=8192, help="bytes a batch")
    parser.add_argument("--bpe", type=int, default=0, help="tokens of a BPE model beside them; 0: none")
    parser.add_argument("--texts", type=int, default=64, help="held-out texts that are bounded")
    parser.add_argument("--levels", type=int, default=16, help="noise levels for each of them")
    parser.add_argument("--valid-batches", type=int, default=2)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--denoising-steps", type=int, default=32)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args(arguments)
    if given.bpe and given.process == "masked":
        parser.error("--bpe is for the Gaussian process")
    return given


if __name__ == "__main__":
    main()
