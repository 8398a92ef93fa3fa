"""`VocabularyBridge`: soft tokens of our vocabulary as soft input embeddings of a model with another tokenizer.

The text of the likeliest tokens is cut by the other tokenizer, which gives the exact input embeddings of that text. Each
piece is then moved by the mass that the posterior puts on other tokens at the positions it covers:

    input_j = E[piece_j] + sum_i sum_v (p_iv - [v = best_i]) S_v    (positions i that piece j overlaps)

with S_v the mean embedding of the pieces that token v has by itself. Where the posterior is one-hot the second term is
zero, so the input is exactly that of the decoded text, however differently the two tokenizers cut it; everywhere the
input is linear in p, so gradients reach all tokens. S_v is exact for tokens that are one piece of the other vocabulary,
a mean for others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from diffusionlm.guidance.state import GuidanceState
    from diffusionlm.spans import CanvasLayout
    from diffusionlm.text import Vocabulary


@dataclass(frozen=True)
class BridgedInput:
    """Input of the other model; T its sequence length, H its embedding size.

    Attributes:
        inputs_embeds: (B, T, H), differentiable in the posterior.
        attention_mask: (B, T).
        token_type_ids: (B, T), where its tokenizer has them.
        texts: the texts whose exact input this is where the posterior is one-hot.
    """

    inputs_embeds: Tensor
    attention_mask: Tensor
    token_type_ids: Tensor | None
    texts: list[str]

    def to_model(self) -> dict[str, Tensor]:
        """Keyword arguments for a transformers model."""
        given = {"inputs_embeds": self.inputs_embeds, "attention_mask": self.attention_mask}
        return given if self.token_type_ids is None else {**given, "token_type_ids": self.token_type_ids}


class VocabularyBridge:
    """Aligns our vocabulary with another model's tokenizer.

    Args:
        vocabulary: surfaces of our tokens.
        tokenizer: a fast transformers tokenizer (it must give offsets).
        embedding: the other model's input embeddings (V', H).
        max_length: most pieces of a text; longer texts are cut. None takes the tokenizer's own limit.

    Attributes:
        exact_share: share of our text tokens that are one piece there.

    Raises:
        ValueError: if the tokenizer gives no offsets or does not fit the embeddings.

    Example:
        >>> bridge = VocabularyBridge(  # in a plugin's bind  # doctest: +SKIP
        ...     vocabulary, tokenizer, model.get_input_embeddings().weight
        ... )
        >>> model(**bridge(state).to_model()).logits  # in its energy  # doctest: +SKIP
    """

    def __init__(
        self, vocabulary: Vocabulary, tokenizer: Any, embedding: Tensor, max_length: int | None = None
    ) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise ValueError(
                f"VocabularyBridge needs a fast tokenizer, which tells where its pieces stand; {type(tokenizer).__name__} does "
                "not. Load it with AutoTokenizer.from_pretrained(..., use_fast=True)."
            )
        if len(tokenizer) > len(embedding):
            raise ValueError(f"The tokenizer has {len(tokenizer)} pieces, the model embeddings for {len(embedding)}.")
        self.vocabulary, self.tokenizer = vocabulary, tokenizer
        self.embedding = embedding.detach()
        limits = [n for n in (max_length, tokenizer.model_max_length) if n is not None and n < 10**6]
        self.max_length = min(limits, default=None)
        pieces = self._pieces_of_tokens()
        text_tokens = [i for i in range(len(vocabulary)) if i not in vocabulary.special_ids]
        self.exact_share = sum(len(pieces[i]) == 1 for i in text_tokens) / max(1, len(text_tokens))
        size = torch.tensor([max(1, len(own)) for own in pieces], device=embedding.device)
        owner = torch.tensor(
            [i for i, own in enumerate(pieces) for _ in own], dtype=torch.long, device=embedding.device
        )
        flat = torch.tensor([piece for own in pieces for piece in own], dtype=torch.long, device=embedding.device)
        sums = torch.zeros(len(vocabulary), embedding.shape[1], dtype=embedding.dtype, device=embedding.device)
        self.soft_embedding = sums.index_add(0, owner, self.embedding[flat]) / size[:, None]

    def to(self, device: torch.device | str) -> VocabularyBridge:
        """Moves the tables, in place."""
        self.embedding, self.soft_embedding = self.embedding.to(device), self.soft_embedding.to(device)
        return self

    def _pieces_of_tokens(self) -> list[list[int]]:
        """Pieces that each of our tokens has by itself. Inside a word it is asked for behind a letter, so that tokenizers
        that mark continuations (WordPiece's ##) give the piece that stands in texts."""
        strings = self.vocabulary.strings
        starts = self.vocabulary.starts_with_space.tolist()
        plain = [text if start else "a" + text for text, start in zip(strings, starts, strict=True)]
        known = [i for i in range(len(strings)) if i not in self.vocabulary.special_ids]
        coded = self.tokenizer([plain[i] for i in known], add_special_tokens=False, return_offsets_mapping=True)
        pieces: list[list[int]] = [[] for _ in strings]
        for i, ids, offsets in zip(known, coded["input_ids"], coded["offset_mapping"], strict=True):
            lead = 0 if starts[i] else 1
            own = [piece for piece, (first, last) in zip(ids, offsets, strict=True) if last > lead and first >= lead]
            if not own and strings[i].strip():  # the letter in front was merged with it: ask without
                own = self.tokenizer(strings[i], add_special_tokens=False)["input_ids"]
            pieces[i] = own
        return pieces

    def __call__(self, state: GuidanceState) -> BridgedInput:
        """The other model's input for a state."""
        return self.embed(state.probs, state.layouts)

    def embed(self, probs: Tensor, layouts: Sequence[CanvasLayout]) -> BridgedInput:
        """The other model's input for a posterior (B, L, V) on the canvases of its rows."""
        probs = probs.to(self.soft_embedding.dtype)
        best = probs.detach().argmax(-1)
        texts, places = [], []
        for row, layout in zip(best.tolist(), layouts, strict=True):
            text, spans = place_tokens(row[: layout.length], layout, self.vocabulary)
            texts.append(text)
            places.append(spans)
        coded = self.tokenizer(
            texts,
            padding=True,
            truncation=self.max_length is not None,
            max_length=self.max_length,
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
        )
        device = self.embedding.device
        ids = torch.tensor(coded["input_ids"], device=device)
        rows, pieces, positions = [], [], []
        for b, (offsets, special) in enumerate(zip(coded["offset_mapping"], coded["special_tokens_mask"], strict=True)):
            for i, j in overlaps(places[b], offsets, special):
                rows.append(b)
                pieces.append(j)
                positions.append(i)
        soft = probs @ self.soft_embedding - self.soft_embedding[best]  # (B, L, H), zero where p is one-hot
        row, piece, position = (torch.tensor(x, dtype=torch.long, device=device) for x in (rows, pieces, positions))
        flat = torch.zeros(ids.numel(), soft.shape[-1], dtype=soft.dtype, device=device)
        flat = flat.index_add(0, row * ids.shape[1] + piece, soft[row, position])
        types = torch.tensor(coded["token_type_ids"], device=device) if "token_type_ids" in coded else None
        mask = torch.tensor(coded["attention_mask"], device=device)
        return BridgedInput(self.embedding[ids] + flat.view(*ids.shape, -1), mask, types, texts)


def place_tokens(ids: Sequence[int], layout: CanvasLayout, vocabulary: Vocabulary) -> tuple[str, list[tuple[int, int]]]:
    """The text of a canvas and where in it each span position stands, as (first, last) characters; (n, n) for no text.

    Behind a pad token a span is over: positions there have no text.
    """
    literals = [literal.encode() for literal in layout.internal_literals]
    spans = layout.span_index.tolist()
    data = b"".join(literals[: spans[0] + 1]) if spans else b""
    bounds, closed = [], -1
    for i, (token, span) in enumerate(zip(ids, spans, strict=True)):
        if token == vocabulary.pad_id:
            closed = span
        first = len(data)
        if closed != span:
            data += vocabulary.surfaces[token]
        bounds.append((first, len(data)))
        following = spans[i + 1] if i + 1 < len(spans) else len(literals) - 1
        data += b"".join(literals[span + 1 : following + 1])
    lead = 1 if data.startswith(b" ") else 0
    text = data.decode("utf-8", errors="replace")[lead:]
    if data.isascii():
        return text, [(max(0, first - lead), max(0, last - lead)) for first, last in bounds]

    def character(byte: int) -> int:
        return max(0, len(data[:byte].decode("utf-8", errors="replace")) - lead)

    return text, [(character(first), character(last)) for first, last in bounds]


def overlaps(
    places: Sequence[tuple[int, int]], offsets: Sequence[tuple[int, int]], special: Sequence[int]
) -> list[tuple[int, int]]:
    """Pairs (position, piece) that share characters; both lists ascend in the text."""
    pairs = []
    i = 0
    for j, ((first, last), is_special) in enumerate(zip(offsets, special, strict=True)):
        if is_special or last <= first:
            continue
        while i < len(places) and places[i][1] <= first:
            i += 1
        k = i
        while k < len(places) and places[k][0] < last:
            if places[k][1] > max(first, places[k][0]):
                pairs.append((k, j))
            k += 1
    return pairs
