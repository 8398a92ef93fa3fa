"""The likelihood bound of whole texts under a pipeline, in nats by text and by token, with its standard error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from rich.progress import Progress
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from diffusionlm.denoiser import PROMPT, ContextMemory, SpanDenoiser
from diffusionlm.diffusion import likelihood_bound, masked_bound
from diffusionlm.pipeline import DiffusionLMPipeline


@dataclass(frozen=True)
class TextNats:
    """Negative log-likelihood of texts, or a bound on it.

    Attributes:
        nats: of each text with its end.
        tokens: of each text and 1 for its end. A diffusion model ends a text by a tail of pad tokens whose nats all
            count, an autoregressive model by one end token: counted alike, both figures by token are comparable.
    """

    nats: tuple[float, ...]
    tokens: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.nats or len(self.nats) != len(self.tokens):
            raise ValueError(f"TextNats holds one figure for each text, got {len(self.nats)} and {len(self.tokens)}.")

    @property
    def per_text(self) -> tuple[float, float]:
        """Mean nats of a text, and the standard error of the mean over texts."""
        values = np.array(self.nats)
        return float(values.mean()), _standard_error(values)

    @property
    def per_token(self) -> tuple[float, float]:
        """All nats ÷ all tokens, and its standard error (of a ratio, to first order; Cochran 1977, section 2.11)."""
        nats, tokens = np.array(self.nats), np.array(self.tokens)
        ratio = nats.sum() / tokens.sum()
        return float(ratio), _standard_error(nats - ratio * tokens) / float(tokens.mean())

    def minus(self, other: TextNats) -> TextNats:
        """Difference in cost of these texts from ``other``: paired, so that the standard error is that of the difference.

        Raises:
            ValueError: other texts, or other tokens.
        """
        if self.tokens != other.tokens:
            raise ValueError("Nats are subtracted for the same texts in the same tokens; these differ.")
        return TextNats(tuple(a - b for a, b in zip(self.nats, other.nats, strict=True)), self.tokens)

    def to_dict(self) -> dict[str, Any]:
        """The means and their standard errors, ready for `json.dumps`."""
        by_text, by_token = self.per_text, self.per_token
        return {
            "nats_per_text": by_text[0],
            "nats_per_text_standard_error": by_text[1],
            "nats_per_token": by_token[0],
            "nats_per_token_standard_error": by_token[1],
            "tokens_per_text": sum(self.tokens) / len(self.tokens),
            "texts": len(self.nats),
        }


def bits_a_character(bounds: TextNats, texts: Sequence[str]) -> tuple[float, float]:
    """All bits ÷ all characters, and its standard error: comparable between vocabularies.

    Raises:
        ValueError: another number of texts than figures.
    """
    if len(texts) != len(bounds.nats):
        raise ValueError(
            f"There are {len(bounds.nats)} figures for {len(texts)} texts: give the texts that were bounded."
        )
    bits, characters = np.array(bounds.nats) / math.log(2), np.array([len(text) for text in texts])
    ratio = bits.sum() / characters.sum()
    return float(ratio), _standard_error(bits - ratio * characters) / float(characters.mean())


@torch.no_grad()
def text_bounds(
    pipe: DiffusionLMPipeline,
    texts: Sequence[str],
    *,
    num_levels: int = 32,
    max_length: int | None = None,
    self_conditioning: bool = True,
    batch_size: int = 32,
    seed: int = 0,
    progress: bool = False,
    prompts: Sequence[str] | None = None,
) -> TextNats:
    """Upper bound on -log p of each whole text, written from nothing or from a prompt; under a masked process its own bound.

    The canvas is the one on which the pipeline writes whole texts: one open span of ``max_length`` positions, whose
    tail is pad. The pads are part of what is bounded. One text has several spellings in tokens; the tokenizer's own is
    bounded, so this is a bound on the text too.

    Args:
        pipe: the pipeline; its network and schedule are used.
        texts: natural text.
        num_levels: noise levels drawn for each text; see `diffusionlm.diffusion.likelihood_bound`.
        max_length: positions of the canvas; the pipeline's if None.
        self_conditioning: two passes at each level, the second with the clean estimate of the first. Any function of
            the noisy text gives a valid bound.
        batch_size: texts at once.
        seed: of the noise.
        progress: show a progress bar.
        prompts: one for each text, "" for none; None: all are written from nothing.

    Returns:
        One figure for each text, in order. Its Monte Carlo noise is independent between texts: standard errors over
        texts contain it.

    Raises:
        ValueError: no texts, an empty one, one that does not fit the canvas with its end, or another number of prompts.
        TypeError: one string in the place of a list.
    """
    limit = pipe.max_length if max_length is None else max_length
    allowed = pipe.model.max_length
    if not 1 <= limit <= allowed:
        raise ValueError(f"max_length must lie in 1..{allowed}, got {limit}.")
    if isinstance(texts, str):
        raise TypeError("text_bounds takes a list of texts, got one string: wrap it in a list.")
    ids = pipe.tokenizer.encode_batch(list(texts))
    for text, tokens in zip(texts, ids, strict=True):
        if not text or len(tokens) > limit:
            raise ValueError(
                f"A text of {len(tokens)} tokens does not fit the canvas of 1 to {limit}: {text[:60]!r}. Leave it out "
                "for every model that is compared, or give a larger max_length if the model takes it."
            )
    if not ids:
        raise ValueError("There is no text to bound: give at least one.")
    if prompts is not None and len(prompts) != len(ids):
        raise ValueError(
            f"Give one prompt for each text, '' for none: there are {len(ids)} texts, {len(prompts)} prompts."
        )
    device = pipe.denoiser.device
    nats: list[float] = []
    with Progress(disable=not progress) as bar:
        task = bar.add_task("likelihood bound", total=len(ids))
        for start in range(0, len(ids), batch_size):
            part = ids[start : start + batch_size]
            rows = torch.full((len(part), limit), pipe.tokenizer.pad_id)
            for row, tokens in zip(rows, part, strict=True):
                row[: len(tokens)] = torch.tensor(tokens)
            rows = rows.to(device)
            everywhere = torch.ones_like(rows, dtype=torch.bool)
            memory = None if prompts is None else _prompt_memory(pipe, prompts[start : start + batch_size])
            own_seed = int(np.random.SeedSequence((seed, start)).generate_state(1)[0])
            if pipe.denoiser.config.process == "masked":
                nats += _masked_nats(pipe.denoiser, rows, memory, num_levels, self_conditioning, own_seed).tolist()
                bar.advance(task, len(part))
                continue
            denoise = partial(_denoise_twice if self_conditioning else _denoise_once, pipe.denoiser, everywhere, memory)
            generator = torch.Generator().manual_seed(own_seed)
            clean = pipe.denoiser.embed(rows)
            bound = likelihood_bound(denoise, clean, rows, everywhere, pipe.schedule, num_levels, generator)
            nats += bound.total.tolist()
            bar.advance(task, len(part))
    return TextNats(tuple(nats), tuple(len(tokens) + 1 for tokens in ids))


def _prompt_memory(pipe: DiffusionLMPipeline, prompts: Sequence[str]) -> ContextMemory | None:
    """Memory of the prompts of a batch, before position 0; None where all are empty."""
    ids = pipe.tokenizer.encode_batch([prompt or "-" for prompt in prompts])
    ids = [tokens if prompt else [] for tokens, prompt in zip(ids, prompts, strict=True)]
    longest = max(map(len, ids))
    if not longest:
        return None
    given = [torch.tensor(tokens, dtype=torch.long) for tokens in ids]
    rows = pad_sequence(given, batch_first=True, padding_value=pipe.tokenizer.pad_id)
    count = torch.tensor([len(tokens) for tokens in ids])[:, None]
    columns = torch.arange(longest)[None]
    device = pipe.denoiser.device
    mask, places = (columns < count).to(device), (columns - count).masked_fill(columns >= count, 0).to(device)
    return pipe.denoiser.encode_context(rows.to(device), None, mask, places, PROMPT)


def _masked_nats(
    denoiser: SpanDenoiser, rows: Tensor, memory: ContextMemory | None, levels: int, twice: bool, seed: int
) -> Tensor:
    """Nats (B,) of rows (B, L) under the masked process."""
    everywhere, clean = torch.ones_like(rows, dtype=torch.bool), denoiser.embed(rows)

    def logits_of(hidden: Tensor, gamma: Tensor) -> Tensor:
        seen, estimate = clean.masked_fill(hidden[..., None], 0.0), None
        for _ in range(1 + twice):
            logits = denoiser(seen, gamma, memory, estimate, everywhere, None, everywhere, likelihood_weight=0.0).logits
            estimate = denoiser.clean_estimate(logits.softmax(-1))
        return logits

    generators = [torch.Generator().manual_seed(seed + row) for row in range(len(rows))]
    return masked_bound(logits_of, rows, everywhere, levels, generators)


def _denoise_once(
    denoiser: SpanDenoiser,
    mask: Tensor,
    memory: ContextMemory | None,
    latents: Tensor,
    gamma: Tensor,
    estimate: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Logits and clean estimate of one open span over all positions."""
    logits = denoiser(latents, gamma, memory, estimate, mask, None, mask).logits
    return logits, denoiser.clean_estimate(logits.softmax(-1))


def _denoise_twice(
    denoiser: SpanDenoiser, mask: Tensor, memory: ContextMemory | None, latents: Tensor, gamma: Tensor
) -> tuple[Tensor, Tensor]:
    """As `_denoise_once`, the second time with the clean estimate of the first."""
    _, estimate = _denoise_once(denoiser, mask, memory, latents, gamma)
    return _denoise_once(denoiser, mask, memory, latents, gamma, estimate)


def _standard_error(values: np.ndarray) -> float:
    """Of the mean; NaN for a single value."""
    return float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.nan
