"""Training of a peer for so many seconds of processor time, and the goal that peers share: a value is mentioned."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from diffusionlm.evaluation.control import mentions
from diffusionlm.text.tokenizer import TextTokenizer


@dataclass(frozen=True)
class Goal:
    """Texts shall mention a value, as whole words."""

    value: str

    def holds(self, text: str) -> bool:
        return mentions(text, self.value)

    def balanced(self, texts: Sequence[str], seed: int = 0) -> list[tuple[str, int]]:
        """Texts with label 1 (they mention it) and as many with label 0, shuffled.

        Raises:
            ValueError: no text mentions the value, or all do.
        """
        draw = random.Random(seed)
        groups = [[text for text in texts if self.holds(text) == wanted] for wanted in (False, True)]
        size = min(map(len, groups))
        if size == 0:
            raise ValueError(
                f"{len(groups[1])} of {len(texts)} texts mention {self.value!r}: a classifier needs both kinds."
            )
        pairs = [(text, label) for label, group in enumerate(groups) for text in draw.sample(group, size)]
        draw.shuffle(pairs)
        return pairs


@dataclass(frozen=True)
class Trained:
    """How a short training went; seconds of processor time."""

    steps: int
    seconds: float
    first_loss: float
    last_loss: float


def train_for(
    seconds: float,
    loss_of: Callable[[Any], Tensor],
    parameters: Iterable[torch.nn.Parameter],
    batches: Iterator[Any],
    lr: float = 1e-3,
) -> Trained:
    """AdamW until so many seconds of processor time are used; at least one step."""
    chosen = [p for p in parameters if p.requires_grad]
    optimizer = torch.optim.AdamW(chosen, lr=lr, betas=(0.9, 0.95), weight_decay=0.01)
    began, losses = time.process_time(), []
    while not losses or time.process_time() - began < seconds:
        loss = loss_of(next(batches))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(chosen, 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
    tenth = max(1, len(losses) // 10)
    return Trained(len(losses), time.process_time() - began, sum(losses[:tenth]) / tenth, sum(losses[-tenth:]) / tenth)


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
        row[: min(len(ids), length)] = torch.tensor(ids[:length])
    return rows


def decoded(rows: Tensor, tokenizer: TextTokenizer) -> list[str]:
    """Texts of rows of token ids up to the first pad."""
    texts = []
    for row in rows.tolist():
        end = row.index(tokenizer.pad_id) if tokenizer.pad_id in row else len(row)
        texts.append(" ".join(tokenizer.decode(row[:end]).split()))
    return texts
