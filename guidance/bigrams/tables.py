"""`BigramTables`: pairs of neighbouring tokens, counted; `Information`: what they say of each other, ready for products."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from diffusionlm.guidance.syntax.store import load_counts, save_counts

if TYPE_CHECKING:
    from diffusionlm.text import Vocabulary

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

        p(y | x) is smoothed towards the unigram model (MacKay and Peto 1995, "A hierarchical Dirichlet language model"):
        (c_xy + a p_y) / (c_x + a) with a of `PRIOR`, so that S is zero where a pair was not seen.
        """
        first, second = self.pairs.T
        total = torch.zeros(self.num_tokens, dtype=torch.float64).index_add_(0, first, self.counts)
        unigram = torch.full((self.num_tokens,), 0.5, dtype=torch.float64).index_add_(0, second, self.counts)
        unigram /= unigram.sum()
        rows = (PRIOR / (total + PRIOR)).log().float()
        values = torch.log1p(self.counts / (PRIOR * unigram[second])).float()
        size = (self.num_tokens, self.num_tokens)
        return rows, torch.sparse_coo_tensor(self.pairs.T, values, size, check_invariants=True).coalesce()


@dataclass(frozen=True, eq=False)
class Information:
    """Pointwise mutual information of V tokens: M_xy = rows_x + matrix_xy, the latter sparse (CSR) as is its transpose."""

    rows: Tensor
    matrix: Tensor
    transposed: Tensor

    @classmethod
    def of(cls, tables: BigramTables) -> Information:
        """That of some counts."""
        rows, matrix = tables.information()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
            return cls(rows, matrix.to_sparse_csr(), matrix.T.coalesce().to_sparse_csr())

    def on(self, device: torch.device) -> Information:
        """The same on a device."""
        if self.rows.device == device:
            return self
        return Information(self.rows.to(device), self.matrix.to(device), self.transposed.to(device))

    def follows(self, second: Tensor) -> Tensor:
        """Information of each token with the tokens behind it: rows (N, V) of their probabilities -> (N, V)."""
        found: Tensor = _Product.apply(second, self)
        return found + self.rows * second.sum(-1, keepdim=True)

    def behind(self, token: int, own: Tensor) -> Tensor:
        """Information of a known token with one behind it that has probabilities (V,), a scalar."""
        return _dot(self.matrix, token, own) + self.rows[token] * own.sum()

    def before(self, token: int, own: Tensor) -> Tensor:
        """Information of a known token with one before it that has probabilities (V,), a scalar."""
        return _dot(self.transposed, token, own) + (own * self.rows).sum()


class _Product(torch.autograd.Function):
    """Rows (N, V) times the transpose of the sparse matrix, in CSR both ways: a tenth of the time of PyTorch's own backward."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, table: Information) -> Tensor:
        ctx.table = table
        return (table.matrix @ rows.float().T.contiguous()).T.to(rows.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return (ctx.table.transposed @ grad.float().T.contiguous()).T.to(grad.dtype), None


def _dot(matrix: Tensor, token: int, own: Tensor) -> Tensor:
    """A row of a sparse matrix times a vector."""
    begin, end = (int(place) for place in matrix.crow_indices()[token : token + 2])
    return (own[matrix.col_indices()[begin:end]] * matrix.values()[begin:end]).sum()


@lru_cache(maxsize=4)
def load_information(folder: str, fingerprint: str) -> Information:
    """That of the tables in a folder; the last few are kept.

    Raises:
        ValueError: if they are damaged, or of another vocabulary than that with the fingerprint.
    """
    tables = BigramTables.load(Path(folder))
    if tables.fingerprint != fingerprint:
        raise ValueError(
            f"The counts of neighbours in {folder} are of a vocabulary of {tables.num_tokens} tokens that is not this model's. "
            "Make new ones with: diffusionlm guides --for CHECKPOINT --only bigrams."
        )
    return Information.of(tables)
