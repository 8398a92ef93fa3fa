"""Neighbours of training texts, for a model that learns to read retrieved passages.

Source: Borgeaud et al. 2022 (RETRO), section 4.2 ("RETRO-fitting"): a trained model learns in few steps to use neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from diffusionlm.training.corpus import TokenCorpus


@dataclass(frozen=True)
class Neighbours:
    """Other texts under the same prompt: several descriptions of one place, which state the same facts.

    Attributes:
        corpus: where texts come from.
        k: most neighbours of a text; a batch has 1 to k.
        share: how often a batch has neighbours.

    Raises:
        ValueError: if a value is out of range, or no two texts have one prompt.
    """

    corpus: TokenCorpus
    k: int = 2
    share: float = 0.7

    def __post_init__(self) -> None:
        if isinstance(self.k, bool) or not isinstance(self.k, int) or self.k < 1:
            raise ValueError(f"data.retrieve: k must be an integer of at least 1, got {self.k!r}.")
        if isinstance(self.share, bool) or not isinstance(self.share, int | float) or not 0 < self.share <= 1:
            raise ValueError(f"data.retrieve: share must lie in (0, 1], got {self.share!r}.")
        if not self._groups:
            raise ValueError(
                "data.retrieve: no two texts of the corpus have the same prompt, so no text has a neighbour; give data with "
                "prompts (data.prompt_field), several texts to a prompt."
            )

    @classmethod
    def from_settings(cls, settings: Any, corpus: TokenCorpus) -> Neighbours:
        """From ``data.retrieve``: a number of neighbours, or a mapping with k and share.

        Raises:
            ValueError: for anything else.
        """
        given = dict(settings) if isinstance(settings, dict) else {"k": settings}
        for name in given:
            if name not in ("k", "share"):
                raise ValueError(f"There is no setting 'data.retrieve.{name}'; there are: k, share.")
        return cls(corpus, **given)

    @cached_property
    def _groups(self) -> dict[bytes, np.ndarray]:
        groups: dict[bytes, list[int]] = {}
        for i in np.flatnonzero(self.corpus.has_prompt).tolist():
            groups.setdefault(self.corpus.prompt(i).tobytes(), []).append(i)
        return {prompt: np.array(rows) for prompt, rows in groups.items() if len(rows) > 1}

    def draw(self, texts: np.ndarray, rng: np.random.Generator) -> list[list[np.ndarray]]:
        """Token ids of the neighbours of each text (B,), none for a text that is alone; never the text itself.

        A text with the very same words as its neighbour is left out: copying it would teach nothing.
        """
        count = int(rng.integers(1, self.k + 1))
        out = []
        for i in texts.tolist():
            others = self._groups.get(self.corpus.prompt(i).tobytes(), np.zeros(0, dtype=np.int64))
            drawn = rng.permutation(others)
            own = self.corpus.text(i)
            found = [text for j in drawn if j != i and not np.array_equal(text := self.corpus.text(j), own)]
            out.append(found[:count])
        return out
