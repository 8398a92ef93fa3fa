"""A classifier of noisy latents, as Diffusion-LM and classifier guidance of masked diffusion need one."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.peers.short_training import Goal, Trained, endless, train_for


class LatentClassifier(nn.Module):
    """Log-odds of an attribute from latents (B, L, D) and a noise level (B,); a transformer encoder, mean-pooled.

    Args:
        size: D.
        length: most positions.
        hidden: width; with the layers it sets the size of the classifier.
        layers: of the encoder.
    """

    def __init__(self, size: int, length: int, hidden: int = 256, layers: int = 4) -> None:
        super().__init__()
        self.read = nn.Linear(size, hidden)
        self.places = nn.Parameter(0.02 * torch.randn(length, hidden))
        self.level = nn.Sequential(nn.Linear(1, hidden), nn.SiLU(), nn.Linear(hidden, hidden))
        block = nn.TransformerEncoderLayer(hidden, 4, 4 * hidden, 0.0, "gelu", batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(block, layers, enable_nested_tensor=False)
        self.head = nn.Linear(hidden, 1)

    def forward(self, latents: Tensor, level: Tensor) -> Tensor:
        """(B,) log-odds."""
        hidden = self.read(latents) + self.places[: latents.shape[1]] + self.level(level.view(-1, 1) / 10)[:, None]
        return self.head(self.blocks(hidden).mean(1)).squeeze(-1)


def train_latent_classifier(
    texts: list[str],
    goal: Goal,
    shown: Callable[[list[str]], tuple[Tensor, Tensor]],
    size: int,
    length: int,
    seconds: float,
    seed: int,
) -> tuple[LatentClassifier, Trained]:
    """A classifier trained on labelled texts for so many seconds.

    Args:
        texts: some of which meet the goal.
        goal: what the classifier tells apart.
        shown: gives latents (B, L, D) of texts, noisy or masked, and their noise levels (B,).
        size: D.
        length: most positions.
        seconds: of processor time.
        seed: of weights, noise and batches.
    """
    torch.manual_seed(seed)
    model = LatentClassifier(size, length)

    def loss_of(part: list[tuple[str, int]]) -> Tensor:
        with torch.no_grad():
            latents, level = shown([text for text, _ in part])
        target = torch.tensor([float(label) for _, label in part])
        return F.binary_cross_entropy_with_logits(model(latents, level), target)

    trained = train_for(seconds, loss_of, model.parameters(), endless(goal.balanced(texts, seed), 32, seed))
    return model.eval().requires_grad_(False), trained
