"""Training of the autoregressive peer within a budget of seconds or tokens, resumable, with the best weights kept."""

from __future__ import annotations

import json
import math
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.peers.autoregressive import Example, Peer, TrainOptions, likelihood
from diffusionlm.text.tokenizer import TextTokenizer


def batches(examples: Sequence[Example], options: TrainOptions, epoch: int) -> Iterator[list[Example]]:
    """One epoch in batches of similar length, decided by seed and epoch alone; conditions are dropped at random."""
    draw = random.Random(f"{options.seed} {epoch}")
    chosen = [(c if draw.random() < options.condition_share else [], text) for c, text in examples]
    chosen.sort(key=lambda example: len(example[0]) + len(example[1]) + draw.random())
    groups: list[list[Example]] = [[]]
    for example in chosen:
        length = len(example[0]) + len(example[1]) + 2
        if length * (len(groups[-1]) + 1) > options.tokens_per_batch and groups[-1]:
            groups.append([])
        groups[-1].append(example)
    draw.shuffle(groups)
    yield from groups


def train(
    pairs: Sequence[tuple[str, str]],
    held_out: Sequence[tuple[str, str]],
    tokenizer: TextTokenizer,
    out: Path,
    options: TrainOptions,
    log: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Train within the budget and keep the best weights in `out`; returns the figures that stand in `out/peer.json`.

    Raises:
        ValueError: no budget, or `out` holds a run with other options.
    """
    if math.isinf(options.max_seconds) and math.isinf(options.max_tokens):
        raise ValueError("training needs a budget: give --max-seconds or --max-tokens")
    peer = Peer.create(tokenizer, options)
    model = peer.model.to(options.device)
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": options.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=options.lr, betas=(0.9, 0.95))
    examples, held = peer.examples(pairs), peer.examples(held_out)
    forward = torch.compile(peer.nats, dynamic=True) if options.compile else peer.nats
    state = {"epoch": 0, "batch": 0, "step": 0, "tokens": 0, "seconds": 0.0, "best": math.inf}
    checkpoint = out / "checkpoint.pt"
    out.mkdir(parents=True, exist_ok=True)
    budget = {"max_seconds", "max_tokens", "evaluate_seconds", "device"}
    recipe = {key: value for key, value in asdict(options).items() if key not in budget}
    if checkpoint.is_file():
        saved = torch.load(checkpoint, map_location=options.device, weights_only=True)
        if saved["recipe"] != recipe:
            raise ValueError(f"{out} holds a run with {saved['recipe']}, not {recipe}: give another --out")
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        torch.set_rng_state(saved["random"].cpu())
        state = saved["state"]

    def evaluate_and_save() -> None:
        value = likelihood(peer, held[:1000])["nats_per_token"]
        if value < state["best"]:
            state["best"] = value
            peer.save(out)
        saved = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "state": state, "recipe": recipe}
        torch.save(saved | {"random": torch.get_rng_state()}, checkpoint.with_suffix(".new"))
        os.replace(checkpoint.with_suffix(".new"), checkpoint)
        log(
            f"step {state['step']}  epoch {state['epoch']}  {state['tokens'] / 1e6:.2f} M tokens  "
            f"{state['seconds']:.0f} s  held-out {value:.4f} nats a token (best {state['best']:.4f})"
        )

    def progress() -> float:
        return max(state["seconds"] / options.max_seconds, state["tokens"] / options.max_tokens)

    saved_at = state["seconds"]
    while progress() < 1:
        for index, batch in enumerate(batches(examples, options, state["epoch"])):
            if index < state["batch"]:
                continue
            started, done = time.perf_counter(), progress()
            if done >= 1:
                break
            rate = (
                options.lr * min(1.0, done / options.warmup + 1e-3) * (0.05 + 0.95 * math.cos(math.pi * done / 2) ** 2)
            )
            for group in optimizer.param_groups:
                group["lr"] = rate
            model.train()
            with torch.autocast(options.device.split(":")[0], torch.bfloat16, enabled=options.bf16):
                nats = forward(batch)
            count = sum(len(text) + 1 for _, text in batch)
            optimizer.zero_grad(set_to_none=True)
            (nats.sum() / count).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            state["step"], state["batch"] = state["step"] + 1, index + 1
            state["tokens"] += count
            state["seconds"] += time.perf_counter() - started
            if state["seconds"] - saved_at > options.evaluate_seconds:
                evaluate_and_save()
                saved_at = state["seconds"]
        else:
            state["epoch"], state["batch"] = state["epoch"] + 1, 0
    evaluate_and_save()
    figures = {
        **state,
        "parameters": model.num_parameters(),
        "options": {k: str(v) for k, v in asdict(options).items()},
    }
    figures["held_out"] = likelihood(Peer.load(out, options.device), held)
    (out / "peer.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return figures
