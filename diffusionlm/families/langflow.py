"""LangFlow behind our mathematics: a Gaussian process over unit embeddings, so that every strategy applies to it.

Chen et al. 2026, "LangFlow: continuous diffusion rivals discrete in language modeling": logits f(z, gamma, previous clean
estimate) plus the exact likelihood term of our `SpanDenoiser`, and the Gumbel noise schedule that is ours too
(`diffusionlm.diffusion.InformationSchedule` with mu = loc, beta = scale). Its network reads one sequence and no memory, so
known text stands in its place, noised to the level of the step (Song et al. 2021, "Score-based generative modeling through
stochastic differential equations", appendix I.2).

Shape letters: B rows, L span positions, N positions of the network, V vocabulary, D embedding size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffusionlm.denoiser.temperature import sharpen
from diffusionlm.diffusion import (
    Draws,
    NoisyEmbeddings,
    NoisyText,
    Posterior,
    alpha_sigma,
    diffuse,
    token_log_likelihood,
)
from diffusionlm.families.sheet import Frame, Sheet, lay_sheet, visible

if TYPE_CHECKING:
    from diffusionlm.denoiser.contract import Context, Places
    from diffusionlm.families.dit import DiffusionTransformer

REFERENCE = "Chen et al. 2026, LangFlow: continuous diffusion rivals discrete in language modeling"
_KNOWN_NOISE = 0x1A46  # seed of the noise on known text: the same at all steps and for all rows


@dataclass(frozen=True)
class KnownText:
    """Known text for the network.

    Attributes:
        sheet: rows laid out.
        known: (B, N) bool, positions that are known.
        noise: standard normal (N, D).
    """

    sheet: Sheet
    known: Tensor
    noise: Tensor


class LangFlowDenoiser(nn.Module):
    """The network with the call of our `SpanDenoiser`: ``denoiser(z, gamma, None, clean_estimate).logits``.

    Args:
        backbone: the diffusion transformer.
        max_length: positions that it was trained with.
        pad_id: the end token.
        bias: whether the likelihood term is added (all published checkpoints).
    """

    def __init__(self, backbone: DiffusionTransformer, max_length: int, pad_id: int, bias: bool = True) -> None:
        super().__init__()
        self.backbone, self.bias = backbone, bias
        self.config = SimpleNamespace(
            vocab_size=backbone.config.vocab_size,
            embedding_size=backbone.config.hidden_size,
            max_position_embeddings=max_length,
            pad_token_id=pad_id,
            position_kind="rotary of the checkpoint",
            references=(REFERENCE,),
        )

    @property
    def device(self) -> torch.device:
        """Device of its weights."""
        return self.backbone.vocab_embed.embedding.device

    def unit_embeddings(self) -> Tensor:
        """All token embeddings (V, D) float32, each of length sqrt(D)."""
        return self.backbone.vocab_embed.table().float()

    def embed(self, input_ids: Tensor) -> Tensor:
        """Token ids (...) -> embeddings (..., D) float32."""
        return F.embedding(input_ids, self.unit_embeddings())

    def clean_estimate(self, probs: Tensor) -> Tensor:
        """Expected embedding under a token posterior: (B, L, V) -> (B, L, D)."""
        return probs.float() @ self.unit_embeddings()

    def forward(
        self,
        latents: Tensor,
        gamma: Tensor,
        memory: KnownText | None = None,
        clean_estimate: Tensor | None = None,
        span_mask: Tensor | None = None,
        temperature: float = 1.0,
    ) -> Any:
        """Token logits of the spans, (B, L, V), as the attribute ``logits``; differentiable in the latents.

        Args:
            latents: z (B, L, D).
            gamma: noise level, scalar or (B,).
            memory: known text and where the spans stand in it; None: the spans are the whole text.
            clean_estimate: the previous one (B, L, D); None at the first step.
            span_mask: (B, L) bool, positions in use; all if None.
            temperature: below 1 the choice among words is surer; see `sharpen`.

        Raises:
            ValueError: if shapes do not fit.
        """
        if latents.dim() != 3 or latents.shape[-1] != self.config.embedding_size:
            raise ValueError(f"latents must be (B, L, {self.config.embedding_size}), got {tuple(latents.shape)}.")
        level = gamma.float().expand(len(latents))
        inputs, estimate, seen, at = latents, clean_estimate, None, None
        if span_mask is not None and memory is None and not bool(span_mask.all()):
            seen = span_mask[:, None, :] | torch.eye(latents.shape[1], dtype=torch.bool, device=latents.device)
        if memory is not None:
            inputs, estimate = self._in_place(latents, clean_estimate, level, memory, span_mask)
            seen, at = visible(memory.sheet, "full", None), memory.sheet.at
        dtype = self.backbone.output_layer.linear.weight.dtype
        estimate = None if estimate is None else estimate.to(dtype)
        prior = self.backbone(inputs.to(dtype), level, estimate, seen, at).float()
        likelihood = prior.new_zeros(())
        if self.bias:
            likelihood = token_log_likelihood(latents.float(), self.unit_embeddings(), level)
        return SimpleNamespace(logits=sharpen(prior, likelihood, temperature, self.config.pad_token_id))

    def _in_place(
        self, latents: Tensor, estimate: Tensor | None, level: Tensor, memory: KnownText, span_mask: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Embeddings (B, N, D) of whole rows, and the clean estimate of these: known text is noised, and is certain."""
        clean = self.embed(memory.sheet.ids).to(latents.dtype) * memory.known[..., None]
        noise = memory.noise.to(latents.dtype) * memory.known[..., None]
        alpha, sigma = (x.to(latents.dtype)[:, None, None] for x in alpha_sigma(level))
        at = memory.sheet.at[..., None].expand_as(latents)
        used = (
            torch.ones_like(latents) if span_mask is None else span_mask[..., None].to(latents.dtype).expand_as(latents)
        )
        whole = (alpha * clean + sigma * noise).scatter_add(1, at, latents * used)
        if estimate is None:
            return whole, None
        return whole, clean.scatter_add(1, at, estimate.to(latents.dtype) * used)


