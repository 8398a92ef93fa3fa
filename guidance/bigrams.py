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
    is a neighbour too. The end of a text is a token; in a gap before known text it stands for nothing.

    Args:
        tables: folder of the counts (`BigramTables`); None takes those that belong to the model.

    Raises:
        FileNotFoundError: if the model has none; they are counted by ``diffusionlm guides --for CHECKPOINT --only bigrams``.
        ValueError: if they are damaged, or of another vocabulary.

    Example:
        >>> pipe(prompt="name[The Mill]", guidance=["bigrams", {"pii": {}}]).texts  # doctest: +SKIP
    """

    reference = "Hinton 2002, Training products of experts by minimizing contrastive divergence"

    tables: str | Path | None = None

    weight: float = 0.5
    budget: float | None = 4.0

    def bind(self, vocabulary: Vocabulary) -> None:
        """Finds the counts."""
        self.pad = vocabulary.pad_id
        self.table = _information(str(_folder(vocabulary, self.tables)), vocabulary.of_the_model)

    def energy(self, state: GuidanceState) -> Tensor:
        """Expected mutual information of all neighbours, negated (B,), in nats."""
        own = state.probs * state.span_mask[..., None]
        size, length, tokens = own.shape
        table = self.table.on(own.device)
        beside = torch.zeros(size, max(0, length - 1), device=own.device, dtype=own.dtype)
        at_end = torch.zeros(size, length, device=own.device, dtype=torch.bool)
        known = torch.zeros(size, device=own.device, dtype=own.dtype)
        for row, layout in enumerate(state.layouts):
            places = layout.span_positions.tolist()
            last = max(layout.known_positions.tolist(), default=-1)
            beside[row, : len(places) - 1] = torch.tensor(
                [float(b - a == 1) for a, b in pairwise(places)], dtype=own.dtype
            )
            at_end[row, : len(places)] = torch.tensor([place > last for place in places])
            known[row] = self._known(own[row], layout, table)
        inner = torch.zeros(tokens, device=own.device, dtype=own.dtype)
        inner[self.pad] = 1.0
        own = own * (1 - inner * ~at_end[..., None])  # in a gap, pad is no end of a text
        follows = _Product.apply(own[:, 1:].reshape(-1, tokens), table).reshape(size, -1, tokens)
        follows = follows + table.rows * own[:, 1:].sum(-1, keepdim=True)
        return -((own[:, :-1] * follows).sum(-1) * beside).sum(-1) - known

    def _known(self, own: Tensor, layout: CanvasLayout, table: _Information) -> Tensor:
        """Mutual information of a row's spans (L, V) with the known tokens beside them, a scalar."""
        ids = dict(zip(layout.known_positions.tolist(), layout.known_ids.tolist(), strict=True))
        places, spans = layout.span_positions.tolist(), layout.span_index.tolist()
        found = own.new_zeros(())
        for k, place in enumerate(places):
            if place - 1 in ids and (k == 0 or spans[k - 1] != spans[k]):
                token = ids[place - 1]
                found = found + (own[k] * _row(table.matrix, token)).sum() + table.rows[token] * own[k].sum()
            if place + 1 in ids and not bool(layout.open_mask[k]):
                found = found + (own[k] * (_row(table.transposed, ids[place + 1]) + table.rows)).sum()
        return found


@dataclass(frozen=True, eq=False)
class _Information:
    """Pointwise mutual information of V tokens: M_xy = rows_x + matrix_xy, the latter sparse (CSR) as is its transpose."""

    rows: Tensor
    matrix: Tensor
    transposed: Tensor

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
    rows, matrix = tables.information()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
        return _Information(rows, matrix.to_sparse_csr(), matrix.T.coalesce().to_sparse_csr())
