"""`Bigrams`: a bigram model of the training text beside the diffusion model, which draws neighbours side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from diffusionlm.guidance.bigrams.tables import BigramTables, Information, load_information
from diffusionlm.guidance.engine.composition import as_composition
from diffusionlm.guidance.guidance import Guidance
from diffusionlm.guidance.registry.plugins import register
from diffusionlm.guidance.state import GuidanceState
from diffusionlm.guidance.syntax.words import longest_first

if TYPE_CHECKING:
    from diffusionlm.spans import CanvasLayout
    from diffusionlm.text import Vocabulary

READER = "bigrams"


@register("bigrams")
class Bigrams(Guidance):
    """Keeps tokens beside each other that stand beside each other in the model's training text.

    A diffusion model draws the tokens of a step side by side, each from its own posterior, so that neighbours may not fit
    ("a pub restaurant", "friendlyfriendly"). A bigram model knows neighbours and nothing else; the product of both (Hinton
    2002, "Training products of experts by minimizing contrastive divergence", eq. 1) with weight w on its pointwise mutual
    information is what is drawn from: E(q) = -sum_i <q_i, M q_i+1>, M_xy = log p(y | x) / p(y). Known text beside a span
    is a neighbour too; that behind a gap is the neighbour of the token that ends it. The end of a text is a token.

    Args:
        texts: count in these; they are cut into the model's tokens longest first, as byte-level BPE mostly does.
        tables: folder of counts (`BigramTables`). With neither, those that belong to the model.

    Raises:
        FileNotFoundError: if the model has none; they are counted by ``diffusionlm guides --for CHECKPOINT --only bigrams``.
        ValueError: if they are damaged or of another vocabulary, or if both texts and tables are given.

    Example:
        >>> pipe(prompt="name[The Mill]", guidance=["bigrams", {"pii": {}}]).texts  # doctest: +SKIP
    """

    reference = "Hinton 2002, Training products of experts by minimizing contrastive divergence"

    texts: Sequence[str] | None = None
    tables: str | Path | None = None

    weight: float = 0.5
    window: tuple[float, float] = (0.5, 0.0)  # acting from noise on, it makes texts alike and costs more
    budget: float | None = 4.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.texts, str):
            raise ValueError(f"Bigrams counts in a list of texts, got the text {self.texts[:40]!r}; give texts=[...].")
        if self.texts is not None and self.tables is not None:
            raise ValueError("Bigrams counts in texts or reads tables; give one of them.")

    @classmethod
    def example(cls) -> Bigrams:
        """Two texts."""
        return cls(texts=["The mill is near the river.", "Good food near the mill."])

    def bind(self, vocabulary: Vocabulary) -> None:
        """Finds the counts, or counts."""
        self.pad = vocabulary.pad_id
        self.places: dict[CanvasLayout, _Places] = {}  # of this call, found once whatever the number of steps
        if self.texts is not None:
            tokens = {surface: token for token, surface in enumerate(vocabulary.surfaces) if surface}
            cut = [[t for t in longest_first(f" {text}".encode(), tokens) if t is not None] for text in self.texts]
            self.table = Information.of(BigramTables.count(cut, vocabulary, {}))
            return
        self.table = load_information(str(_folder(vocabulary, self.tables)), vocabulary.of_the_model)

    def energy(self, state: GuidanceState) -> Tensor:
        """Expected mutual information of all neighbours, negated (B,), in nats."""
        own = state.probs * state.span_mask[..., None]
        size, length, tokens = own.shape
        table = self.table.on(own.device)
        beside = torch.zeros(size, max(0, length - 1), device=own.device, dtype=own.dtype)
        behind = torch.full((size, length), self.pad, device=own.device)
        known = torch.zeros(size, device=own.device, dtype=own.dtype)
        places = [self._on(layout) for layout in state.layouts]
        for row, place in enumerate(places):
            beside[row, : len(place.beside)] = torch.tensor(place.beside, dtype=own.dtype)
            behind[row, : len(place.behind)] = torch.tensor([self.pad if k is None else k for k in place.behind])
        gap = (behind != self.pad).to(own)[..., None]
        is_pad = torch.zeros(tokens, device=own.device, dtype=own.dtype)
        is_pad[self.pad] = 1.0
        first = own * (1 - is_pad * gap)  # what stands behind a token that ends a gap is the known text behind the gap
        second = first.scatter_add(-1, behind[..., None], own[..., self.pad, None] * gap)
        for row, place in enumerate(places):
            for k, token in place.before:
                known[row] += table.behind(token, first[row, k])
            for k, token in place.last:
                known[row] += table.before(token, first[row, k])
        follows = table.follows(second[:, 1:].reshape(-1, tokens)).reshape(size, -1, tokens)
        return -((first[:, :-1] * follows).sum(-1) * beside).sum(-1) - known

    def _on(self, layout: CanvasLayout) -> _Places:
        if layout not in self.places:
            self.places[layout] = _places(layout)
        return self.places[layout]


@dataclass(frozen=True)
class _Places:
    """Neighbours of L span positions.

    Attributes:
        beside: (L - 1) 1.0 where a position and the next are neighbours.
        behind: (L) the known token behind each position's span, None where the text ends with it.
        before: (position, known token before it) of the first positions of spans.
        last: (position, known token behind it) of the last positions of spans.
    """

    beside: list[float]
    behind: list[int | None]
    before: list[tuple[int, int]]
    last: list[tuple[int, int]]


def _places(layout: CanvasLayout) -> _Places:
    """Neighbours on a canvas."""
    ids = dict(zip(layout.known_positions.tolist(), layout.known_ids.tolist(), strict=True))
    places, spans = layout.span_positions.tolist(), layout.span_index.tolist()
    ends = {span: place for place, span in zip(places, spans, strict=True)}
    return _Places(
        [float(b - a == 1) for a, b in pairwise(places)],
        [ids.get(ends[span] + 1) for span in spans],
        [(k, ids[place - 1]) for k, place in enumerate(places) if place - 1 in ids],
        [(k, ids[place + 1]) for k, place in enumerate(places) if place + 1 in ids],
    )


def names_bigrams(guidance: Any) -> bool:
    """Whether guidance, in any form that the pipeline takes, has a bigram model of its own."""
    return any(isinstance(plugin, Bigrams) for plugin in as_composition(guidance).plugins)


def _folder(vocabulary: Vocabulary, tables: str | Path | None) -> Path:
    if tables is not None:
        return Path(tables)
    from diffusionlm.guidance.classifiers.store import find_reader

    try:
        return find_reader(READER, vocabulary)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"There are no counts of neighbours for this model's vocabulary of {len(vocabulary)} tokens. Make them with: "
            "diffusionlm guides --for CHECKPOINT --only bigrams. pipe.bigrams = 0 does without."
        ) from None
