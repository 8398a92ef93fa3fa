"""`Vocabulary`: the surfaces of the tokens, all that guidance needs to know of a tokenizer."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

BYTES_PER_TOKEN = 4  # of English text in a few thousand byte-pair tokens, about


@dataclass(frozen=True)
class Vocabulary:
    """Token surfaces as bytes; a text is the plain concatenation of its tokens' surfaces.

    Attributes:
        surfaces: UTF-8 bytes of each token, V entries; b"" for special tokens.
        pad_id: the token that fills the tail of a span which ends early.
        special_ids: ids that stand for no text, pad among them.
    """

    surfaces: tuple[bytes, ...]
    pad_id: int
    special_ids: frozenset[int]

    def __post_init__(self) -> None:
        if self.pad_id not in self.special_ids:
            raise ValueError(f"pad_id {self.pad_id} must be one of the special ids {sorted(self.special_ids)}.")

    def __len__(self) -> int:
        return len(self.surfaces)

    @property
    def of_the_model(self) -> str:
        """Fingerprint of the model's own vocabulary, by which classifiers and tables are found; kept by one made ready for
        rules."""
        return self.fingerprint

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of all surfaces and special ids; equal for equal vocabularies, a key for caches."""
        digest = hashlib.sha256(repr((self.pad_id, sorted(self.special_ids))).encode())
        for surface in self.surfaces:
            digest.update(len(surface).to_bytes(4, "big") + surface)
        return digest.hexdigest()

    @cached_property
    def strings(self) -> tuple[str, ...]:
        """Surfaces as text; bytes that are no UTF-8 on their own become U+FFFD."""
        return tuple(surface.decode("utf-8", errors="replace") for surface in self.surfaces)

    @cached_property
    def token_share(self) -> float:
        """Length of one of these as a share of a usual token of text: 1 / 4 where all are single bytes, else 1."""
        return 1 / BYTES_PER_TOKEN if max(map(len, self.surfaces)) <= 1 else 1.0

    def where(self, predicate: Callable[[str], bool]) -> Tensor:
        """Ids (N,) int64 of the tokens whose text, without surrounding space, fulfils ``predicate``; none special."""
        hits = [
            i
            for i, text in enumerate(self.strings)
            if i not in self.special_ids and text.strip() and predicate(text.strip())
        ]
        return torch.tensor(hits, dtype=torch.long)

    @cached_property
    def starts_with_space(self) -> Tensor:
        """(V,) bool: tokens that open a new word."""
        return torch.tensor([surface.startswith(b" ") for surface in self.surfaces])

    def decode(self, ids: Iterable[int]) -> str:
        """Concatenates surfaces; special tokens vanish, broken UTF-8 becomes U+FFFD."""
        return b"".join(self.surfaces[i] for i in ids).decode("utf-8", errors="replace")
