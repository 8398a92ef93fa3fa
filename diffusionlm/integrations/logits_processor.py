"""`SteeringLogitsProcessor`: our plugins in ``generate`` of transformers' DiffusionGemma."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor

from diffusionlm.integrations.canvas_guide import FLOOR, CanvasGuide, nudged


class SteeringLogitsProcessor(LogitsProcessor):
    """Steers every denoising step of every canvas.

    The committed canvas is the argmax of the processed logits at whatever step the loop stops. So under hard rules the argmax
    of what this returns is one text that obeys all of them (the most probable one), a little above the exact marginals, from
    which the loop draws and which the network is told.

    Args:
        guidance: plugins, as the pipeline takes them; the answer is the text, the prompt is no part of it.
        tokenizer: of the model, or its processor.
        prompt_length: tokens of the prompt; None: what the first call has seen. Make a new processor for another prompt, or
            call `reset`.
        max_denoising_steps: of the generation configuration.
        end_token: token or id after which the answer is over; None: what the tokenizer says.

    Raises:
        ValueError: for plugins that need latents, candidates or the unconditional posterior.

    Example:
        >>> processor = SteeringLogitsProcessor({"length": {"words": 5}}, tokenizer)  # doctest: +SKIP
        >>> model.generate(ids, logits_processor=LogitsProcessorList([processor]))  # doctest: +SKIP
    """

    def __init__(
        self,
        guidance: Any,
        tokenizer: Any,
        prompt_length: int | None = None,
        max_denoising_steps: int = 48,
        end_token: str | int | None = None,
    ) -> None:
        self._guide = CanvasGuide(guidance, tokenizer, end_token=end_token)
        self._fixed, self._steps = prompt_length, max_denoising_steps
        self.reset()

    def reset(self) -> None:
        """Forgets the prompt and all canvases."""
        self._prompt = self._fixed
        self._seen: tuple[int, int] | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor, cur_step: int | Tensor = 1) -> Tensor:
        """Processed logits (B, L, V).

        Args:
            input_ids: prompt and committed canvases (B, N).
            scores: logits of the canvas (B, L, V).
            cur_step: steps that are left, this one counted.
        """
        if scores.dim() != 3:
            raise ValueError(
                f"SteeringLogitsProcessor takes logits of a canvas (B, L, V), got {tuple(scores.shape)}: it is for models that "
                "denoise canvases, such as DiffusionGemma, and not for writing from left to right."
            )
        batch, length, size = scores.shape
        left = int(cur_step)
        known = input_ids.shape[1]
        if self._prompt is None or known < self._prompt:
            self._prompt = known
        if self._seen is None or self._seen[0] != known or left > self._seen[1]:
            self._steps = max(self._steps, left)
            written = input_ids[:, self._prompt :].tolist()
            self._guide.begin(written, length, None, self._steps, size)
        self._seen = known, left
        none = torch.zeros(batch, length, dtype=torch.bool, device=scores.device)
        ids = scores.argmax(-1)
        guided = self._guide.guide(scores, ids, none, self._steps - left)
        if guided.joint is None:
            out: Tensor = guided.log_probs.clamp_min(FLOOR)
            return out.to(scores.dtype)
        return nudged(guided.log_probs, guided.best()).to(scores.dtype)
