"""Training of readers: small networks that say what holds of a text from the token posterior of a denoising step.

A reader learns the labels of the true text from the posterior and its noise level; see `reader_batches`.

Shape letters: S and T labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from diffusionlm.guidance.classifiers.reader import OUTSIDE, Reader, ReaderConfig
from diffusionlm.training.classifiers.batches import UNKNOWN, NoisyTexts, ReaderBatch, label_names
from diffusionlm.training.classifiers.labelled import Example
from diffusionlm.training.classifiers.settings import ReaderSettings
from diffusionlm.training.optimizer import build_optimizers, learning_rate_scale, set_learning_rate
from diffusionlm.training.tasks import WHOLE
from diffusionlm.training.warm_start import warm_start_reader

if TYPE_CHECKING:
    from diffusionlm.pipeline import DiffusionLMPipeline
    from diffusionlm.text import TextTokenizer

_EVALUATION = 7  # a stream of draws beside the steps'


def reader_loss(reader: Reader, batch: ReaderBatch, token_weight: float = 1.0) -> dict[str, Tensor]:
    """Losses of a batch: "sequence" (cross-entropy of each known label), "token" and their weighted "loss", nats."""
    device = reader.device
    out = reader(batch.text, batch.gamma.to(device))
    losses: dict[str, Tensor] = {}
    if out.sequence_logits is not None:
        labels = batch.labels.to(device)
        known = ~labels.isnan()
        each = F.binary_cross_entropy_with_logits(out.sequence_logits, labels.nan_to_num(0.5), reduction="none")
        losses["sequence"] = (each * known).sum() / known.sum().clamp_min(1)
    if out.token_logits is not None:
        tags = batch.token_labels.to(device).flatten()
        total = F.cross_entropy(out.token_logits.flatten(0, 1), tags, ignore_index=UNKNOWN, reduction="sum")
        losses["token"] = total / (tags != UNKNOWN).sum().clamp_min(1)
    losses["loss"] = torch.stack(
        [w * losses[k] for k, w in (("sequence", 1.0), ("token", token_weight)) if k in losses]
    ).sum()
    return losses


def train_reader(
    pipeline: DiffusionLMPipeline,
    examples: Sequence[Example],
    *,
    sequence_labels: Sequence[str] | None = None,
    token_labels: Sequence[str] | None = None,
    settings: ReaderSettings | None = None,
    shape: dict[str, Any] | None = None,
    card: dict[str, Any] | None = None,
    init: tuple[Reader, TextTokenizer] | None = None,
    on_log: Callable[[dict[str, float]], None] | None = None,
) -> Reader:
    """Trains a reader for a pipeline's vocabulary.

    Args:
        pipeline: whose posteriors it shall read; left as it is.
        examples: labelled texts.
        sequence_labels: labels of texts to learn; all that occur if None.
        token_labels: labels of tokens to learn; all that occur, and "O", if None. Without "O" among them, tokens that no span
            covers are unknown (for taggers that label every word).
        settings: of the training.
        shape: sizes of `ReaderConfig`, such as ``hidden_size``.
        card: facts to keep with the reader.
        init: a reader to start from, and the tokenizer of the model that it reads, which may be another one.
        on_log: receives the step and mean losses.

    Raises:
        ValueError: if there is nothing to learn, or ``init`` has other labels or sizes.
    """
    settings = settings or ReaderSettings()
    found_labels, found_tags = label_names(examples)
    names = found_labels if sequence_labels is None else list(sequence_labels)
    tags = found_tags if token_labels is None else list(token_labels)
    if not names and not tags:
        raise ValueError("The examples have neither labels nor spans, so there is nothing to learn.")
    texts = NoisyTexts(pipeline, examples, names, tags, settings)
    vocabulary, denoiser = pipeline.tokenizer.vocabulary, pipeline.denoiser
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        reader = Reader(
            ReaderConfig(
                vocab_size=len(vocabulary),
                vocabulary_fingerprint=vocabulary.fingerprint,
                sequence_labels=names,
                token_labels=tags,
                pad_token_id=vocabulary.pad_id,
                card=card,
                **(shape or {}),
            )
        )
        with torch.no_grad():  # tokens that the denoiser holds to be alike begin alike
            table = pipeline.model.embeddings()
            known = torch.zeros(len(vocabulary), 1) if table is None else table.cpu()
            mix = torch.randn(known.shape[1], reader.config.hidden_size) * known.shape[1] ** -0.5
            reader.table.copy_(0.8 * known @ mix + 0.2 * torch.randn_like(reader.table))
            if reader.pool is not None:
                rates = texts.labels.nanmean(0).nan_to_num(0.5).clamp(0.01, 0.99)
                reader.pool.bias.copy_(rates.logit())
        if init is not None:
            warm_start_reader(reader, pipeline.tokenizer, *init)
        torch.nn.Module.to(reader, denoiser.device).train()
        training = denoiser.training
        denoiser.eval()
        try:
            _train(reader, texts, settings, on_log)
        finally:
            denoiser.train(training)
    return reader.eval()


def _train(
    reader: Reader, texts: NoisyTexts, settings: ReaderSettings, on_log: Callable[[dict[str, float]], None] | None
) -> None:
    optimizers = build_optimizers(reader, "adamw", settings.learning_rate, weight_decay=0.02)
    sums: dict[str, float] = {}
    for step in range(settings.max_steps):
        warmup, decay = max(1, settings.max_steps // 20), settings.max_steps // 2
        set_learning_rate(optimizers, learning_rate_scale(step, warmup, decay, settings.max_steps))
        plain = step < settings.plain_share * settings.max_steps
        losses = reader_loss(reader, texts.batch(step, plain=plain).to(reader.device), settings.token_weight)
        losses["loss"].backward()
        torch.nn.utils.clip_grad_norm_(reader.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        for name, value in losses.items():
            sums[name] = sums.get(name, 0.0) + float(value.detach())
        if (step + 1) % settings.log_every == 0 or step + 1 == settings.max_steps:
            count = (step % settings.log_every) + 1
            if on_log is not None:
                on_log({"step": step + 1, **{name: value / count for name, value in sums.items()}})
            sums = {}


@torch.no_grad()
def evaluate_reader(
    reader: Reader,
    pipeline: DiffusionLMPipeline,
    examples: Sequence[Example],
    levels: Sequence[float | None] = (None, 0.25, 0.5, 0.75),
    batches: int = 8,
    tokens_per_batch: int = 1024,
) -> dict[str, dict[str, float]]:
    """Accuracy of a reader on held-out whole texts.

    Args:
        reader: in evaluation mode.
        pipeline: that it reads.
        examples: labelled texts it has not seen.
        levels: progress u of the noise; None for the finished text.
        batches: of each level.
        tokens_per_batch: positions of a batch.

    Returns:
        For each level ("clean", "u=0.5"): ``auc LABEL``, the chance that a text with the label is ranked above one without;
        ``token accuracy`` and, with "O", ``token F1`` of the other labels.
    """
    settings = ReaderSettings(tokens_per_batch=tokens_per_batch, task_weights={WHOLE: 1.0}, seed=1)
    config = reader.config
    texts = NoisyTexts(pipeline, examples, config.sequence_labels, config.token_labels, settings)
    figures: dict[str, dict[str, float]] = {}
    for level in levels:
        scores, truth, guesses, tags = [], [], [], []
        for step in range(batches):
            batch = texts.batch(step, level or 0.5, level is None, _EVALUATION).to(reader.device)
            out = reader(batch.text, batch.gamma)
            if out.sequence_logits is not None:
                scores.append(out.sequence_logits.cpu())
                truth.append(batch.labels.cpu())
            if out.token_logits is not None:
                real = (batch.token_labels != UNKNOWN) & batch.text.mask
                guesses.append(out.token_logits.argmax(-1)[real].cpu())
                tags.append(batch.token_labels[real].cpu())
        found: dict[str, float] = {}
        for s, name in enumerate(config.sequence_labels):
            found[f"auc {name}"] = area_under_curve(torch.cat(scores)[:, s], torch.cat(truth)[:, s])
        if config.token_labels:
            guess, tag = torch.cat(guesses), torch.cat(tags)
            found["token accuracy"] = float((guess == tag).float().mean())
            if OUTSIDE in config.token_labels:
                outside = config.token_labels.index(OUTSIDE)
                hits = ((guess == tag) & (tag != outside)).sum()
                found["token F1"] = float(2 * hits / ((guess != outside).sum() + (tag != outside).sum()).clamp_min(1))
        figures["clean" if level is None else f"u={level:g}"] = found
    return figures


def area_under_curve(scores: Tensor, labels: Tensor) -> float:
    """Area under the ROC curve by ranks, ties counted half; NaN where one of the two classes is missing.

    Args:
        scores: (n,).
        labels: (n,) probabilities, at least 0.5 is a yes; NaN is left out.
    """
    known = ~labels.isnan()
    scores, yes = scores[known].double(), labels[known] >= 0.5
    positive, negative = scores[yes], scores[~yes]
    if not len(positive) or not len(negative):
        return float("nan")
    order = negative.sort().values
    below = torch.searchsorted(order, positive, right=False) + torch.searchsorted(order, positive, right=True)
    return float(below.double().mean() / 2 / len(negative))
