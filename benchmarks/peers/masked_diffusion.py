"""Masked diffusion with our network, and classifier guidance of it.

Sahoo et al. 2024, "Simple and Effective Masked Diffusion Language Models" (MDLM): tokens are masked with probability t, the
network predicts them, the loss is the cross-entropy on masked tokens weighed by 1/t (eq. 10 for alpha_t = 1 - t); unmasked
tokens are carried over; no input of t. Sampling (section 4): of the masked tokens, (t - s)/t are drawn at each step. Guidance:
Schiff et al. 2024, "Simple Guidance Mechanisms for Discrete Diffusion Models" (D-CBG) with the first-order approximation of
its section 3: the log-odds of a classifier of partly masked texts, linear in each token's one-hot vector.

The network is ours, unchanged: a mask is a zero vector in place of an embedding and the noise level stands at 0, so the
exact likelihood term of its output is flat at masks and points at the token elsewhere.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.peers.noisy_classifier import LatentClassifier, train_latent_classifier
from benchmarks.peers.short_training import Goal, Trained, decoded, endless, padded, train_for
from diffusionlm.denoiser import DenoiserConfig, SpanDenoiser
from diffusionlm.text.tokenizer import TextTokenizer

LENGTH = 64
LEVEL = torch.tensor(0.0)


@dataclass
class MaskedDiffusion:
    """The peer: network and tokenizer."""

    denoiser: SpanDenoiser
    tokenizer: TextTokenizer

    @classmethod
    def create(cls, like: DenoiserConfig, tokenizer: TextTokenizer, seed: int = 0) -> MaskedDiffusion:
        """A fresh network of the same shape as `like`."""
        torch.manual_seed(seed)
        settings = {k: v for k, v in like.to_dict().items() if k not in ("architectures", "transformers_version")}
        return cls(SpanDenoiser(DenoiserConfig(**settings | {"vocab_size": tokenizer.vocab_size})), tokenizer)

    def _latents(self, rows: Tensor, masked: Tensor) -> Tensor:
        return self.denoiser.embed(rows).masked_fill(masked[..., None], 0.0)

    def train(self, texts: list[str], seconds: float, batch: int = 32, seed: int = 0) -> Trained:
        """The weighed cross-entropy, for so many seconds."""

        def loss_of(part: list[str]) -> Tensor:
            rows = padded(part, self.tokenizer, LENGTH)
            t = torch.rand(len(rows), 1).clamp_min(1e-2)
            masked = torch.rand(rows.shape) < t
            logits = self.denoiser(self._latents(rows, masked), LEVEL).logits
            nats = F.cross_entropy(logits.flatten(0, 1), rows.flatten(), reduction="none").view_as(rows)
            return (nats * masked / t).mean()

        self.denoiser.train()
        torch.manual_seed(seed)
        trained = train_for(seconds, loss_of, self.denoiser.parameters(), endless(texts, batch, seed))
        self.denoiser.eval()
        return trained

    def train_classifier(
        self, texts: list[str], goal: Goal, seconds: float, seed: int = 0
    ) -> tuple[LatentClassifier, Trained]:
        """On partly masked, labelled texts."""

        def masked(texts: list[str]) -> tuple[Tensor, Tensor]:
            rows = padded(texts, self.tokenizer, LENGTH)
            t = torch.rand(len(rows), 1)
            return self._latents(rows, torch.rand(rows.shape) < t), t[:, 0]

        return train_latent_classifier(texts, goal, masked, self.denoiser.config.embedding_size, LENGTH, seconds, seed)

    @torch.no_grad()
    def sample(
        self,
        count: int,
        classifier: LatentClassifier | None = None,
        *,
        steps: int = 32,
        strength: float = 2.0,
        seed: int = 0,
    ) -> list[str]:
        """`count` texts at once; `strength` is the exponent of the classifier's probability."""
        draw = torch.Generator().manual_seed(seed)
        rows = torch.full((count, LENGTH), self.tokenizer.pad_id)
        masked = torch.ones(rows.shape, dtype=torch.bool)
        times = torch.linspace(1, 0, steps + 1)
        table = self.denoiser.unit_embeddings()
        for t, s in itertools.pairwise(times):
            latents = self._latents(rows, masked)
            scores = self.denoiser(latents, LEVEL).logits
            if classifier is not None:
                with torch.enable_grad():
                    latents = latents.requires_grad_()
                    log_p = F.logsigmoid(classifier(latents, t.expand(count))).sum()
                    (grad,) = torch.autograd.grad(log_p, latents)
                scores = scores + strength * (grad @ table.t())
            picked = torch.multinomial(scores.softmax(-1).flatten(0, 1), 1, generator=draw).view_as(rows)
            now = masked & (torch.rand(rows.shape, generator=draw) < (t - s) / t)
            rows = torch.where(now, picked, rows)
            masked = masked & ~now
        return decoded(rows, self.tokenizer)
