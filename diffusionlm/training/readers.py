"""Training of readers: small networks that say what holds of a text from the token posterior of a denoising step.

Every batch does to labelled texts what sampling does to its canvas: spans are drawn, their embeddings are noised to a level
of the pipeline's schedule, the pipeline's denoiser says its posterior, and the reader learns the labels of the true text from
that posterior and the noise level. A share of the rows shows the true tokens instead (finished text), and parts of texts are
known. Batches are a function of (seed, step).

Shape letters: B rows, N positions, L span positions, V vocabulary, S and T labels.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from diffusionlm.diffusion import diffuse, draw_progress, token_log_likelihood
from diffusionlm.guidance.reader import OUTSIDE, Reader, ReaderConfig
from diffusionlm.guidance.soft_text import SoftText
from diffusionlm.training.batches import SpanBatch, collate
from diffusionlm.training.labelled import Example
from diffusionlm.training.optimizer import build_optimizers, learning_rate_scale, set_learning_rate
from diffusionlm.training.step import TrainingStep
from diffusionlm.training.tasks import INFILL, PREFIX, TASKS, WHOLE, draw_infill, draw_prefix, draw_whole

if TYPE_CHECKING:
    from diffusionlm.pipeline import DiffusionLMPipeline

UNKNOWN = -100  # of a token's label, as in cross_entropy
PLAIN_SIZE = 3
_EVALUATION = 7  # a stream of draws beside the steps'


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


@dataclass(frozen=True)
class ReaderBatch:
    """What a reader learns from.

    Attributes:
        text: soft texts, posteriors without gradient.
        gamma: (B,) noise levels.
        labels: (B, S) probabilities, NaN where unknown.
        token_labels: (B, N), `UNKNOWN` where unknown.
        clean: (B,) bool, rows that show the true tokens.
    """

    text: SoftText
    gamma: Tensor
    labels: Tensor
    token_labels: Tensor
    clean: Tensor


class NoisyTexts:
    """Batches of soft texts with labels, from a pipeline and examples.

    Args:
        pipeline: whose vocabulary, schedule and denoiser are used.
        examples: labelled texts.
        sequence_labels: names of the S labels of texts.
        token_labels: names of the T labels of tokens.
        settings: see `ReaderSettings`.

    Attributes:
        left_out: examples that are longer than the pipeline writes.

    Raises:
        ValueError: if no example is short enough.
    """

    def __init__(
        self,
        pipeline: DiffusionLMPipeline,
        examples: Sequence[Example],
        sequence_labels: Sequence[str],
        token_labels: Sequence[str],
        settings: ReaderSettings,
    ) -> None:
        self.pipeline, self.settings = pipeline, settings
        self.pad_id, self.limit = pipeline.tokenizer.pad_id, pipeline.max_length
        self.step_module = TrainingStep(pipeline.denoiser)
        self.token_names = list(token_labels)
        coded = pipeline.tokenizer.backend.encode_batch([" " + e.text for e in examples], add_special_tokens=False)
        kept = [i for i, code in enumerate(coded) if 0 < len(code.ids) <= self.limit]
        self.left_out = len(examples) - len(kept)
        if not kept:
            raise ValueError(f"No example has between 1 and {self.limit} tokens, which is what the model can write.")
        self.ids = [np.array(coded[i].ids) for i in kept]
        self.prompts = [
            np.array(pipeline.tokenizer.encode(p) if (p := examples[i].prompt) else [], dtype=np.int64) for i in kept
        ]
        self.labels = torch.tensor(
            [[examples[i].labels.get(name, float("nan")) for name in sequence_labels] for i in kept]
        ).reshape(len(kept), len(sequence_labels))
        self.tags = [  # offsets of a text are a list that is made when asked for: only where there are spans
            token_tags(
                examples[i], coded[i].offsets if examples[i].spans else [(0, 0)] * len(coded[i].ids), self.token_names
            )
            for i in kept
        ]
        self.lengths = np.array([len(ids) for ids in self.ids])
        counts = torch.bincount(torch.from_numpy(np.concatenate(self.ids)), minlength=pipeline.tokenizer.vocab_size)
        counts[self.pad_id] = counts.sum()  # about as many as there are tokens, where spans are open
        self.log_frequency = (counts + 0.5).log()

    def __len__(self) -> int:
        return len(self.ids)

    def batch(
        self, step: int, u: float | None = None, clean: bool | None = None, stream: int = 0, plain: bool = False
    ) -> ReaderBatch:
        """The batch of a step.

        Args:
            step: any whole number.
            u: progress to be noised to, in (0, 1]; drawn for each row if None.
            clean: whether all rows show the true tokens; drawn for each row if None.
            stream: another sequence of draws.
            plain: leave the denoiser out; the batch is `PLAIN_SIZE` times as large.
        """
        rng = np.random.default_rng((self.settings.seed, 0x4EAD, stream, step))
        names = list(self.settings.task_weights)
        weights = np.array([self.settings.task_weights[name] for name in names])
        task = names[int(rng.choice(len(names), p=weights / weights.sum()))]
        rows = self._rows(task, rng, PLAIN_SIZE if plain else 1)
        longest = int(self.lengths[rows].max())
        limit = int(rng.integers(longest, self.limit + 1)) if rng.random() < 0.7 else self.limit
        share = float(rng.uniform(0.1, 0.9))
        # the same draw lays out positions of the text: where a token stands, and with it its label
        layouts = []
        for row in rows:
            own = np.arange(self.lengths[row])
            if task == WHOLE:
                layouts.append(draw_whole(own, limit, -1))
            elif task == PREFIX:
                layouts.append(draw_prefix(own, limit, share, -1))
            else:
                layouts.append(draw_infill(own, share, -1, rng))
        prompted = rng.random() < self.settings.prompt_share
        prompts = [self.prompts[row] if prompted else self.prompts[row][:0] for row in rows]
        places = collate(layouts, prompts, -1)
        offset = torch.tensor(np.concatenate(([0], np.cumsum(self.lengths[rows])[:-1])))[:, None]
        flat_ids = torch.from_numpy(np.concatenate([self.ids[row] for row in rows]))
        flat_tags = torch.from_numpy(np.concatenate([self.tags[row] for row in rows]))
        outside = self.token_names.index(OUTSIDE) if OUTSIDE in self.token_names else UNKNOWN
        span_ids = _look_up(flat_ids, places.span_ids, offset, self.pad_id)
        known_ids = _look_up(flat_ids, places.known_ids, offset, self.pad_id)
        span_tags = _look_up(flat_tags, places.span_ids, offset, outside)
        known_tags = _look_up(flat_tags, places.known_ids, offset, UNKNOWN)
        prompt_ids = places.prompt_ids.masked_fill(~places.prompt_mask, self.pad_id)
        parts = vars(places) | {"span_ids": span_ids, "known_ids": known_ids, "prompt_ids": prompt_ids}
        spans = SpanBatch(**parts)
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        gamma, posterior = self._posterior(spans, generator, u, plain)
        draws = torch.rand(3, len(rows), generator=generator)
        shown = draws[0] < self.settings.clean_share
        if clean is not None:
            shown = torch.full_like(shown, clean)
        # guidance makes posteriors surer than the noise level alone would: some rows are part of the way to the truth
        surer = (draws[0] > 1 - self.settings.surer_share) & (clean is None)
        toward = torch.where(shown, 1.0, torch.where(surer, draws[1], 0.0))[:, None, None]
        probs = torch.lerp(posterior, F.one_hot(span_ids, posterior.shape[-1]).to(posterior), toward)
        finished = shown & ((draws[2] < 0.5) | (clean is not None))
        gamma = torch.where(finished, gamma.new_tensor(float(self.pipeline.schedule.gamma_min)), gamma)
        text = SoftText.build(
            known_ids,
            spans.known_mask,
            spans.known_positions,
            spans.span_positions,
            spans.span_mask,
            probs,
            self.pad_id,
        )
        length = text.ids.shape[1]
        known_at = spans.known_positions.masked_fill(~spans.known_mask, length)
        tags = torch.full((len(rows), length + 1), UNKNOWN).scatter(1, known_at, known_tags)[:, :length]
        tags = tags.masked_fill(text.is_span, 0) + text.scatter(span_tags.masked_fill(~spans.span_mask, 0))
        tags = tags.masked_fill(~text.mask, UNKNOWN)
        return ReaderBatch(text, gamma, self.labels[rows], tags, shown)

    def _rows(self, task: str, rng: np.random.Generator, size: int) -> np.ndarray:
        """Rows of about one length where that saves padding."""
        width = self.limit if task != INFILL else max(8, int(self.lengths.mean()))
        count = max(1, size * self.settings.tokens_per_batch // width)
        drawn = rng.integers(len(self), size=4 * count)
        order = drawn[np.argsort(self.lengths[drawn], kind="stable")]
        start = int(rng.integers(4)) * count
        return order[start : start + count]

    @torch.no_grad()
    def _posterior(
        self, spans: SpanBatch, generator: torch.Generator, u: float | None, plain: bool
    ) -> tuple[Tensor, Tensor]:
        """Noise levels (B,) and the token posteriors (B, L, V) there, the denoiser's or (``plain``) each token's own."""
        denoiser, schedule = self.pipeline.denoiser, self.pipeline.schedule
        device, rows = denoiser.device, len(spans.span_ids)
        progress = draw_progress(rows, generator) if u is None else torch.full((rows,), u)
        gamma = schedule.gamma(progress).float()
        spans = spans.to(device)
        context = {name: value for name, value in spans.tensors().items() if name.startswith(("known_", "prompt_"))}
        clean = denoiser.embed(spans.span_ids)
        noise = torch.randn(clean.shape, generator=generator).to(device)
        latents, level = diffuse(clean, noise, gamma.to(device)), gamma.to(device)
        barred = torch.zeros(1, 1, denoiser.config.vocab_size, dtype=torch.bool, device=device)
        barred[..., self.pad_id] = True
        barred = barred & ~spans.open_mask[..., None]
        if plain:
            likelihood = token_log_likelihood(latents, denoiser.unit_embeddings(), level)
            logits = likelihood + self.log_frequency.to(device)
            return gamma, logits.masked_fill_(barred, -torch.inf).softmax(-1).float().cpu()
        memory = self.step_module.memory(**context)

        def posterior(estimate: Tensor | None, level: Tensor, latents: Tensor) -> Tensor:
            logits = denoiser(
                latents,
                level,
                memory,
                estimate,
                spans.span_mask,
                spans.span_positions,
                spans.open_mask,
                temperature=self.pipeline.temperature,
            ).logits
            return logits.masked_fill_(barred, -torch.inf).softmax(-1)

        estimate = None
        if float(torch.rand((), generator=generator)) < self.settings.self_condition_share:
            estimate = denoiser.clean_estimate(posterior(None, level, latents))
        return gamma, posterior(estimate, level, latents).float().cpu()


def _look_up(flat: Tensor, places: Tensor, offset: Tensor, fill: int) -> Tensor:
    return flat[(places + offset).clamp_min(0)].masked_fill(places < 0, fill)


def token_tags(example: Example, offsets: Sequence[tuple[int, int]], names: Sequence[str]) -> np.ndarray:
    """Label number of each token (n,); `UNKNOWN` where nothing is known.

    Args:
        example: with typed character spans, or none.
        offsets: characters of each token in ``" " + text``.
        names: of the labels; with "O" among them, it is the label of what no span covers.

    Raises:
        ValueError: if a span has a type that is no label.
    """
    outside = names.index(OUTSIDE) if OUTSIDE in names else UNKNOWN
    tags = np.full(len(offsets), UNKNOWN if example.spans is None else outside, dtype=np.int64)
    if not names:
        return tags
    text = " " + example.text
    ends = [last for _, last in offsets]
    for start, end, kind in example.spans or ():
        if kind not in names:
            raise ValueError(f"The span type {kind!r} is none of the token labels {list(names)}.")
        for i in range(bisect_right(ends, start + 1), len(offsets)):
            first, last = offsets[i]
            while first < last - 1 and text[first].isspace():  # a token's leading space belongs to no span
                first += 1
            if first > end:
                break
            tags[i] = names.index(kind)
    return tags


def label_names(examples: Sequence[Example]) -> tuple[list[str], list[str]]:
    """Labels of texts and of tokens that occur, sorted; "O" first among those of tokens."""
    texts = sorted({name for example in examples for name in example.labels})
    types = {kind for example in examples for _, _, kind in example.spans or ()}
    return texts, [OUTSIDE, *sorted(types - {OUTSIDE})] if types else []


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
        on_log: receives the step and mean losses.

    Raises:
        ValueError: if there is nothing to learn.
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
            known = denoiser.unit_embeddings().cpu()
            mix = torch.randn(known.shape[1], reader.config.hidden_size) * known.shape[1] ** -0.5
            reader.table.copy_(0.8 * known @ mix + 0.2 * torch.randn_like(reader.table))
            if reader.pool is not None:
                rates = texts.labels.nanmean(0).nan_to_num(0.5).clamp(0.01, 0.99)
                reader.pool.bias.copy_(rates.logit())
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
        losses = reader_loss(reader, _on(texts.batch(step, plain=plain), reader.device), settings.token_weight)
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


def _on(batch: ReaderBatch, device: torch.device) -> ReaderBatch:
    if device.type == "cpu":
        return batch
    tensors = {name: value.to(device) for name, value in vars(batch.text).items() if isinstance(value, Tensor)}
    text = SoftText(**tensors, pad_id=batch.text.pad_id)
    return ReaderBatch(
        text, batch.gamma.to(device), batch.labels.to(device), batch.token_labels.to(device), batch.clean.to(device)
    )


@torch.no_grad()
def evaluate_reader(
    reader: Reader,
    pipeline: DiffusionLMPipeline,
    examples: Sequence[Example],
    levels: Sequence[float | None] = (None, 0.25, 0.5, 0.75),
    batches: int = 8,
    tokens_per_batch: int = 1024,
) -> dict[str, dict[str, float]]:
    """How well a reader reads held-out whole texts.

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
            batch = _on(texts.batch(step, level or 0.5, level is None, _EVALUATION), reader.device)
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
