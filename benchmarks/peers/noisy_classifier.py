"""A classifier of noisy latents, as Diffusion-LM and classifier guidance of masked diffusion need one."""

from __future__ import annotations

import torch
from torch import Tensor, nn


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
