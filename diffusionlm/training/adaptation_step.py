"""What a step of training does to a model of transformers that becomes a masked denoiser: its loss and its bound.

Shape letters: B rows, L span positions, K known, P prompt, N of the network.
"""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from diffusionlm.diffusion import NoiseSchedule, hide, masked_bound, masked_cross_entropy
from diffusionlm.families import Loaded
from diffusionlm.families.sheet import Sheet
from diffusionlm.training.validation import VALID_STREAM

if TYPE_CHECKING:
    from diffusionlm.training.batches import BatchSource

_LEVELS = 4  # noise levels of a validation: a pass of a large network takes its time


class TrainedModule(nn.Module):
    """The network as the trainer sees it.

    Args:
        module: a language model of transformers.
    """

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.module = module
        self.config = SimpleNamespace(embedding_size=1, vocab_size=int(module.config.vocab_size))

    @property
    def device(self) -> torch.device:
        """Device of its weights."""
        return next(self.module.parameters()).device

    @property
    def peft_config(self) -> dict[str, Any]:
        """PEFT's settings of its adapter; none where all weights learn."""
        return getattr(self.module, "peft_config", {})

    def gradient_checkpointing_enable(self, settings: dict[str, Any]) -> None:
        """See transformers; beside an adapter the inputs ask for gradients, as the embeddings do not learn."""
        if self.peft_config:
            self.module.enable_input_require_grads()
        self.module.gradient_checkpointing_enable(settings)


class AdaptationStep(nn.Module):
    """Weighted cross-entropy of hidden tokens under a network that sees the whole text.

    Args:
        loaded: network, frame and switches, as the pipeline has them.
    """

    def __init__(self, loaded: Loaded) -> None:
        super().__init__()
        model: Any = loaded.model
        self.model, self.network = model, model.network

    def lay(self, span_mask: Tensor, span_positions: Tensor, **context: Tensor) -> Sheet:
        """Rows as `lay_sheet` lays them: prefix, prompt, text, suffix; anything at span positions.

        Args:
            span_mask, span_positions: (B, L).
            context: known and prompt tensors of the batch.
        """
        frame, rows = self.model.frame, len(span_mask)
        prompted = context["prompt_mask"].sum(-1)
        bare = (prompted > 0) & frame.chat
        before = torch.where(bare, 0, len(frame.prefix))
        lead = before + prompted
        parts = [(span_positions, span_mask), (context["known_positions"], context["known_mask"])]
        total = torch.stack([(at + 1).masked_fill(~mask, 0).amax(-1) for at, mask in parts if mask.shape[1]]).amax(0)
        ends = lead + total
        lengths = ends + torch.where(bare, 0, len(frame.suffix))
        width = int(lengths.max())
        place = torch.arange(width, device=span_mask.device).expand(rows, -1)
        ids = torch.full((rows, width), frame.filler, device=span_mask.device)
        for kind in ("known", "prompt"):
            mask, at = context[f"{kind}_mask"], context[f"{kind}_positions"]
            row, column = mask.nonzero(as_tuple=True)
            ids[row, lead[row] + at[row, column]] = context[f"{kind}_ids"][row, column]
        framed = torch.nonzero(~bare)[:, 0]
        for number, token in enumerate(frame.prefix):
            ids[framed, number] = token
        for number, token in enumerate(frame.suffix):
            ids[framed, ends[framed] + number] = token
        at = ((lead[:, None] + span_positions) * span_mask).clamp_min(0)
        return Sheet(ids, place < lengths[:, None], at, lead)

    def logits(self, sheet: Sheet, span_ids: Tensor, span_mask: Tensor, hidden: Tensor, gamma: Tensor) -> Tensor:
        """Logits (B, L, V) of the spans' tokens, float32.

        Args:
            sheet: from `lay`.
            span_ids: (B, L).
            span_mask: (B, L) bool.
            hidden: (B, L) bool.
            gamma: (B,).
        """
        ids = sheet.written(span_ids.masked_fill(hidden, self.model.mask_id), span_mask)
        at = (sheet.at - self.model.switches.shift).clamp_min(0)
        out: Tensor = self.network.logits(ids, sheet, at, gamma, self.model.switches)
        return out.float()

    def forward(
        self,
        span_ids: Tensor,
        span_mask: Tensor,
        span_positions: Tensor,
        open_mask: Tensor,
        gamma: Tensor,
        noise: Tensor,
        likelihood_weight: Tensor,
        self_condition: bool,
        **context: Tensor,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """One pass; see `TrainingStep`. The noise (B, L, 1) says which tokens are hidden; nothing is self-conditioned."""
        hidden = hide(noise[..., 0], gamma, span_mask)
        sheet = self.lay(span_mask, span_positions, **context)
        out = self.logits(sheet, span_ids, span_mask, hidden, gamma)
        return masked_cross_entropy(out, span_ids, hidden, span_mask, gamma), {}


@torch.no_grad()
def adapted_bound(
    step: AdaptationStep, source: BatchSource, schedule: NoiseSchedule, num_batches: int, rank: int = 0, world: int = 1
) -> tuple[float, int]:
    """This process's share of a validation: nats of the bound of whole held-out texts, and their tokens.

    Args:
        step: the network, averaged weights in place.
        source: of validation batches.
        schedule: not read, the bound has levels of its own.
        num_batches: of the whole validation.
        rank: which process this is.
        world: how many there are.
    """
    total, tokens = 0.0, 0
    for number in range(rank, num_batches, world):
        batch = source.batch(number, stream=VALID_STREAM).to(step.network.device)
        context = {name: value for name, value in batch.tensors().items() if name.startswith(("known", "prompt"))}
        sheet = step.lay(batch.span_mask, batch.span_positions, **context)
        logits_of = partial(_hidden_logits, step, sheet, batch)
        generators = [torch.Generator().manual_seed(number * 10_007 + row) for row in range(len(batch.span_ids))]
        nats = masked_bound(logits_of, batch.span_ids, batch.span_mask, _LEVELS, generators)
        total += float(nats.sum())
        tokens += int(((batch.span_ids != source.pad_id) & batch.span_mask).sum())
    return total, tokens


def _hidden_logits(step: AdaptationStep, sheet: Sheet, batch: Any, hidden: Tensor, gamma: Tensor) -> Tensor:
    return step.logits(sheet, batch.span_ids, batch.span_mask, hidden, gamma)
