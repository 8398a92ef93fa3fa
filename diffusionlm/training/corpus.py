"""`TokenCorpus`: a tokenised corpus in flat arrays, ready to be drawn from at random."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from diffusionlm.training.media_rows import Media, join

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from diffusionlm.text import TextTokenizer

_CHUNK = 10_000  # texts that are tokenised at once


@dataclass(frozen=True)
class TokenCorpus:
    """Token ids of N texts and of their prompts, end to end.

    Attributes:
        ids: (sum of lengths,) int32, all texts.
        offsets: (N + 1,) where each text starts.
        prompt_ids: as ``ids``, all prompts; a text without one has an empty prompt.
        prompt_offsets: (N + 1,).
        source: (N,) which source each text is from; None where there are no shares.
        shares: each source's share of the draws; empty: all texts are drawn equally often.
        left_out: texts that were too long or empty.
        media: images and sounds of the texts; None where there are none.
    """

    ids: np.ndarray
    offsets: np.ndarray
    prompt_ids: np.ndarray
    prompt_offsets: np.ndarray
    source: np.ndarray | None = None
    shares: tuple[float, ...] = ()
    left_out: int = 0
    media: Media | None = None

    @classmethod
    def from_pairs(
        cls,
        pairs: Iterable[tuple[str, str]],
        tokenizer: TextTokenizer,
        max_length: int,
        max_prompt_length: int = 128,
        name: str = "the corpus",
    ) -> TokenCorpus:
        """Tokenises (prompt, text) pairs; texts of no or more than ``max_length`` tokens are left out, prompts are cut.

        Raises:
            ValueError: if no text is left.
        """
        texts: list[np.ndarray] = []
        prompts: list[np.ndarray] = []
        total, stream = 0, iter(pairs)
        while chunk := list(islice(stream, _CHUNK)):
            total += len(chunk)
            encoded = tokenizer.encode_batch([text for _, text in chunk])
            encoded_prompts = tokenizer.encode_prompts([prompt for prompt, _ in chunk], max_prompt_length)
            for (prompt, _), ids, prompt_ids in zip(chunk, encoded, encoded_prompts, strict=True):
                if 0 < len(ids) <= max_length:
                    texts.append(np.array(ids, dtype=np.int32))
                    prompts.append(np.array(prompt_ids if prompt else [], dtype=np.int32))
        if not texts:
            raise ValueError(
                f"None of the {total} texts of {name} has 1 to {max_length} tokens; "
                "check the corpus or raise data.max_length."
            )
        return cls(*_flatten(texts), *_flatten(prompts), left_out=total - len(texts))

    @classmethod
    def mix(cls, corpora: Sequence[TokenCorpus], weights: Sequence[float] | None = None) -> TokenCorpus:
        """Several corpora as one.

        Args:
            corpora: at least one.
            weights: how often each is drawn from, relative to the others; None draws all texts equally often.
        """
        if len(corpora) == 1:
            return corpora[0]
        lists = [[c.ids for c in corpora], [c.prompt_ids for c in corpora]]
        lengths = [[c.lengths for c in corpora], [np.diff(c.prompt_offsets) for c in corpora]]
        offsets = [np.concatenate(([0], np.cumsum(np.concatenate(part)))) for part in lengths]
        source: np.ndarray | None = None
        shares: tuple[float, ...] = ()
        if weights is not None:
            source = np.repeat(np.arange(len(corpora), dtype=np.int16), [len(c) for c in corpora])
            shares = tuple(float(weight) / float(sum(weights)) for weight in weights)
        left_out = sum(c.left_out for c in corpora)
        media = join([(c.media, len(c)) for c in corpora])
        ids, prompt_ids = (np.concatenate(part) for part in lists)
        return cls(ids, offsets[0], prompt_ids, offsets[1], source, shares, left_out, media)

    def select(self, rows: np.ndarray) -> TokenCorpus:
        """The texts at ``rows`` as a corpus of their own."""
        source = None if self.source is None else self.source[rows]
        texts, prompts = [self.text(i) for i in rows], [self.prompt(i) for i in rows]
        media = None if self.media is None else self.media.select(rows)
        return TokenCorpus(*_flatten(texts), *_flatten(prompts), source, self.shares, media=media)

    def hold_out(self, share: float, seed: int) -> tuple[TokenCorpus, TokenCorpus]:
        """Splits off a random ``share`` of the texts: (the rest, those held out). The rest remembers what was left out.

        Raises:
            ValueError: if one of the two would be empty.
        """
        count = round(share * len(self))
        if not 0 < count < len(self):
            raise ValueError(
                f"data.holdout = {share} of {len(self)} texts leaves nothing to train or to validate on; "
                "choose another share, or 0 to go without validation."
            )
        order = np.random.default_rng(seed).permutation(len(self))
        rest = replace(self.select(np.sort(order[count:])), left_out=self.left_out)
        return rest, self.select(np.sort(order[:count]))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def lengths(self) -> np.ndarray:
        """(N,) tokens of each text."""
        return np.diff(self.offsets)

    @cached_property
    def has_prompt(self) -> np.ndarray:
        """(N,) bool."""
        return np.diff(self.prompt_offsets) > 0

    def text(self, i: int) -> np.ndarray:
        """Ids of text ``i``."""
        return self.ids[self.offsets[i] : self.offsets[i + 1]]

    def prompt(self, i: int) -> np.ndarray:
        """Ids of the prompt of text ``i``."""
        return self.prompt_ids[self.prompt_offsets[i] : self.prompt_offsets[i + 1]]


def _flatten(lists: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.zeros(len(lists) + 1, dtype=np.int64)
    np.cumsum([len(ids) for ids in lists], out=offsets[1:])
    return np.concatenate([np.zeros(0, dtype=np.int32), *lists]), offsets
