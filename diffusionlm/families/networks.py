"""Token networks under one call: ids and what may be seen go in, logits at some positions come out.

Shape letters: B rows, N positions, L positions of interest, V vocabulary, D embedding size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from diffusionlm.families.sheet import Sheet, visible

if TYPE_CHECKING:
    from diffusionlm.families.switches import Switches


class TokenNetwork(Protocol):
    """A network that reads tokens."""

    module: nn.Module

    def logits(self, ids: Tensor, sheet: Sheet, at: Tensor, gamma: Tensor, switches: Switches) -> Tensor:
        """Logits at some positions, (B, L, V), not shifted.

        Args:
            ids: (B, N).
            sheet: how they are laid out.
            at: (B, L) positions of interest.
            gamma: noise level, scalar.
            switches: attention and time.
        """
        ...

    def table(self) -> Tensor:
        """Input embeddings (V, D) as they are."""
        ...


class Network(nn.Module):
    """Base of networks over tokens: it stands where its module stands.

    Args:
        module: what computes.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    @property
    def device(self) -> torch.device:
        """Device of its weights."""
        return next(self.module.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Of its weights."""
        return next(self.module.parameters()).dtype


class Encoder(Network):
    """A masked language model of transformers: it sees everything, in both directions, by its nature.

    Args:
        module: any ``AutoModelForMaskedLM``.
    """

    def logits(self, ids: Tensor, sheet: Sheet, at: Tensor, gamma: Tensor, switches: Switches) -> Tensor:
        """See `TokenNetwork`."""
        del gamma
        if switches.attention != "full" or switches.time != "none":
            raise ValueError(
                f"{type(self.module).__name__} sees all of a text and is told no noise level; attention must be 'full' and "
                f"time 'none', got {switches.attention!r} and {switches.time!r}."
            )
        out: Tensor = self.module(input_ids=ids, attention_mask=sheet.used.long()).logits
        return _gather(out, at)

    def table(self) -> Tensor:
        """See `TokenNetwork`."""
        return _table(self.module)


class Decoder(Network):
    """A causal language model of transformers (Llama, Qwen2, Qwen3, ...) that is given its attention mask as a table, so
    that it sees what the switches say and is never silently causal.

    Args:
        module: any ``AutoModelForCausalLM`` with a ``model`` and an ``lm_head``.

    Raises:
        ValueError: where it has no such parts, or an attention backend that takes no mask.
    """

    def __init__(self, module: Any) -> None:
        super().__init__(module)
        if not hasattr(module, "model") or not hasattr(module, "lm_head"):
            raise ValueError(
                f"{type(module).__name__} has no `model` and `lm_head`, so it cannot be read as a decoder of the kind of "
                "Llama or Qwen."
            )
        backend = module.config._attn_implementation
        if backend not in ("eager", "sdpa"):
            raise ValueError(
                f"The attention {backend!r} takes no mask and would stay causal; load the model with "
                "attn_implementation='sdpa' or 'eager'."
            )

    def logits(self, ids: Tensor, sheet: Sheet, at: Tensor, gamma: Tensor, switches: Switches) -> Tensor:
        """See `TokenNetwork`; the output layer is run at the positions of interest alone."""
        del gamma
        if switches.time != "none":
            raise ValueError(f"{type(self.module).__name__} is told no noise level; time must be 'none'.")
        seen = visible(sheet, switches.attention, switches.block)[:, None]
        dtype = next(self.module.parameters()).dtype
        mask = torch.zeros(seen.shape, dtype=dtype, device=ids.device).masked_fill(~seen, torch.finfo(dtype).min)
        position_ids = torch.arange(ids.shape[1], device=ids.device).expand(len(ids), -1)
        module: Any = self.module
        hidden = module.model(
            input_ids=ids, attention_mask=mask, position_ids=position_ids, use_cache=False
        ).last_hidden_state
        out: Tensor = module.lm_head(_gather(hidden, at))
        return out

    def table(self) -> Tensor:
        """See `TokenNetwork`."""
        return _table(self.module)


def _gather(values: Tensor, at: Tensor) -> Tensor:
    return values.gather(1, at[..., None].expand(-1, -1, values.shape[-1]))


def _table(module: Any) -> Tensor:
    embedding: nn.Embedding = module.get_input_embeddings()
    return embedding.weight
