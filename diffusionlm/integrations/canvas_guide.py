"""`CanvasGuide`: plugins on the canvas of somebody else's loop, one canvas after another of an answer.

Rules hold for the answer as far as it is written at the end of every canvas; the prompt is no part of it. What was written on
earlier canvases is known text.

Shape letters: B rows, L positions of a canvas that belong to the answer, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from diffusionlm.diffusion import NoisyTokens
from diffusionlm.families.building import end_ids
from diffusionlm.guidance import compose
from diffusionlm.spans import Canvas, CanvasLayout
from diffusionlm.text.foreign import ForeignTokenizer

FLOOR = -1e4  # stands for -inf where libraries refuse infinite logits; its exponential is 0 in every precision
NUDGE = 0.05  # nats by which a chosen text stands above everything else in the logits that are handed on
OFFERS = frozenset({"probs", "text"})


class CanvasGuide:
    """Plugins made ready for the tokenizer of a model that writes in its own loop.

    Args:
        guidance: as the pipeline takes it.
        tokenizer: a fast tokenizer of transformers.
        vocab_size: rows of the model's logits; None waits for the first.
        end_token: token or id after which the answer is over; None: what the tokenizer says.
        mask_token: token or id of hidden positions, if there is one; never written.

    Raises:
        ValueError: for plugins that need what a loop of others does not give: latents, candidates, the unconditional posterior.
    """

    def __init__(
        self,
        guidance: Any,
        tokenizer: Any,
        vocab_size: int | None = None,
        end_token: str | int | None = None,
        mask_token: int | None = None,
    ) -> None:
        source = getattr(tokenizer, "tokenizer", tokenizer)  # a processor holds one
        self._given, self._source, self._mask = guidance, source, mask_token
        self._ends = end_ids(source, end_token)
        self.tokenizer: ForeignTokenizer
        self._prepare(len(source) if vocab_size is None else vocab_size)

    def _prepare(self, vocab_size: int) -> None:
        end = self._ends[0] if self._ends else None
        mask = self._source.mask_token_id if self._mask is None else self._mask
        self.tokenizer = ForeignTokenizer(self._source, vocab_size, end, mask, self._ends[1:], chat=False)
        self.steering = compose(self._given, self.tokenizer.vocabulary, OFFERS)
        if self.steering.particles > 1:
            raise ValueError(
                "Candidates of a sample (strategy 'particles') are resampled in the loop of our own pipeline; in the loop of "
                "another library use strategy='tilt', which needs an energy with a gradient."
            )

    @property
    def end_id(self) -> int | None:
        """The token that ends an answer on our canvas, for all of them."""
        return self.tokenizer.end_id

    def begin(
        self, written: Sequence[Sequence[int]], length: int, left: int | None, steps: int, vocab_size: int
    ) -> None:
        """Opens a canvas.

        Args:
            written: ids of the answer of each row on earlier canvases.
            length: L.
            left: positions of the canvas that count; only the end token stands behind. None: all.
            steps: denoising steps.
            vocab_size: V of the logits that will come.

        Raises:
            UnsatisfiableConstraint: if the rules cannot be met on this canvas.
        """
        if vocab_size != self.tokenizer.vocab_size:
            self._prepare(vocab_size)
        pad = self.tokenizer.pad_id
        layouts, masks = [], []
        by_text: dict[str, tuple[CanvasLayout, Tensor]] = {}
        for ids in written:
            over = pad in ids
            text = self.tokenizer.decode(ids[: list(ids).index(pad)] if over else ids)
            key = f"{over}{text}"
            if key not in by_text:
                layout = self._layout(text, length)
                allowed = layout.allowed(self.tokenizer.vocabulary)
                allowed[0, pad] |= bool(text) and self.tokenizer.ends_spans
                if left is not None:
                    allowed[left:] = False
                    allowed[left:, pad] = True
                if over:
                    allowed[:] = False
                    allowed[:, pad] = True
                by_text[key] = layout, allowed
            layouts.append(by_text[key][0])
            masks.append(by_text[key][1])
        self.allowed = torch.stack(masks)
        self.steering.check([layout for layout, _ in by_text.values()], [mask for _, mask in by_text.values()])
        used = torch.ones(len(layouts), length, dtype=torch.bool)
        seeds = list(range(len(layouts)))
        self.session = self.steering.begin(layouts, masks, used, None, seeds, steps, "uniform")
        self.steps = steps

    def _layout(self, text: str, length: int) -> CanvasLayout:
        # known text that ends in a space keeps it: a canvas gives one space before a span to the span
        known = f"{text} " if text.endswith(" ") else text
        layout = Canvas((known, *Canvas.whole(length).spans)).lay_out(self.tokenizer, length)  # type: ignore[arg-type]
        return replace(layout, space_mask=layout.space_mask & (not text))

    def guide(self, logits: Tensor, ids: Tensor, decided: Tensor, step: int, temperature: float = 1.0) -> Any:
        """Guided posterior of a step; its ``draw`` and ``best`` are joint under the rules.

        Args:
            logits: of the model (B, L, V).
            ids: tokens of the canvas (B, L).
            decided: (B, L) bool, positions whose token stays.
            step: index of the step.
            temperature: of the draw, above 0.
        """
        log_p = logits.float() / temperature
        if len(self._ends) > 1:
            log_p[..., self.tokenizer.pad_id] = log_p[..., list(self._ends)].logsumexp(-1)
        allowed = self.allowed.to(log_p.device)
        log_p = log_p.masked_fill(~allowed, -torch.inf)
        if bool(decided.any()):
            one = torch.full_like(log_p, -torch.inf).scatter(-1, ids[..., None], 0.0)
            log_p = torch.where(decided[..., None], one, log_p)
        u = 1 - min(step, self.steps - 1) / self.steps
        noisy = NoisyTokens(ids, ~decided, torch.ones_like(decided))
        gamma = torch.logit(torch.tensor(u).clamp(1e-4, 1 - 1e-4))
        return self.session.guide(log_p.log_softmax(-1), noisy, gamma, u, step, _nobody)


def nudged(log_probs: Tensor, ids: Tensor) -> Tensor:
    """Finite log-probabilities (B, L, V) whose largest entry is at the given tokens (B, L)."""
    out = log_probs.clamp_min(FLOOR)
    top = out.max(-1, keepdim=True).values
    return out.scatter(-1, ids[..., None], top + NUDGE)


def _nobody(*_: Any) -> Tensor:
    raise ValueError("A loop of another library cannot be asked for another posterior.")
