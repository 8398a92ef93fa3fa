"""Masked diffusion with our network, and classifier guidance of it.

Sahoo et al. 2024, "Simple and Effective Masked Diffusion Language Models" (MDLM): tokens are masked with probability t, the
network predicts them, the loss is the cross-entropy on masked tokens weighed by 1/t (eq. 10 for alpha_t = 1 - t); unmasked
tokens are carried over; no input of t. Sampling (section 4): of the masked tokens, (t - s)/t are drawn at each step. Guidance:
Schiff et al. 2024, "Simple Guidance Mechanisms for Discrete Diffusion Models" (D-CBG) with the first-order approximation of
its section 3: the log-probability that a classifier of partly masked texts gives, linear in each token's one-hot vector. A
length is known: the pads after it stand unmasked from the beginning.

The network is ours, unchanged: a mask is a zero vector in place of an embedding and the noise level stands at 0, so the
exact likelihood term of its output is flat at masks and points at the token elsewhere.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.peers.diffusion_lm import LENGTH, allowed, network, train_denoiser
from benchmarks.peers.goals import Sentence
from benchmarks.peers.noisy_classifier import Guide
from benchmarks.peers.short_training import Trained
from benchmarks.peers.words import WordCode
from diffusionlm.denoiser import DenoiserConfig, SpanDenoiser

LEVEL = torch.tensor(0.0)


@dataclass
class MaskedDiffusion:
    """The peer: network and words."""

    denoiser: SpanDenoiser
    code: WordCode

    @property
    def size(self) -> int:
        """D."""
        return self.denoiser.config.embedding_size

    @classmethod
    def create(cls, like: DenoiserConfig, code: WordCode, seed: int = 0) -> MaskedDiffusion:
        """A fresh network of the same shape as `like`."""
        return cls(network(like, code, like.embedding_size, seed), code)

    def _latents(self, rows: Tensor, masked: Tensor) -> Tensor:
        return self.denoiser.embed(rows).masked_fill(masked[..., None], 0.0)

    def shown(self, sentences: list[Sentence]) -> tuple[Tensor, Tensor]:
        """Latents of sentences with some words masked, and the shares of masks."""
        rows = self.code.rows(sentences, LENGTH)
        t = torch.rand(len(rows), 1)
        return self._latents(rows, torch.rand(rows.shape) < t), t[:, 0]

    def train(
        self,
        sentences: list[Sentence],
        seconds: float,
        batch: int = 32,
        seed: int = 0,
        keep: Path | None = None,
        bfloat16: bool = False,
    ) -> Trained:
        """The weighed cross-entropy, for so many seconds."""

        def loss_of(part: list[Sentence]) -> Tensor:
            rows = self.code.rows(part, LENGTH)
            t = torch.rand(len(rows), 1).clamp_min(1e-2)
            masked = torch.rand(rows.shape) < t
            logits = self.denoiser(self._latents(rows, masked), LEVEL).logits
            nats = F.cross_entropy(logits.flatten(0, 1), rows.flatten(), reduction="none").view_as(rows)
            return (nats * masked / t).mean()

        return train_denoiser(self.denoiser, loss_of, sentences, seconds, batch, seed, keep, bfloat16)

    @torch.no_grad()
    def sample(
        self,
        count: int,
        guide: Guide | None = None,
        ends: Tensor | None = None,
        *,
        steps: int = 32,
        strength: float = 2.0,
        seed: int = 0,
    ) -> list[str]:
        """`count` texts at once; `strength` is the exponent of the classifier's probability.

        `guide` and `ends` are those of `DiffusionLM.sample`; the guide reads partly masked texts.
        """
        draw = torch.Generator().manual_seed(seed)
        rows = torch.full((count, LENGTH), self.code.pad)
        masked = torch.ones(rows.shape, dtype=torch.bool) if ends is None else ~ends
        table = self.denoiser.unit_embeddings()
        for t, s in itertools.pairwise(torch.linspace(1, 0, steps + 1)):
            latents = self._latents(rows, masked)
            scores = allowed(self.denoiser(latents, LEVEL).logits, self.code, ends)
            if guide is not None:
                with torch.enable_grad():
                    latents = latents.requires_grad_()
                    (grad,) = torch.autograd.grad(guide(latents, t.expand(count)).sum(), latents)
                scores = scores + strength * (grad @ table.t())
            picked = torch.multinomial(scores.softmax(-1).flatten(0, 1), 1, generator=draw).view_as(rows)
            now = masked & (torch.rand(rows.shape, generator=draw) < (t - s) / t)
            rows = torch.where(now, picked, rows)
            masked = masked & ~now
        return self.code.texts(rows)
