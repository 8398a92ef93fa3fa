"""`GuidanceState`: what a plugin sees of a denoising step."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from diffusionlm.diffusion import NoisyEmbeddings
from diffusionlm.errors import GuidanceError

if TYPE_CHECKING:
    from diffusionlm.diffusion import NoisyText
    from diffusionlm.spans import CanvasLayout
    from diffusionlm.text import Vocabulary


class GuidanceState:
    """One denoising step of B rows with L span positions, V tokens and D embedding dimensions.

    Attributes:
        probs: token posterior (B, L, V), zero at forbidden tokens; gradients are taken here.
        noisy: the noisy text of this step, as its model knows it.
        gamma: noise level, the logit of the share of noise; +large is noise.
        u: progress, from 1 (noise) to 0 (clean text).
        step: index of the step, from 0; ``num_steps`` when the finished text is measured.
        num_steps: how many steps there are.
        layouts: the canvas of each row: known text, where spans stand.
        span_mask: (B, L) bool, positions in use; the others hold the pad token.
        vocabulary: surfaces of the tokens.

    Example:
        >>> def energy(self, state):  # of a plugin that wants few of some tokens
        ...     return state.probs[..., self.tokens].sum((1, 2))
    """

    def __init__(
        self,
        probs: Tensor,
        noisy: NoisyText,
        gamma: float,
        u: float,
        step: int,
        num_steps: int,
        layouts: Sequence[CanvasLayout],
        span_mask: Tensor,
        vocabulary: Vocabulary,
        embeddings: Tensor | None = None,
        unconditional: Callable[..., Tensor] | None = None,
        log_probs: Tensor | None = None,
    ) -> None:
        self.probs, self.noisy = probs, noisy
        self.gamma, self.u, self.step, self.num_steps = gamma, u, step, num_steps
        self.layouts, self.span_mask, self.vocabulary = tuple(layouts), span_mask, vocabulary
        self._embeddings, self._unconditional, self._log_probs = embeddings, unconditional, log_probs

    @property
    def batch_size(self) -> int:
        """B, the number of rows."""
        return len(self.probs)

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.probs.device

    @cached_property
    def log_probs(self) -> Tensor:
        """Log of the token posterior (B, L, V), -inf at forbidden tokens, differentiable where a token is possible."""
        if self._log_probs is not None:
            return self._log_probs
        possible = self.probs > 0
        return torch.where(possible, self.probs, 1.0).log().masked_fill(~possible, -torch.inf)

    @property
    def undecided(self) -> Tensor:
        """(B, L) bool: positions that can still change; all in use for noisy embeddings, the hidden ones for a masked model."""
        return self.noisy.undecided

    @property
    def latents(self) -> Tensor:
        """Noisy embeddings (B, L, D).

        Raises:
            GuidanceError: where the model has none; declare ``reads = ("latents", ...)`` to have that said before work.
        """
        if not isinstance(self.noisy, NoisyEmbeddings):
            raise GuidanceError(
                "This model hides tokens and has no noisy embeddings; read state.probs, or use a Gaussian model."
            )
        return self.noisy.z

    @property
    def embeddings(self) -> Tensor:
        """Embeddings of all tokens (V, D); of unit root mean square for our own models.

        Raises:
            GuidanceError: where the model offers none; declare ``reads = ("clean", ...)`` to have that said before work.
        """
        if self._embeddings is None:
            raise GuidanceError("This model offers no token embeddings; read state.probs.")
        return self._embeddings

    @cached_property
    def clean(self) -> Tensor:
        """Clean estimate (B, L, D): the expected embedding under the posterior."""
        return self.probs.to(self.embeddings.dtype) @ self.embeddings

    @cached_property
    def unconditional_log_probs(self) -> Tensor:
        """Log token posterior (B, L, V) without the prompt; no gradient. Costs one more pass of the network.

        Raises:
            RuntimeError: where no model is at hand to ask.
        """
        return self.log_probs_without()

    def log_probs_without(self, *segments: str) -> Tensor:
        """Log token posterior (B, L, V) without some kinds of memory, "prompt" and "retrieved" say; no gradient.

        Args:
            segments: names in ``diffusionlm.denoiser.contract.SEGMENTS``; "prompt" if there are none.

        Raises:
            RuntimeError: where no model is at hand to ask.
        """
        if self._unconditional is None:
            raise RuntimeError("This state has no model to ask for the posterior without the prompt.")
        with torch.no_grad():
            return self._unconditional() if segments in ((), ("prompt",)) else self._unconditional(segments)

    @property
    def unprompted_log_probs(self) -> Tensor:
        """The old name of `unconditional_log_probs`."""
        warnings.warn("unprompted_log_probs is now unconditional_log_probs.", DeprecationWarning, stacklevel=2)
        return self.unconditional_log_probs

    @cached_property
    def ids(self) -> Tensor:
        """The likeliest token of each position (B, L)."""
        return self.probs.detach().argmax(-1)

    @cached_property
    def _texts(self) -> list[str]:
        return assemble(self.ids, self.layouts, self.vocabulary)

    def texts(self) -> list[str]:
        """The text of each row if its likeliest tokens were the last word; decoded when first asked for."""
        return list(self._texts)

    def select(self, rows: Sequence[int] | Tensor) -> GuidanceState:
        """The state of some of the rows."""
        index = torch.as_tensor(rows, device=self.device)
        unconditional = (
            None if self._unconditional is None else (lambda without=(): self.log_probs_without(*without)[index])
        )
        return GuidanceState(
            self.probs[index],
            self.noisy.select(index),
            self.gamma,
            self.u,
            self.step,
            self.num_steps,
            [self.layouts[i] for i in index.tolist()],
            self.span_mask[index],
            self.vocabulary,
            self._embeddings,
            unconditional,
            None if self._log_probs is None else self._log_probs[index],
        )


def assemble(ids: Tensor, layouts: Sequence[CanvasLayout], vocabulary: Vocabulary) -> list[str]:
    """The texts of rows of token ids (B, L)."""
    return [
        layout.assemble(row[: layout.length], vocabulary)[0] for row, layout in zip(ids.tolist(), layouts, strict=True)
    ]
