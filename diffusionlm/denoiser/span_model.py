"""`SpanDenoiser` behind the contract of `DiffusionModel`, as a Gaussian and as a masked process.

Shape letters: B rows, L span positions, M memory positions, V vocabulary, D embedding size.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from diffusionlm.denoiser.contract import Context, Piece, Places
from diffusionlm.denoiser.memory import ContextMemory
from diffusionlm.diffusion import Draws, NoisyEmbeddings, NoisyText, NoisyTokens, Posterior, diffuse

if TYPE_CHECKING:
    from diffusionlm.denoiser.model import SpanDenoiser


class SpanModel:
    """Shared parts of both processes: the network, its memory of known text, its embeddings.

    Args:
        denoiser: the network.
    """

    process = ""
    offers = frozenset({"probs", "text", "clean", "unconditional"})

    def __init__(self, denoiser: SpanDenoiser) -> None:
        self.denoiser = denoiser

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
        return frozenset(range(self.denoiser.config.num_segments))

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
        slots: dict[int, list[dict[int, Piece]]] = {}  # segment -> for the first, second, ... of a row: row -> piece
        for row, pieces in enumerate(context):
            count: dict[int, int] = {}
            for piece in pieces:
                number = count[piece.segment] = count.get(piece.segment, -1) + 1
                if len(piece):
                    own = slots.setdefault(piece.segment, [])
                    own.extend({} for _ in range(number + 1 - len(own)))
                    own[number][row] = piece
        memories = [memory for segment, own in slots.items() for memory in self._encode(segment, own, len(context))]
        return ContextMemory.concat(memories) if memories else None

    def _encode(self, segment: int, slots: list[dict[int, Piece]], rows: int) -> list[ContextMemory]:
        """Memories of one segment, one (rows, M, ...) for each slot that a row fills; empty for rows without a piece."""
        slots = [pieces for pieces in slots if pieces]
        distinct: dict[Hashable, Piece | None] = {}
        for pieces in slots:
            for row in range(rows):
                piece = pieces.get(row)
                distinct.setdefault(None if piece is None else (piece.key,), piece)
        index = {key: n for n, key in enumerate(distinct)}
        none = torch.zeros(0, dtype=torch.long)
        lengths = torch.tensor([0 if piece is None else len(piece) for piece in distinct.values()])
        mask = torch.arange(int(lengths.max())) < lengths[:, None]
        at = pad_sequence([none if p is None else p.positions for p in distinct.values()], batch_first=True)
        held = [piece for piece in distinct.values() if piece is not None]
        device, ids, raw = self.device, None, None
        if all(piece.raw is None for piece in held):
            own = [none if piece is None or piece.ids is None else piece.ids for piece in distinct.values()]
            pad = self.denoiser.config.pad_token_id
            ids = pad_sequence(own, batch_first=True, padding_value=pad).to(device)
        else:  # tokens among them enter by their embeddings
            raw = pad_sequence([self._numbers(piece) for piece in distinct.values()], batch_first=True)
        memory = self.denoiser.encode_context(ids, raw, mask.to(device), at.to(device), segment)
        out = []
        for pieces in slots:
            wanted = [index[(pieces[row].key,) if row in pieces else None] for row in range(rows)]
            longest = int(lengths[wanted].max()) if self.denoiser.resampler is None else memory.length
            out.append(memory.select(torch.tensor(wanted, device=device)).head(longest))
        return out

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


def span_model(denoiser: SpanDenoiser) -> GaussianSpanModel | MaskedSpanModel:
    """The network as a model of the process that its configuration names."""
    return MaskedSpanModel(denoiser) if denoiser.config.process == "masked" else GaussianSpanModel(denoiser)
