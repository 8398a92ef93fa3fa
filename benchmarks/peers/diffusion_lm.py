"""Diffusion-LM's recipe with our network: square-root schedule, D = 16, 200 steps, three Adagrad steps on every latent.

Li et al. 2022, "Diffusion-LM Improves Controllable Text Generation". Training (eq. 2): the squared distance between the
predicted and the true embeddings, and the cross-entropy of rounding, on one joint set of embeddings. Decoding (section
4.2): 200 of the steps, the clamping trick (the prediction is set to the nearest token's embedding). Control (section 5.1):
after every step, three Adagrad updates of the latent on lambda log p(x_t-1 | x_t) + log p(c | x_t-1), with a classifier that
was trained on noisy latents; no gradient goes through the denoiser. Minimum Bayes risk decoding, which multiplies the cost by
the number of candidates, is left out.

What differs from the original: our network (blocks, rotary positions, self-conditioning input left at zero), 64 positions.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.peers.noisy_classifier import LatentClassifier, train_latent_classifier
from benchmarks.peers.short_training import Goal, Trained, decoded, endless, padded, train_for
from diffusionlm.denoiser import DenoiserConfig, SpanDenoiser
from diffusionlm.diffusion import NoiseSchedule, schedule_from_dict
from diffusionlm.diffusion.process import alpha_sigma, diffuse
from diffusionlm.text.tokenizer import TextTokenizer

EMBEDDING = 16
LENGTH = 64


@dataclass
class DiffusionLM:
    """The peer: network, tokenizer and schedule."""

    denoiser: SpanDenoiser
    tokenizer: TextTokenizer
    schedule: NoiseSchedule

    @classmethod
    def create(cls, like: DenoiserConfig, tokenizer: TextTokenizer, seed: int = 0) -> DiffusionLM:
        """A network of the same blocks as `like`, with embeddings of 16 numbers."""
        torch.manual_seed(seed)
        settings = {k: v for k, v in like.to_dict().items() if k not in ("architectures", "transformers_version")}
        denoiser = SpanDenoiser(
            DenoiserConfig(**settings | {"embedding_size": EMBEDDING, "vocab_size": tokenizer.vocab_size})
        )
        return cls(denoiser, tokenizer, schedule_from_dict({"kind": "square_root"}))

    def train(self, texts: list[str], seconds: float, batch: int = 32, seed: int = 0) -> Trained:
        """Simple loss and rounding, for so many seconds."""

        def loss_of(part: list[str]) -> Tensor:
            rows = padded(part, self.tokenizer, LENGTH)
            clean = self.denoiser.embed(rows)
            gamma = self.schedule.gamma(torch.rand(len(rows)))
            logits = self.denoiser(diffuse(clean, torch.randn_like(clean), gamma), gamma).logits
            distance = (self.denoiser.clean_estimate(logits.softmax(-1)) - clean).square().sum(-1).mean()
            return distance + F.cross_entropy(logits.flatten(0, 1), rows.flatten())

        self.denoiser.train()
        torch.manual_seed(seed)
        trained = train_for(seconds, loss_of, self.denoiser.parameters(), endless(texts, batch, seed))
        self.denoiser.eval()
        return trained

    def train_classifier(
        self, texts: list[str], goal: Goal, seconds: float, seed: int = 0
    ) -> tuple[LatentClassifier, Trained]:
        """On latents of all noise levels of labelled texts."""

        def noised(texts: list[str]) -> tuple[Tensor, Tensor]:
            clean = self.denoiser.embed(padded(texts, self.tokenizer, LENGTH))
            gamma = self.schedule.gamma(torch.rand(len(texts)))
            return diffuse(clean, torch.randn_like(clean), gamma), gamma

        return train_latent_classifier(texts, goal, noised, EMBEDDING, LENGTH, seconds, seed)

    @torch.no_grad()
    def sample(
        self,
        count: int,
        classifier: LatentClassifier | None = None,
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
            classifier: of noisy latents, or None.
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
            ids = self.denoiser(latents, now).logits.argmax(-1)
            mean, deviation = posterior(latents, table[ids], now, after)  # clamped
            latents = mean + deviation * torch.randn(shape, generator=draw)
            if classifier is not None:
                latents = _controlled(latents, mean, deviation, classifier, after, updates, step_size, fluency)
        return decoded(ids, self.tokenizer)


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
    classifier: LatentClassifier,
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
            (fluency * stay + F.softplus(-classifier(moved, level)).sum()).backward()
            optimizer.step()
    return moved.detach()