class LangFlowModel:
    """LangFlow behind the contract of `DiffusionModel`.

    Args:
        denoiser: the network.
        frame: what stands around a text.
        special_ids: tokens that are never written.
    """

    process = "gaussian"
    offers = frozenset({"probs", "text", "clean", "latents", "unconditional"})
    references: tuple[str, ...] = (REFERENCE,)

    def __init__(self, denoiser: LangFlowDenoiser, frame: Frame | None = None, special_ids: Sequence[int] = ()) -> None:
        self.denoiser = denoiser
        self.frame = replace(Frame(), filler=denoiser.config.pad_token_id) if frame is None else frame
        self._barred = sorted(set(special_ids) - {denoiser.config.pad_token_id})

    @property
    def network(self) -> LangFlowDenoiser:
        """The network, which has the call of our own."""
        return self.denoiser

    @property
    def vocab_size(self) -> int:
        """V."""
        return int(self.denoiser.config.vocab_size)

    @property
    def max_length(self) -> int:
        """Positions of the longest text."""
        longest = int(self.denoiser.config.max_position_embeddings)
        return longest - len(self.frame.prefix) - len(self.frame.suffix)

    @property
    def device(self) -> torch.device:
        """Device of the network."""
        return self.denoiser.device

    def embeddings(self) -> Tensor:
        """Embeddings of all tokens (V, D) float32, each of length sqrt(D)."""
        return self.denoiser.unit_embeddings()

    def start(self, places: Places, draws: Draws) -> NoisyEmbeddings:
        """Standard normal embeddings (B, L, D)."""
        return NoisyEmbeddings(draws.normal(self.denoiser.config.embedding_size), places.span_mask)

    def corrupt(self, ids: Tensor, mask: Tensor, gamma: Tensor, draws: Draws) -> NoisyEmbeddings:
        """See `DiffusionModel`."""
        noise = draws.normal(self.denoiser.config.embedding_size)
        return NoisyEmbeddings(diffuse(self.denoiser.embed(ids), noise, gamma), mask)

    def condition(self, context: Context, places: Places) -> KnownText:
        """Known text laid out in rows, with the noise that it gets."""
        sheet = lay_sheet(context, places, self.frame, int(self.denoiser.config.max_position_embeddings))
        known = sheet.used.clone()
        rows, columns = places.span_mask.nonzero(as_tuple=True)
        known[rows, sheet.at[rows, columns]] = False
        generator = torch.Generator().manual_seed(_KNOWN_NOISE)
        noise = torch.randn(sheet.ids.shape[1], self.denoiser.config.embedding_size, generator=generator)
        return KnownText(sheet, known, noise.to(sheet.ids.device))

    def log_posterior(
        self,
        noisy: NoisyText,
        gamma: Tensor,
        condition: KnownText,
        places: Places,
        previous: Posterior | None,
        temperature: float = 1.0,
    ) -> Tensor:
        """See `DiffusionModel`; differentiable in the noisy embeddings."""
        assert isinstance(noisy, NoisyEmbeddings)
        estimate = None if previous is None else previous.clean
        out: Tensor = self.denoiser(
            noisy.z, gamma, condition, estimate, places.span_mask, temperature=temperature
        ).logits
        return out.index_fill(-1, torch.tensor(self._barred, device=out.device), -torch.inf) if self._barred else out
