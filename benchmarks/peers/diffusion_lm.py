"""Diffusion-LM's recipe with our network: square-root schedule, D = 16, 200 steps, three Adagrad steps on every latent.

Li et al. 2022, "Diffusion-LM Improves Controllable Text Generation". Training (eq. 2): the squared distance between the
predicted and the true embeddings, and the cross-entropy of rounding, on one joint set of embeddings of words. Decoding
(section 4.2): 200 of the steps, the clamping trick (the prediction is set to the nearest token's embedding). Control (section
5.1): after every step, three Adagrad updates of the latent on lambda log p(x_t-1 | x_t) + log p(c | x_t-1), with a classifier
that was trained on noisy latents; no gradient goes through the denoiser. A length is known, not guided: its pad positions are
set at every step, as in infilling. Minimum Bayes risk decoding, which multiplies the cost by the number of candidates, is
left out.

What differs from the original: our network (blocks, rotary positions, self-conditioning input left at zero), which may begin
with the blocks of our weights (`words.start_from`); 64 positions; no token is drawn that stands for unknown words.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.peers.goals import Sentence
from benchmarks.peers.noisy_classifier import Guide
from benchmarks.peers.short_training import Trained, endless, train_for
from benchmarks.peers.words import WordCode
from diffusionlm.denoiser import DenoiserConfig, SpanDenoiser
from diffusionlm.diffusion import NoiseSchedule, schedule_from_dict
from diffusionlm.diffusion.process import alpha_sigma, diffuse

EMBEDDING = 16
LENGTH = 64


@dataclass
class DiffusionLM:
    """The peer: network, words and schedule."""

    denoiser: SpanDenoiser
    code: WordCode
    schedule: NoiseSchedule
    size = EMBEDDING

    @classmethod
    def create(cls, like: DenoiserConfig, code: WordCode, seed: int = 0) -> DiffusionLM:
        """A network of the same blocks as `like`, with embeddings of 16 numbers."""
        return cls(network(like, code, EMBEDDING, seed), code, schedule_from_dict({"kind": "square_root"}))

    def shown(self, sentences: list[Sentence]) -> tuple[Tensor, Tensor]:
        """Latents of sentences at noise levels of all kinds, and these levels."""
        clean = self.denoiser.embed(self.code.rows(sentences, LENGTH))
        gamma = self.schedule.gamma(torch.rand(len(sentences)))
        return diffuse(clean, torch.randn_like(clean), gamma), gamma

    def train(
        self,
        sentences: list[Sentence],
        seconds: float,
        batch: int = 32,
        seed: int = 0,
        keep: Path | None = None,
        bfloat16: bool = False,
    ) -> Trained:
        """Simple loss and rounding, for so many seconds."""

        def loss_of(part: list[Sentence]) -> Tensor:
            rows = self.code.rows(part, LENGTH)
            clean = self.denoiser.embed(rows)
            gamma = self.schedule.gamma(torch.rand(len(rows)))
            logits = self.denoiser(diffuse(clean, torch.randn_like(clean), gamma), gamma).logits
            distance = (self.denoiser.clean_estimate(logits.softmax(-1)) - clean).square().sum(-1).mean()
            return distance + F.cross_entropy(logits.flatten(0, 1), rows.flatten())

        return train_denoiser(self.denoiser, loss_of, sentences, seconds, batch, seed, keep, bfloat16)

    @torch.no_grad()
    def sample(
        self,
        count: int,
        guide: Guide | None = None,
        ends: Tensor | None = None,
        *,
        steps: int = 200,
        updates: int = 3,
        step_size: float = 0.1,
        fluency: float = 0.01,
        seed: int = 0,
    ) -> list[str]:
        """`count` texts at once.

        Args:
            count: texts.
            guide: log-probability of what is asked, from noisy latents; or None.
            ends: (count, 64) bool, positions known to be pad; all others are none. Or None.
            steps: of decoding.
            updates: Adagrad steps after each.
            step_size: of Adagrad.
            fluency: lambda, weight of log p(x_t-1 | x_t).
            seed: of the noise.
        """
        draw = torch.Generator().manual_seed(seed)
        shape = (count, LENGTH, EMBEDDING)
        latents = torch.randn(shape, generator=draw)
        gammas = self.schedule.gamma(torch.linspace(1, 0, steps + 1))
        table = self.denoiser.unit_embeddings()
        ids = torch.zeros(shape[:2], dtype=torch.long)
        for now, after in itertools.pairwise(gammas):
            ids = allowed(self.denoiser(latents, now).logits, self.code, ends).argmax(-1)
            mean, deviation = posterior(latents, table[ids], now, after)  # clamped
            latents = mean + deviation * torch.randn(shape, generator=draw)
            if guide is not None:
                latents = _controlled(latents, mean, deviation, guide, after, updates, step_size, fluency)
        return self.code.texts(ids)


def network(like: DenoiserConfig, code: WordCode, embedding: int, seed: int) -> SpanDenoiser:
    """A fresh network of the same blocks as `like`, for a vocabulary of words."""
    torch.manual_seed(seed)
    settings = {k: v for k, v in like.to_dict().items() if k not in ("architectures", "transformers_version")}
    own = {"embedding_size": embedding, "vocab_size": code.size, "pad_token_id": code.pad}
    return SpanDenoiser(DenoiserConfig(**settings | own))


def allowed(logits: Tensor, code: WordCode, ends: Tensor | None) -> Tensor:
    """Logits (B, L, V) without the unknown word; pad where the text is known to have ended and nowhere else."""
    logits = logits.clone()
    logits[..., code.unknown] = -torch.inf
    if ends is not None:
        pad = torch.arange(logits.shape[-1]) == code.pad
        logits = logits.masked_fill(ends[..., None] != pad, -torch.inf)
    return logits


def train_denoiser(
    denoiser: SpanDenoiser,
    loss_of: Callable[[list[Sentence]], Tensor],
    sentences: list[Sentence],
    seconds: float,
    batch: int,
    seed: int,
    keep: Path | None,
    bfloat16: bool,
) -> Trained:
    denoiser.train()
    torch.manual_seed(seed)
    trained = train_for(seconds, loss_of, denoiser, endless(sentences, batch, seed), keep=keep, bfloat16=bfloat16)
    denoiser.eval()
    return trained


def posterior(latents: Tensor, clean: Tensor, now: Tensor, after: Tensor) -> tuple[Tensor, float]:
    """Mean and deviation of q(z_after | z_now, clean) (Ho et al. 2020, eq. 7, in gammas)."""
    alpha, sigma = alpha_sigma(now)
    alpha_next, sigma_next = alpha_sigma(after)
    kept = (alpha / alpha_next).square()  # alpha of the step between
    spread = (sigma.square() - kept * sigma_next.square()).clamp_min(1e-12)
    mean = (alpha / alpha_next * sigma_next.square() * latents + alpha_next * spread * clean) / sigma.square()
    return mean, math.sqrt(float(spread * sigma_next.square() / sigma.square()))


def _controlled(
    latents: Tensor,
    mean: Tensor,
    deviation: float,
    guide: Guide,
    gamma: Tensor,
    updates: int,
    step_size: float,
    fluency: float,
) -> Tensor:
    with torch.enable_grad():
        moved = latents.clone().requires_grad_()
        optimizer = torch.optim.Adagrad([moved], lr=step_size)
        level = gamma.expand(len(latents))
        for _ in range(updates):
            optimizer.zero_grad()
            stay = (moved - mean).square().sum() / (2 * max(deviation, 1e-3) ** 2)
            (fluency * stay - guide(moved, level).sum()).backward()
            optimizer.step()
    return moved.detach()
