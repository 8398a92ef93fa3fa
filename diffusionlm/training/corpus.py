"""`TokenCorpus`: a tokenised corpus in flat arrays, ready to be drawn from at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from diffusionlm.text import TextTokenizer


@dataclass(frozen=True)
class TokenCorpus:
    """Token ids of N texts and of their prompts, end to end.

    Attributes:
        ids: (sum of lengths,) int32, all texts.
        offsets: (N + 1,) where each text starts.
        prompt_ids: as ``ids``, all prompts; a text without one has an empty prompt.
        prompt_offsets: (N + 1,).
    """

    ids: np.ndarray
    offsets: np.ndarray
    prompt_ids: np.ndarray
    prompt_offsets: np.ndarray

    @classmethod
    def from_pairs(
        cls, pairs: Sequence[tuple[str, str]], tokenizer: TextTokenizer, max_length: int, max_prompt_length: int = 128
    ) -> TokenCorpus:
        """Tokenises (prompt, text) pairs; texts of no or more than ``max_length`` tokens are left out, prompts are cut.

        Raises:
            ValueError: if no text is left.
        """
        texts = tokenizer.encode_batch([text for _, text in pairs])
        prompts = tokenizer.encode_batch([prompt for prompt, _ in pairs])
        kept = [i for i, ids in enumerate(texts) if 0 < len(ids) <= max_length]
        if not kept:
            raise ValueError(f"None of the {len(pairs)} texts has 1 to {max_length} tokens; check the corpus or raise max_length.")
        chosen = [prompts[i][:max_prompt_length] if pairs[i][0] else [] for i in kept]
        return cls(*_flatten([texts[i] for i in kept]), *_flatten(chosen))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """(N,) tokens of each text."""
        return np.diff(self.offsets)

    @property
    def has_prompt(self) -> np.ndarray:
        """(N,) bool."""
        return np.diff(self.prompt_offsets) > 0

    def text(self, i: int) -> np.ndarray:
        """Ids of text ``i``."""
        return self.ids[self.offsets[i] : self.offsets[i + 1]]

    def prompt(self, i: int) -> np.ndarray:
        """Ids of the prompt of text ``i``."""
        return self.prompt_ids[self.prompt_offsets[i] : self.prompt_offsets[i + 1]]


def _flatten(lists: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.zeros(len(lists) + 1, dtype=np.int64)
    np.cumsum([len(ids) for ids in lists], out=offsets[1:])
    flat = np.fromiter((token for ids in lists for token in ids), dtype=np.int32, count=int(offsets[-1]))
    return flat, offsets
