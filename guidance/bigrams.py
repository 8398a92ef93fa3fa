"""`Bigrams`: a bigram model of the training text beside the diffusion model, which draws neighbours side by side."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from diffusionlm.guidance.guidance import Guidance
from diffusionlm.guidance.registry.plugins import register
from diffusionlm.guidance.state import GuidanceState
from diffusionlm.guidance.syntax.store import load_counts, save_counts
from diffusionlm.guidance.syntax.words import longest_first

if TYPE_CHECKING:
    from diffusionlm.spans import CanvasLayout
    from diffusionlm.text import Vocabulary

READER = "bigrams"
PRIOR = 1.0  # occurrences that the unigram model counts for


@dataclass(frozen=True, eq=False)
class BigramTables:
    """Pairs of neighbouring tokens, counted; a text is followed by two pads.

    Attributes:
        fingerprint: of the vocabulary.
        num_tokens: V.
        pairs: (n, 2) int: token, token behind it.
        counts: (n,) how often they stand together.
        card: where the counts come from.
    """

    fingerprint: str
    num_tokens: int
    pairs: Tensor
    counts: Tensor
    card: dict[str, Any]

    @classmethod
    def count(cls, texts: Iterable[Sequence[int]], vocabulary: Vocabulary, card: dict[str, Any]) -> BigramTables:
        """Counts the pairs of tokenised texts.

        Raises:
            ValueError: if there is no text.
        """
        size, pad = len(vocabulary), vocabulary.pad_id
        keys = [torch.tensor([*ids, pad, pad]) for ids in texts if len(ids)]
        if not keys:
            raise ValueError("There is no text to count neighbours in.")
        found, counts = torch.unique(torch.cat([k[:-1] * size + k[1:] for k in keys]), return_counts=True)
        pairs = torch.stack([found // size, found % size], 1)
        return cls(vocabulary.fingerprint, size, pairs, counts.double(), card)

    def save(self, folder: str | Path) -> None:
        """Writes the folder that `load` and `find_reader` know."""
        config = {"vocabulary_fingerprint": self.fingerprint, "num_tokens": self.num_tokens, "card": self.card}
        save_counts(folder, {"pairs": self.pairs.int(), "counts": self.counts.int()}, config)

    @classmethod
    def load(cls, folder: Path) -> BigramTables:
        """Tables from a folder.

        Raises:
            ValueError: if it is damaged.
        """
        return load_counts(
            folder,
            "counts of neighbours",
            lambda config, tensors: cls(
                config["vocabulary_fingerprint"],
                int(config["num_tokens"]),
                tensors["pairs"],
                tensors["counts"].double(),
                config.get("card", {}),
            ),
        )

    def information(self) -> tuple[Tensor, Tensor]:
        """Pointwise mutual information log p(y | x) / p(y) as r_x + S_xy: the vector r (V,) and the sparse matrix S (V, V).

        p(y | x) is smoothed towards the unigram model (MacKay and Peto 1995, "A hierarchical Dirichlet language model", eq.
        8): (c_xy + a p_y) / (c_x + a) with a of `PRIOR`, so that S is zero where a pair was not seen.
        """
        first, second = self.pairs.T
        total = torch.zeros(self.num_tokens, dtype=torch.float64).index_add_(0, first, self.counts)
        unigram = torch.full((self.num_tokens,), 0.5, dtype=torch.float64).index_add_(0, second, self.counts)
        unigram /= unigram.sum()
        rows = (PRIOR / (total + PRIOR)).log().float()
        values = torch.log1p(self.counts / (PRIOR * unigram[second])).float()
        size = (self.num_tokens, self.num_tokens)
        return rows, torch.sparse_coo_tensor(self.pairs.T, values, size, check_invariants=True).coalesce()


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
        if self.texts is not None:
            tokens = {surface: token for token, surface in enumerate(vocabulary.surfaces) if surface}
            cut = [[t for t in longest_first(f" {text}".encode(), tokens) if t is not None] for text in self.texts]
            self.table = _Information.of(BigramTables.count(cut, vocabulary, {}))
            return
        self.table = _information(str(_folder(vocabulary, self.tables)), vocabulary.of_the_model)

    def energy(self, state: GuidanceState) -> Tensor:
        """Expected mutual information of all neighbours, negated (B,), in nats."""
        own = state.probs * state.span_mask[..., None]
        size, length, tokens = own.shape
        table = self.table.on(own.device)
        beside = torch.zeros(size, max(0, length - 1), device=own.device, dtype=own.dtype)
        behind = torch.full((size, length), self.pad, device=own.device)
        known = torch.zeros(size, device=own.device, dtype=own.dtype)
        places = [_Places.of(layout) for layout in state.layouts]
        for row, place in enumerate(places):
            beside[row, : len(place.beside)] = torch.tensor(place.beside, dtype=own.dtype)
            behind[row, : len(place.behind)] = torch.tensor([self.pad if k is None else k for k in place.behind])
        gap = (behind != self.pad).to(own)[..., None]
        is_pad = torch.zeros(tokens, device=own.device, dtype=own.dtype)
        is_pad[self.pad] = 1.0
        first = own * (1 - is_pad * gap)  # what stands behind a token that ends a gap is the known text behind the gap
        second = first.scatter_add(-1, behind[..., None], own[..., self.pad, None] * gap)
        for row, place in enumerate(places):
            known[row] = _with_known(first[row], place, table)
        follows = _Product.apply(second[:, 1:].reshape(-1, tokens), table).reshape(size, -1, tokens)
        follows = follows + table.rows * second[:, 1:].sum(-1, keepdim=True)
        return -((first[:, :-1] * follows).sum(-1) * beside).sum(-1) - known


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

    @classmethod
    def of(cls, layout: CanvasLayout) -> _Places:
        """Those of a canvas."""
        ids = dict(zip(layout.known_positions.tolist(), layout.known_ids.tolist(), strict=True))
        places, spans = layout.span_positions.tolist(), layout.span_index.tolist()
        ends = {span: place for place, span in zip(places, spans, strict=True)}
        return cls(
            [float(b - a == 1) for a, b in pairwise(places)],
            [ids.get(ends[span] + 1) for span in spans],
            [(k, ids[place - 1]) for k, place in enumerate(places) if place - 1 in ids],
            [(k, ids[place + 1]) for k, place in enumerate(places) if place + 1 in ids],
        )


def _with_known(own: Tensor, places: _Places, table: _Information) -> Tensor:
    """Mutual information of a row's spans (L, V), without the pads of gaps, with the known tokens beside them, a scalar."""
    found = own.new_zeros(())
    for k, token in places.before:
        found = found + (own[k] * _row(table.matrix, token)).sum() + table.rows[token] * own[k].sum()
    for k, token in places.last:
        found = found + (own[k] * (_row(table.transposed, token) + table.rows)).sum()
    return found


