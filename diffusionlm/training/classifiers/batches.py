"""Batches for readers: labelled texts as the token posterior of a denoising step shows them.

Every batch does to labelled texts what sampling does to its canvas: spans are drawn, their embeddings are noised to a level
of the pipeline's schedule (their tokens hidden, where the model masks), and the pipeline's denoiser says its posterior. A share
of the rows shows the true tokens instead (finished text), and parts of texts are known. Batches are a function of (seed, step).

Shape letters: B rows, N positions, L span positions, V vocabulary, S and T labels.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from diffusionlm.diffusion import diffuse, draw_progress, token_log_likelihood
from diffusionlm.guidance.classifiers.reader import OUTSIDE
from diffusionlm.guidance.classifiers.soft_text import SoftText
from diffusionlm.training.batches import SpanBatch, collate
from diffusionlm.training.classifiers.labelled import Example
from diffusionlm.training.classifiers.masked import masked_posterior
from diffusionlm.training.classifiers.settings import PLAIN_SIZE, ReaderSettings
from diffusionlm.training.step import TrainingStep
from diffusionlm.training.tasks import INFILL, PREFIX, WHOLE, draw_infill, draw_prefix, draw_whole

if TYPE_CHECKING:
    from diffusionlm.pipeline import DiffusionLMPipeline

UNKNOWN = -100  # of a token's label, as in cross_entropy


@dataclass(frozen=True)
class ReaderBatch:
    """A batch that a reader learns from.

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

    def to(self, device: torch.device) -> ReaderBatch:
        """The same on a device."""
        if device.type == "cpu":
            return self
        tensors = {name: value.to(device) for name, value in vars(self.text).items() if isinstance(value, Tensor)}
        text = SoftText(**tensors, pad_id=self.text.pad_id)
        return ReaderBatch(
            text, self.gamma.to(device), self.labels.to(device), self.token_labels.to(device), self.clean.to(device)
        )


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
        self.step_module = TrainingStep(pipeline.denoiser) if pipeline.model.process == "gaussian" else None
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
        if self.pipeline.model.process != "gaussian":
            share = float(torch.rand((), generator=generator)) if u is None else u
            prior = self.log_frequency if plain else None
            gamma, posterior = masked_posterior(self.pipeline, spans, generator, share, prior)
            return gamma.expand(len(spans.span_ids)), posterior
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
        assert self.step_module is not None
        memory = self.step_module.memory(**context)

        def said(estimate: Tensor | None, level: Tensor, latents: Tensor) -> Tensor:
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
            estimate = denoiser.clean_estimate(said(None, level, latents))
        return gamma, said(estimate, level, latents).float().cpu()


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
