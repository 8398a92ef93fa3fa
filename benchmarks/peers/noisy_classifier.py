"""A reader of noisy latents, as Diffusion-LM and classifier guidance of masked diffusion need one.

It says which values a text will mention, or the part of speech at every position; `guide` makes of it the log-probability of
what is asked of each text. An exact length needs none: it is known where the text ends (see `ends_at`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.peers.goals import NO_TAG, ExactLength, Goal, Mention, Sentence, Tags, tag_ids
from benchmarks.peers.short_training import Trained, endless, train_for

Guide = Callable[[Tensor, Tensor], Tensor]  # latents (B, L, D), noise level (B,) -> log-probability (B,)
Shown = Callable[[list[Sentence]], tuple[Tensor, Tensor]]


class LatentReader(nn.Module):
    """Logits from latents (B, L, D) and a noise level (B,): of a text (B, outputs) or of each place (B, L, outputs).

    Args:
        size: D.
        length: most positions.
        outputs: how many logits.
        each_place: whether every position has its own.
        hidden: width of the transformer encoder; with the layers it sets the reader's size.
        layers: of the encoder.
    """

    def __init__(
        self, size: int, length: int, outputs: int, each_place: bool, hidden: int = 256, layers: int = 4
    ) -> None:
        super().__init__()
        self.each_place = each_place
        self.read = nn.Linear(size, hidden)
        self.places = nn.Parameter(0.02 * torch.randn(length, hidden))
        self.level = nn.Sequential(nn.Linear(1, hidden), nn.SiLU(), nn.Linear(hidden, hidden))
        block = nn.TransformerEncoderLayer(hidden, 4, 4 * hidden, 0.0, "gelu", batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(block, layers, enable_nested_tensor=False)
        self.head = nn.Linear(hidden, outputs)

    def forward(self, latents: Tensor, level: Tensor) -> Tensor:
        """Logits; the noise level is a gamma or a share of masks."""
        hidden = self.read(latents) + self.places[: latents.shape[1]] + self.level(level.view(-1, 1) / 10)[:, None]
        hidden = self.blocks(hidden)
        return self.head(hidden if self.each_place else hidden.mean(1)).float()


def train_reader(
    goal: Goal,
    sentences: Sequence[Sentence],
    shown: Shown,
    size: int,
    length: int,
    seconds: float,
    seed: int,
    keep: Path | None = None,
    bfloat16: bool = False,
) -> tuple[LatentReader | None, Trained | None]:
    """A reader trained for so many seconds; None for a goal that needs none.

    Args:
        goal: what it reads.
        sentences: with what it reads in them.
        shown: gives latents (B, L, D) of sentences, noisy or masked, and their noise levels (B,).
        size: D.
        length: most positions.
        seconds: of processor time.
        seed: of weights, noise and batches.
        keep: see `train_for`.
        bfloat16: see `train_for`.
    """
    torch.manual_seed(seed)
    if isinstance(goal, Mention):
        said = goal.said(sentences)
        model = LatentReader(size, length, len(goal.targets), False)

        def loss_of(part: list[int]) -> Tensor:
            with torch.no_grad():
                latents, level = shown([sentences[i] for i in part])
            return F.binary_cross_entropy_with_logits(model(latents, level), said[part])

    elif isinstance(goal, Tags):
        model = LatentReader(size, length, NO_TAG + 1, True)

        def loss_of(part: list[int]) -> Tensor:
            chosen = [sentences[i] for i in part]
            with torch.no_grad():
                latents, level = shown(chosen)
            asked = asked_tags([s.tags for s in chosen], length)
            return F.cross_entropy(model(latents, level).flatten(0, 1), asked.flatten())

    else:
        return None, None
    trained = train_for(
        seconds, loss_of, model, endless(range(len(sentences)), 32, seed), 5e-4, keep=keep, bfloat16=bfloat16
    )
    return model.eval().requires_grad_(False), trained


def asked_tags(sequences: Sequence[Sequence[str]], length: int) -> Tensor:
    """(B, length) numbers of tags, none past the last."""
    rows = torch.full((len(sequences), length), NO_TAG)
    for row, tags in zip(rows, sequences, strict=True):
        row[: min(len(tags), length)] = torch.tensor(tag_ids(tags)[:length], dtype=torch.long)
    return rows


def guide(reader: LatentReader | None, goal: Goal, targets: Sequence[Any], length: int) -> Guide | None:
    """log p(target of each text | latents); None where there is no reader."""
    if reader is None:
        return None
    if isinstance(goal, Mention):
        columns = torch.tensor([goal.targets.index(target) for target in targets])
        return lambda latents, level: F.logsigmoid(reader(latents, level)).gather(1, columns[:, None])[:, 0]
    asked = asked_tags(targets, length)
    return lambda latents, level: (
        -F.cross_entropy(reader(latents, level).transpose(1, 2), asked, reduction="none").sum(1)
    )


def ends_at(goal: Goal, targets: Sequence[Any], length: int) -> Tensor | None:
    """(B, length) bool, the positions that are known to be pad, as Diffusion-LM's length control knows them.

    A position is a word or a mark here. A text of n words gets n + 1 positions: it ends in one mark. Commas make it short.
    """
    if not isinstance(goal, ExactLength):
        return None
    return torch.arange(length) > torch.tensor(list(targets))[:, None]
