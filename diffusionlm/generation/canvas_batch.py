"""Rows laid out side by side: masks, positions, forbidden tokens, memory, noise and token posterior of one batch.

Shape letters: B rows, L span positions, V vocabulary, D embedding size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from diffusionlm.denoiser import CANVAS, PROMPT, ContextMemory
from diffusionlm.generation.results import Sample

if TYPE_CHECKING:
    from collections.abc import Sequence

    from diffusionlm.denoiser import SpanDenoiser
    from diffusionlm.generation.requests import Row
    from diffusionlm.spans import Canvas, CanvasLayout
    from diffusionlm.text import TextTokenizer

_NOISE_STREAM = 0x5EED  # keeps the noise apart from whatever else is drawn from the same seed


class CanvasBatch:
    """B rows on one device.

    Args:
        rows: what to write.
        layouts: the canvas of each row in tokens.
        copies: candidates of each row, which stand side by side and have noise of their own.
        denoiser: the network.
        tokenizer: its tokenizer.

    Attributes:
        rows, layouts: with copies.
        span_mask, positions, open_mask: (B, L).
        forbidden: (B, L, V) bool, tokens that may not stand at a position; unused positions allow pad alone.
    """

    def __init__(
        self,
        rows: list[Row],
        layouts: list[CanvasLayout],
        copies: int,
        denoiser: SpanDenoiser,
        tokenizer: TextTokenizer,
    ) -> None:
        self.rows = [row for row in rows for _ in range(copies)]
        self.layouts = [layout for layout in layouts for _ in range(copies)]
        self.denoiser, self.tokenizer, self.device = denoiser, tokenizer, denoiser.device
        self._generators = [_noise_generator(row.seed, i % copies) for i, row in enumerate(self.rows)]
        count, longest, vocabulary = len(self.rows), max(layout.length for layout in layouts), tokenizer.vocabulary
        span_mask = torch.zeros(count, longest, dtype=torch.bool)
        positions = torch.zeros(count, longest, dtype=torch.long)
        open_mask = torch.zeros(count, longest, dtype=torch.bool)
        forbidden = torch.ones(count, longest, len(vocabulary), dtype=torch.bool)
        forbidden[..., vocabulary.pad_id] = False
        known: dict[Canvas, Tensor] = {}
        for i, layout in enumerate(self.layouts):
            n = layout.length
            span_mask[i, :n] = True
            positions[i, :n] = layout.span_positions
            open_mask[i, :n] = layout.open_mask
            if layout.canvas not in known:
                known[layout.canvas] = ~layout.allowed(tokenizer)
            forbidden[i, :n] = known[layout.canvas]
        self.span_mask, self.positions = span_mask.to(self.device), positions.to(self.device)
        self.open_mask, self.forbidden = open_mask.to(self.device), forbidden.to(self.device)

    def __len__(self) -> int:
        return len(self.rows)

    def draw_noise(self) -> Tensor:
        """Standard normal (B, L, D), each row from its own generator; rows draw for their own positions only."""
        dim = self.denoiser.config.embedding_size
        out = torch.zeros(len(self), self.span_mask.shape[1], dim)
        for row, layout, generator in zip(out, self.layouts, self._generators, strict=True):
            row[: layout.length] = torch.randn(layout.length, dim, generator=generator)
        return out.to(self.device)

    def encode(self, with_prompt: bool = True) -> ContextMemory | None:
        """Memory of prompts and known text, or None where no row has any; each distinct input is encoded once.

        Raises:
            ValueError: if a prompt is too long.
        """
        prompts = [row.prompt if with_prompt else "" for row in self.rows]
        by_key = {
            (prompt, row.canvas): layout for prompt, row, layout in zip(prompts, self.rows, self.layouts, strict=True)
        }
        keys = list(by_key)
        memories = []
        ids = [torch.tensor(self.tokenizer.encode(prompt) if prompt else [], dtype=torch.long) for prompt, _ in keys]
        limit = 2 * self.denoiser.config.max_position_embeddings
        if any(len(row) > limit for row in ids):
            raise ValueError(f"The prompt has {max(map(len, ids))} tokens, at most {limit} are allowed.")
        if any(map(len, ids)):
            memories.append(self._memory(ids, [torch.arange(-len(row), 0) for row in ids], PROMPT))
        known = list(by_key.values())
        if any(len(layout.known_ids) for layout in known):
            at = [layout.known_positions for layout in known]
            memories.append(self._memory([layout.known_ids for layout in known], at, CANVAS))
        if not memories:
            return None
        index = {key: i for i, key in enumerate(keys)}
        wanted = [index[(prompt, row.canvas)] for prompt, row in zip(prompts, self.rows, strict=True)]
        return ContextMemory.concat(memories).select(torch.tensor(wanted, device=self.device))

    def samples(
        self, ids: Tensor, chosen: Sequence[int], certificates: Sequence[dict[str, bool]] | None = None
    ) -> list[Sample]:
        """What was written.

        Args:
            ids: tokens (B, L).
            chosen: the rows that are returned.
            certificates: of each of the B rows.
        """
        out = []
        for row in chosen:
            layout = self.layouts[row]
            tokens = ids[row, : layout.length].tolist()
            text, written = layout.assemble(tokens, self.tokenizer)
            spans = layout.span_ids(tokens, self.tokenizer.pad_id)
            out.append(Sample(text, written, spans, self.rows[row].seed, certificates[row] if certificates else {}))
        return out

    def _memory(self, ids: list[Tensor], positions: list[Tensor], segment: int) -> ContextMemory:
        padded = pad_sequence(ids, batch_first=True, padding_value=self.tokenizer.pad_id)
        mask = torch.arange(padded.shape[1]) < torch.tensor([len(row) for row in ids])[:, None]
        at = pad_sequence(positions, batch_first=True)
        device = self.device
        return self.denoiser.encode_context(padded.to(device), None, mask.to(device), at.to(device), segment)


class TokenPosterior:
    """What the denoiser says of a batch. The memory is encoded once, and once more where the prompt is left out.

    Args:
        batch: the rows.
        temperature: of the choice among words.
    """

    def __init__(self, batch: CanvasBatch, temperature: float) -> None:
        self.batch, self.temperature = batch, temperature
        self._memories = {False: batch.encode()}

    def __call__(self, z: Tensor, gamma: Tensor, estimate: Tensor | None, without_prompt: bool = False) -> Tensor:
        """Log-probabilities (B, L, V); tokens that may not stand at a position have -inf.

        Args:
            z: noisy embeddings (B, L, D).
            gamma: noise level.
            estimate: the previous clean estimate (B, L, D), if there is one.
            without_prompt: as if there were no prompt.
        """
        batch = self.batch
        if without_prompt and True not in self._memories:
            self._memories[True] = batch.encode(with_prompt=False)
        logits = batch.denoiser(
            z,
            gamma,
            self._memories[without_prompt],
            estimate,
            batch.span_mask,
            batch.positions,
            batch.open_mask,
            temperature=self.temperature,
        ).logits
        return logits.masked_fill_(batch.forbidden, -torch.inf).log_softmax(-1)  # no copy of (B, L, V)


def _noise_generator(seed: int, copy: int) -> torch.Generator:
    state = np.random.SeedSequence((seed, _NOISE_STREAM, copy)).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))