@dataclass(frozen=True, eq=False)
class _Information:
    """Pointwise mutual information of V tokens: M_xy = rows_x + matrix_xy, the latter sparse (CSR) as is its transpose."""

    rows: Tensor
    matrix: Tensor
    transposed: Tensor

    @classmethod
    def of(cls, tables: BigramTables) -> _Information:
        """That of some counts."""
        rows, matrix = tables.information()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
            return cls(rows, matrix.to_sparse_csr(), matrix.T.coalesce().to_sparse_csr())

    def on(self, device: torch.device) -> _Information:
        """The same on a device."""
        if self.rows.device == device:
            return self
        return _Information(self.rows.to(device), self.matrix.to(device), self.transposed.to(device))


class _Product(torch.autograd.Function):
    """Rows (N, V) times the transpose of the sparse matrix, in CSR both ways: a tenth of the time of PyTorch's own backward."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, table: _Information) -> Tensor:
        ctx.table = table
        return (table.matrix @ rows.float().T.contiguous()).T.to(rows.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return (ctx.table.transposed @ grad.float().T.contiguous()).T.to(grad.dtype), None


def _row(matrix: Tensor, token: int) -> Tensor:
    """A row of a sparse matrix as a dense vector."""
    begin, end = (int(place) for place in matrix.crow_indices()[token : token + 2])
    found = matrix.values().new_zeros(matrix.shape[1])
    found[matrix.col_indices()[begin:end]] = matrix.values()[begin:end]
    return found


def _folder(vocabulary: Vocabulary, tables: str | Path | None) -> Path:
    if tables is not None:
        return Path(tables)
    from diffusionlm.guidance.classifiers.store import find_reader

    try:
        return find_reader(READER, vocabulary)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"There are no counts of neighbours for this model's vocabulary of {len(vocabulary)} tokens. Make them with: "
            "diffusionlm guides --for CHECKPOINT --only bigrams."
        ) from None


@lru_cache(maxsize=4)
def _information(folder: str, fingerprint: str) -> _Information:
    tables = BigramTables.load(Path(folder))
    if tables.fingerprint != fingerprint:
        raise ValueError(
            f"The counts of neighbours in {folder} are of a vocabulary of {tables.num_tokens} tokens that is not this model's. "
            "Make new ones with: diffusionlm guides --for CHECKPOINT --only bigrams."
        )
    return _Information.of(tables)
