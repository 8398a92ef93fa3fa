"""Settings of the training of readers."""

from __future__ import annotations

from dataclasses import dataclass, field

from diffusionlm.training.tasks import INFILL, PREFIX, TASKS, WHOLE

PLAIN_SIZE = 3


@dataclass(frozen=True)
class ReaderSettings:
    """Settings of `train_reader`.

    Attributes:
        max_steps: optimiser steps.
        tokens_per_batch: span positions of a batch, about.
        plain_share: first steps, as a share of all, whose posteriors come from the noisy embeddings and the tokens' frequencies
            alone, without the denoiser. They cost little, so their batches are `PLAIN_SIZE` times as large.
        learning_rate: of AdamW; it rises over the first 5 % and falls over the last half.
        clean_share: rows that show the true tokens, half of them as finished text.
        surer_share: rows whose posterior is moved a random part of the way to the true tokens.
        self_condition_share: batches whose posterior was given an earlier clean estimate, as in sampling.
        task_weights: shares of whole texts, continuations and gaps.
        prompt_share: how often an example's prompt is shown to the denoiser.
        token_weight: weight of the tokens' loss beside the texts'.
        log_every: steps between two figures.
        seed: of all draws.

    Raises:
        ValueError: if a value is out of range.
    """

    max_steps: int = 1500
    tokens_per_batch: int = 2048
    plain_share: float = 0.6
    learning_rate: float = 2e-3
    clean_share: float = 0.2
    surer_share: float = 0.2
    self_condition_share: float = 0.75
    task_weights: dict[str, float] = field(default_factory=lambda: {WHOLE: 0.5, PREFIX: 0.3, INFILL: 0.2})
    prompt_share: float = 0.5
    token_weight: float = 1.0
    log_every: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_steps < 1 or self.tokens_per_batch < 1 or not self.learning_rate > 0 or self.log_every < 1:
            raise ValueError(
                "max_steps, tokens_per_batch, learning_rate and log_every must be positive, got "
                f"{self.max_steps}, {self.tokens_per_batch}, {self.learning_rate}, {self.log_every}."
            )
        for name in ("plain_share", "clean_share", "surer_share", "self_condition_share", "prompt_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in [0, 1], got {getattr(self, name)}.")
        if set(self.task_weights) - set(TASKS) or not sum(self.task_weights.values()) > 0:
            raise ValueError(f"task_weights must weigh some of {TASKS}, got {self.task_weights}.")
