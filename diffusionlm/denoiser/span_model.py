"""`SpanDenoiser` behind the contract of `DiffusionModel`, as a Gaussian and as a masked process.

Shape letters: B rows, L span positions, M memory positions, V vocabulary, D embedding size.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from diffusionlm.denoiser.contract import CANVAS, CONCEPT, PROMPT, SEGMENTS, Context, Piece, Places
from diffusionlm.denoiser.media import KINDS, segment_of
from diffusionlm.denoiser.memory import ContextMemory
from diffusionlm.diffusion import Draws, NoisyEmbeddings, NoisyText, NoisyTokens, Posterior, diffuse

if TYPE_CHECKING:
    from diffusionlm.denoiser.copy_bias import CopyBias
    from diffusionlm.denoiser.memory_cache import MemoryCache
    from diffusionlm.denoiser.model import SpanDenoiser


class SpanModel:
    """Shared parts of both processes: the network, its memory of known text, its embeddings.

    Args:
        denoiser: the network.
        cache: of memory that was encoded; None keeps none.
    """

    process = ""
    offers = frozenset({"probs", "text", "clean", "unconditional"})

    def __init__(self, denoiser: SpanDenoiser, cache: MemoryCache | None = None) -> None:
        self.denoiser, self.cache = denoiser, cache

    @property
    def vocab_size(self) -> int:
        """Size of the vocabulary, V."""
        return self.denoiser.config.vocab_size

    @property
    def max_length(self) -> int:
        """Positions of the longest text."""
        return self.denoiser.config.max_position_embeddings

    @property
    def segments(self) -> frozenset[int]:
        """Kinds of memory that it reads."""
        config = self.denoiser.config
        without = {segment_of(kind) for kind in KINDS if kind not in config.media}
        return frozenset(range(config.num_segments)) - without

    @property
    def device(self) -> torch.device:
        """Device of the network."""
        return self.denoiser.device

    @property
    def references(self) -> tuple[str, ...]:
        """The publications behind the network as configured."""
        return self.denoiser.config.references

    def embeddings(self) -> Tensor:
        """Embeddings of all tokens (V, D) float32, each of length sqrt(D)."""
        return self.denoiser.unit_embeddings()

    def condition(self, context: Context, places: Places) -> ContextMemory | None:
        """Memory of the pieces of each row, or None where no row has any; each distinct piece is encoded once.

        Pieces are encoded together with others of their segment and laid side by side in the order in which segments first
        appear; a row may have several pieces of one segment.
        """
        if self.denoiser.config.position_kind == "rope":
            self.denoiser.set_sequence_length(max(places.totals))
        slots: dict[tuple[int, bool], list[dict[int, Piece]]] = {}  # for the first, second, ... of a row: row -> piece
        for row, pieces in enumerate(context):
            count: dict[tuple[int, bool], int] = {}
            for piece in pieces:
                kind = piece.segment, self._is_memory(piece)
                number = count[kind] = count.get(kind, -1) + 1
                if len(piece):
                    own = slots.setdefault(kind, [])
                    own.extend({} for _ in range(number + 1 - len(own)))
                    own[number][row] = piece
        memories = [memory for kind, own in slots.items() for memory in self._encode(*kind, own, len(context))]
        if not memories:
            return None
        return replace(ContextMemory.concat(memories), copies=self._copies(context))

    def _copies(self, context: Context) -> tuple[tuple[CopyBias, Tensor], ...]:
        """Each distinct bias of the pieces with its rows (B,) bool."""
        held: dict[Hashable, tuple[CopyBias, list[bool]]] = {}
        for row, pieces in enumerate(context):
            for piece in pieces:
                if piece.copies is not None:
                    _, rows = held.setdefault((piece.segment, piece.key), (piece.copies, [False] * len(context)))
                    rows[row] = True
        return tuple((bias, torch.tensor(rows, device=self.device)) for bias, rows in held.values())

    @property
    def memory_size(self) -> int:
        """Numbers of a position of memory: a key and a value in every block."""
        return 2 * self.denoiser.config.num_hidden_layers * self.denoiser.config.hidden_size

    def _is_memory(self, piece: Piece) -> bool:
        """Whether a piece holds keys and values, (N, memory_size), rather than what they are encoded from."""
        return piece.raw is not None and piece.segment == CONCEPT and piece.raw.shape[1] == self.memory_size

    def _encode(self, segment: int, encoded: bool, slots: list[dict[int, Piece]], rows: int) -> list[ContextMemory]:
        """Memories of one segment, one (rows, M, ...) for each slot that a row fills; empty for rows without a piece."""
        slots = [pieces for pieces in slots if pieces]
        distinct: dict[Hashable, Piece | None] = {}
        for pieces in slots:
            for row in range(rows):
                piece = pieces.get(row)
                distinct.setdefault(None if piece is None else (piece.key,), piece)
        index = {key: n for n, key in enumerate(distinct)}
        memory = self._remembered(segment, encoded, list(distinct.values()))
        lengths = torch.tensor([0 if piece is None else len(piece) for piece in distinct.values()])
        out = []
        for pieces in slots:
            wanted = [index[(pieces[row].key,) if row in pieces else None] for row in range(rows)]
            longest = int(lengths[wanted].max()) if encoded or self.denoiser.resampler is None else memory.length
            out.append(memory.select(torch.tensor(wanted, device=self.device)).head(longest))
        return out

    def _remembered(self, segment: int, encoded: bool, pieces: list[Piece | None]) -> ContextMemory:
        """Memory (len(pieces), M, ...); of what the cache has, nothing is encoded again."""
        if self.cache is None or encoded or segment in (CANVAS, PROMPT) or not self.cache.serves(self.denoiser):
            return self._encoded(segment, encoded, pieces)
        rotary = self.denoiser.rotary
        fitted = None if rotary is None else rotary.sequence_length
        keys = [None if p is None else (segment, p.key, tuple(p.positions.tolist()), fitted) for p in pieces]
        found = [None if key is None else self.cache.get(key) for key in keys]
        missing = [
            n for n, (key, memory) in enumerate(zip(keys, found, strict=True)) if key is not None and memory is None
        ]
        if missing:
            made = self._encoded(segment, encoded, [pieces[n] for n in missing])
            for row, n in enumerate(missing):
                own = made.select(torch.tensor([row], device=self.device)).head(int(made.mask[row].sum()))
                found[n] = own
                self.cache.put(keys[n], own)
        return ContextMemory.stack(found)

    def _encoded(self, segment: int, encoded: bool, pieces: list[Piece | None]) -> ContextMemory:
        """Memory (len(pieces), M, ...) of pieces of one segment, encoded together."""
        device, ids, raw = self.device, None, None
        none = torch.zeros(0, dtype=torch.long)
        lengths = torch.tensor([0 if piece is None else len(piece) for piece in pieces])
        mask = torch.arange(int(lengths.max())) < lengths[:, None]
        at = pad_sequence([none if piece is None else piece.positions for piece in pieces], batch_first=True)
        held = [piece for piece in pieces if piece is not None]
        if encoded:
            own = [torch.zeros(0, self.memory_size) if p is None or p.raw is None else p.raw for p in pieces]
            return self._memory(pad_sequence(own, batch_first=True).to(device), mask.to(device), at.to(device))
        if all(piece.raw is None for piece in held):
            own = [none if piece is None or piece.ids is None else piece.ids for piece in pieces]
            ids = pad_sequence(own, batch_first=True, padding_value=self.denoiser.config.pad_token_id).to(device)
        elif segment < len(SEGMENTS) and SEGMENTS[segment] in KINDS:
            width = next(piece.raw.shape[1] for piece in held if piece.raw is not None)
            blank = torch.zeros(0, width)
            own = [blank if piece is None or piece.raw is None else piece.raw.float() for piece in pieces]
            raw = self.denoiser.encode_media(segment, pad_sequence(own, batch_first=True).to(device), mask.to(device))
        else:  # tokens among them enter by their embeddings
            raw = pad_sequence([self._numbers(piece) for piece in pieces], batch_first=True)
        return self.denoiser.encode_context(ids, raw, mask.to(device), at.to(device), segment)

    def _memory(self, numbers: Tensor, mask: Tensor, at: Tensor) -> ContextMemory:
        """Keys and values (B, M, memory_size) as a memory."""
        config = self.denoiser.config
        shape = config.num_hidden_layers, 2, config.num_attention_heads, config.head_dim
        parts = (
            numbers.to(self.denoiser.dtype).unflatten(-1, shape).permute(2, 3, 0, 4, 1, 5)
        )  # blocks, 2, B, H, M, head
        rotary = self.denoiser.rotary
        length = None if rotary is None else rotary.sequence_length
        keys, values = tuple(part[0] for part in parts), tuple(part[1] for part in parts)
        return ContextMemory(keys, values, mask, at, length)

    def as_numbers(self, memory: ContextMemory) -> Tensor:
        """A memory as keys and values (B, M, memory_size), of which pieces can be made; the inverse of reading them."""
        parts = torch.stack([torch.stack(pair) for pair in zip(memory.keys, memory.values, strict=True)])
        return parts.permute(2, 4, 0, 1, 3, 5).flatten(2)

    def _numbers(self, piece: Piece | None) -> Tensor:
        """Inputs of memory of a piece, (N, D)."""
        if piece is None:
            return torch.zeros(0, self.denoiser.config.embedding_size, device=self.device)
        if piece.raw is not None:
            return piece.raw.to(self.device, torch.float32)
        assert piece.ids is not None
        return self.denoiser.embed(piece.ids.to(self.device))

    def _logits(
        self,
        latents: Tensor,
        gamma: Tensor,
        condition: ContextMemory | None,
        places: Places,
        previous: Posterior | None,
        temperature: float,
        likelihood_weight: float = 1.0,
    ) -> Tensor:
        """Logits (B, L, V) of the network for what it sees of the spans (B, L, D)."""
        logits = self.denoiser(
            latents,
            gamma,
            condition,
            None if previous is None else previous.clean,
            places.span_mask,
            places.positions,
            places.open_mask,
            likelihood_weight=likelihood_weight,
            temperature=temperature,
        ).logits
        assert logits is not None
        if condition is not None and previous is not None:
            for bias, rows in condition.copies:
                logits = bias.add(logits, previous.probs, places, rows)
        return logits


class GaussianSpanModel(SpanModel):
    """z = alpha e(x) + sigma eps, with a network that sees z and the exact likelihood of z beside it."""

    process = "gaussian"
    offers = SpanModel.offers | {"latents"}

    def start(self, places: Places, draws: Draws) -> NoisyEmbeddings:
        """Standard normal embeddings (B, L, D)."""
        return NoisyEmbeddings(draws.normal(self.denoiser.config.embedding_size), places.span_mask)

    def corrupt(self, ids: Tensor, mask: Tensor, gamma: Tensor, draws: Draws) -> NoisyEmbeddings:
        """See `DiffusionModel`."""
        noise = draws.normal(self.denoiser.config.embedding_size)
        return NoisyEmbeddings(diffuse(self.denoiser.embed(ids), noise, gamma), mask)

    def log_posterior(
        self,
        noisy: NoisyText,
        gamma: Tensor,
        condition: ContextMemory | None,
        places: Places,
        previous: Posterior | None,
        temperature: float = 1.0,
    ) -> Tensor:
        """See `DiffusionModel`; differentiable in the noisy embeddings."""
        assert isinstance(noisy, NoisyEmbeddings)
        return self._logits(noisy.z, gamma, condition, places, previous, temperature)


class MaskedSpanModel(SpanModel):
    """Positions are decided or hidden, hidden ones with probability sigmoid(gamma); a decided token is seen as it is, a hidden
    one as nothing (Sahoo et al. 2024, "Simple and effective masked diffusion language models", section 3)."""

    process = "masked"

    def start(self, places: Places, draws: Draws) -> NoisyTokens:
        """Everything hidden."""
        pad = self.denoiser.config.pad_token_id
        return NoisyTokens(torch.full_like(places.positions, pad), places.span_mask, places.span_mask)

    def corrupt(self, ids: Tensor, mask: Tensor, gamma: Tensor, draws: Draws) -> NoisyTokens:
        """See `DiffusionModel`."""
        return NoisyTokens(ids, mask & (draws.uniform() < torch.sigmoid(gamma.double())[:, None]), mask)

    def log_posterior(
        self,
        noisy: NoisyText,
        gamma: Tensor,
        condition: ContextMemory | None,
        places: Places,
        previous: Posterior | None,
        temperature: float = 1.0,
    ) -> Tensor:
        """See `DiffusionModel`."""
        assert isinstance(noisy, NoisyTokens)
        seen = self.denoiser.embed(noisy.ids).masked_fill(noisy.undecided[..., None], 0.0)
        return self._logits(seen, gamma, condition, places, previous, temperature, likelihood_weight=0.0)


def span_model(denoiser: SpanDenoiser, cache: MemoryCache | None = None) -> GaussianSpanModel | MaskedSpanModel:
    """The network as a model of the process that its configuration names, with a cache of memory if one is given."""
    return (MaskedSpanModel if denoiser.config.process == "masked" else GaussianSpanModel)(denoiser, cache)
