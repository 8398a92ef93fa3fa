"""`GuidanceState`: what a plugin sees of a denoising step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from diffusionlm.spans import CanvasLayout
    from diffusionlm.text import Vocabulary


class GuidanceState:
    """One denoising step of B rows with L span positions, V tokens and D embedding dimensions.

    Attributes:
        probs: token posterior (B, L, V), zero at forbidden tokens; gradients are taken here.
        latents: noisy embeddings (B, L, D).
        gamma: noise level, log(sigma²/alpha²); +large is noise.
        u: progress, from 1 (noise) to 0 (clean text).
        step: index of the step, from 0; ``num_steps`` when the finished text is measured.
        num_steps: how many steps there are.
        layouts: the canvas of each row: known text, where spans stand.
        span_mask: (B, L) bool, positions in use; the others hold the pad token.
        vocabulary: surfaces of the tokens.
        embeddings: unit embeddings of all tokens (V, D).

    Example:
        >>> def energy(self, state):  # of a plugin that wants few of some tokens
        ...     return state.probs[..., self.tokens].sum((1, 2))
    """

    def __init__(
        self,
        probs: Tensor,
        latents: Tensor,
        gamma: float,
        u: float,
        step: int,
        num_steps: int,
        layouts: Sequence[CanvasLayout],
        span_mask: Tensor,
        vocabulary: Vocabulary,
        embeddings: Tensor,
        unprompted: Callable[[], Tensor] | None = None,
        log_probs: Tensor | None = None,
    ) -> None:
        self.probs, self.latents = probs, latents
        self.gamma, self.u, self.step, self.num_steps = gamma, u, step, num_steps
        self.layouts, self.span_mask = tuple(layouts), span_mask
        self.vocabulary, self.embeddings = vocabulary, embeddings
        self._unprompted, self._log_probs = unprompted, log_probs

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

    @cached_property
    def clean(self) -> Tensor:
        """Clean estimate (B, L, D): the expected embedding under the posterior."""
        return self.probs.to(self.embeddings.dtype) @ self.embeddings

    @cached_property
    def unprompted_log_probs(self) -> Tensor:
        """Log token posterior (B, L, V) without the prompt; no gradient. Costs one more pass of the network.

        Raises:
            RuntimeError: where no model is at hand to ask.
        """
        if self._unprompted is None:
            raise RuntimeError("This state has no model to ask for the posterior without the prompt.")
        with torch.no_grad():
            return self._unprompted()

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
        unprompted = None if self._unprompted is None else (lambda: self.unprompted_log_probs[index])
        return GuidanceState(
            self.probs[index],
            self.latents[index],
            self.gamma,
            self.u,
            self.step,
            self.num_steps,
            [self.layouts[i] for i in index.tolist()],
            self.span_mask[index],
            self.vocabulary,
            self.embeddings,
            unprompted,
            None if self._log_probs is None else self._log_probs[index],
        )


def text_reader(vocabulary: Vocabulary) -> Any:
    """What `CanvasLayout.assemble` needs of a tokenizer."""
    return SimpleNamespace(vocabulary=vocabulary, pad_id=vocabulary.pad_id)


def assemble(ids: Tensor, layouts: Sequence[CanvasLayout], vocabulary: Vocabulary) -> list[str]:
    """The texts of rows of token ids (B, L)."""
    reader = text_reader(vocabulary)
    return [layout.assemble(row[: layout.length], reader)[0] for row, layout in zip(ids.tolist(), layouts, strict=True)]
