"""Training of a peer for so many seconds of processor time, kept and continued; and rows of token ids."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from diffusionlm.text.tokenizer import TextTokenizer

KEEP_SECONDS = 60.0  # between two writings of the file
WARMUP = 20


@dataclass(frozen=True)
class Trained:
    """How a short training went; seconds of processor time, of all calls that worked on it."""

    steps: int
    seconds: float
    first_loss: float
    last_loss: float


def train_for(
    seconds: float,
    loss_of: Callable[[Any], Tensor],
    model: nn.Module,
    batches: Iterator[Any],
    lr: float = 1e-3,
    keep: Path | None = None,
    bfloat16: bool = False,
) -> Trained:
    """AdamW until so many seconds of processor time are used in all; at least one step.

    Args:
        seconds: of this and earlier calls with the same `keep`.
        loss_of: of a batch.
        model: whose weights are trained.
        batches: without an end.
        lr: reached after a few steps.
        keep: file where weights, optimizer and figures are kept: a later call goes on there.
        bfloat16: matrix products in bfloat16, which some processors do twice as fast.
    """
    chosen = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(chosen, lr=lr, betas=(0.9, 0.95), weight_decay=0.01)
    losses: list[float] = []
    before = 0.0
    if keep is not None and keep.is_file():
        state = torch.load(keep, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        losses, before = state["losses"], state["trained"]["seconds"]
    began = kept_at = time.process_time()
    fresh = before >= seconds and bool(losses)
    try:
        while not fresh and (not losses or before + time.process_time() - began < seconds):
            for group in optimizer.param_groups:
                group["lr"] = lr * min(1.0, (len(losses) + 1) / WARMUP)
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                loss = loss_of(next(batches))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(chosen, 1.0)
            optimizer.step()
            losses.append(float(loss.detach()))
            if keep is not None and time.process_time() - kept_at > KEEP_SECONDS:
                kept_at = time.process_time()
                _keep(keep, model, optimizer, losses, before + kept_at - began)
    except KeyboardInterrupt:
        if keep is not None and losses:
            _keep(keep, model, optimizer, losses, before + time.process_time() - began)
        raise
    if keep is not None and not fresh:
        _keep(keep, model, optimizer, losses, before + time.process_time() - began)
    return _facts(losses, before if fresh else before + time.process_time() - began)


def _facts(losses: list[float], seconds: float) -> Trained:
    tenth = max(1, len(losses) // 10)
    return Trained(len(losses), seconds, sum(losses[:tenth]) / tenth, sum(losses[-tenth:]) / tenth)


def _keep(path: Path, model: nn.Module, optimizer: Any, losses: list[float], seconds: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    trained = asdict(_facts(losses, seconds))
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "losses": losses, "trained": trained}
    torch.save(state, draft)
    draft.replace(path)


def endless(items: Sequence[Any], size: int, seed: int = 0) -> Iterator[list[Any]]:
    """Batches of items drawn without replacement, epoch after epoch."""
    draw = random.Random(seed)
    while True:
        order = draw.sample(range(len(items)), len(items))
        for start in range(0, len(order), size):
            yield [items[i] for i in order[start : start + size]]


def padded(texts: Sequence[str], tokenizer: TextTokenizer, length: int) -> Tensor:
    """(B, length) token ids, cut or filled with pad."""
    rows = torch.full((len(texts), length), tokenizer.pad_id)
    for row, ids in zip(rows, tokenizer.encode_batch(list(texts)), strict=True):
        row[: min(len(ids), length)] = torch.tensor(ids[:length], dtype=torch.long)
    return rows
