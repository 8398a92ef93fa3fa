"""`SteeringScheduler`: our plugins around a token scheduler of diffusers, and so in its LLaDA2 and DiffusionGemma pipelines."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor

from diffusionlm.integrations.canvas_guide import CanvasGuide, nudged


class SteeringScheduler:
    """Stands in the place of a scheduler: tilts the logits of each step, draws one text that obeys all rules, and lets the
    scheduler decide which of its tokens are kept.

    Under hard rules tokens that are committed stay (an editing threshold has no effect), and the last step of a canvas leaves
    no noise.

    Args:
        scheduler: `BlockRefinementScheduler`, `EntropyBoundScheduler` or `DiscreteDDIMScheduler` of diffusers.
        guidance: plugins, as the pipeline takes them; the answer is the text, the prompt is no part of it.
        tokenizer: of the model, or its processor.
        gen_length: of the call; needed for LLaDA2Pipeline, whose last block may be cut to it.
        end_token: token or id after which the answer is over; None: what the tokenizer says.
        mask_token: id of the mask, if the tokenizer names none.

    Raises:
        ValueError: for plugins that need latents, candidates or the unconditional posterior, or another kind of scheduler.

    Example:
        >>> pipe.scheduler = SteeringScheduler(pipe.scheduler, guidance=..., tokenizer=pipe.tokenizer)  # doctest: +SKIP
    """

    def __init__(
        self,
        scheduler: Any,
        *,
        guidance: Any,
        tokenizer: Any,
        gen_length: int | None = None,
        end_token: str | int | None = None,
        mask_token: int | None = None,
    ) -> None:
        asked = inspect.signature(scheduler.step).parameters if hasattr(scheduler, "step") else {}
        if not {"model_output", "timestep", "sample"} <= set(asked) or not hasattr(scheduler, "set_timesteps"):
            raise ValueError(
                f"{type(scheduler).__name__} is no scheduler of diffusers; give a BlockRefinementScheduler, an "
                "EntropyBoundScheduler or a DiscreteDDIMScheduler."
            )
        if getattr(scheduler.config, "corrector_steps", 0):
            raise ValueError("corrector_steps resamples tokens behind the back of the rules; set it to 0 to steer.")
        self.scheduler, self.gen_length = scheduler, gen_length
        self._asked = set(asked)
        self._guide = CanvasGuide(guidance, tokenizer, end_token=end_token, mask_token=mask_token)
        self.set_timesteps = _like(scheduler.set_timesteps, self._set_timesteps)
        self.step = _like(scheduler.step, self._step)
        self._forget()

    def __getattr__(self, name: str) -> Any:
        if name == "scheduler":
            raise AttributeError(name)
        return getattr(self.scheduler, name)

    def _forget(self) -> None:
        self._answers: list[list[int]] | None = None  # of earlier canvases
        self._canvas: Tensor | None = None  # the last text of the canvas that is being written
        self._decided = torch.zeros(0, 0, dtype=torch.bool)
        self._done = 0  # positions of the answer on earlier canvases

    def _set_timesteps(self, num_inference_steps: int, *args: Any, **kwargs: Any) -> None:
        self._forget()
        self.scheduler.set_timesteps(num_inference_steps, *args, **kwargs)

    def _step(self, model_output: Tensor, timestep: int | Tensor, sample: Tensor, **settings: Any) -> Any:
        index, mask_id = int(timestep), settings.get("mask_token_id")
        hidden = settings.get("prompt_mask")
        lead = 0 if hidden is None else int(hidden.sum())  # tokens of the prompt that open the block
        if index == 0:
            self._open(sample, lead, model_output.shape[-1], mask_id)
        own = sample[:, lead:]
        hard = self._guide.session.joint is not None
        temperature = self._temperature(index, settings)
        last = index + 1 >= self.scheduler.num_inference_steps
        decided = self._stays(own, mask_id, hard, settings)
        guided = self._guide.guide(model_output[:, lead:], own, decided, index, temperature or 1.0)
        sure = temperature == 0 or (hard and last and mask_id is None)
        chosen = guided.best() if sure else guided.draw(_uniforms(own, settings.get("generator")))
        output = torch.cat([model_output[:, :lead].float(), nudged(guided.log_probs, chosen)], dim=1)
        as_object = settings.pop("return_dict", True)
        out = self.scheduler.step(
            output * self._scale(temperature), timestep, sample, **self._own_settings(settings, hard), return_dict=True
        )
        if "temperature" not in self._asked:  # the drawn text in the place of the scheduler's independent draws
            out.sampled_tokens = torch.cat([out.sampled_tokens[:, :lead], chosen], dim=1)
            out.prev_sample = torch.where(out.accepted_index, out.sampled_tokens, out.prev_sample)
        if mask_id is None and hard:
            if hasattr(out, "transfer_index"):
                self._decided = self._decided | out.transfer_index
            if last:
                out.prev_sample = chosen
        self._canvas = chosen if mask_id is None and hard else out.prev_sample[:, lead:]
        return out if as_object else tuple(out.values())

    def _stays(self, own: Tensor, mask_id: int | None, hard: bool, settings: dict[str, Any]) -> Tensor:
        """Positions (B, L) bool whose token is no longer asked for."""
        if mask_id is not None:
            decided = own != mask_id
            # committed tokens that may be edited are predicted anew, where no rule would notice
            return decided if hard or not _edits(self.scheduler, settings) else torch.zeros_like(decided)
        if not hard:
            return torch.zeros_like(own, dtype=torch.bool)
        if self._canvas is None:
            return self._decided
        return self._decided | (own == self._canvas).all(-1, keepdim=True)  # a row that the loop has frozen stays

    def _own_settings(self, settings: dict[str, Any], hard: bool) -> dict[str, Any]:
        """Settings of the scheduler's step: it takes the drawn text as the likeliest, since its own draw is independent."""
        own = dict(settings)
        if "temperature" in self._asked:
            own["temperature"] = 0.0
        if "sampling_method" in self._asked:
            own["sampling_method"] = "greedy"
        if hard and "editing_threshold" in self._asked:
            own["editing_threshold"] = 2.0  # above every probability: nothing is edited
        return own

    def _open(self, sample: Tensor, lead: int, size: int, mask_id: int | None) -> None:
        """A new canvas: what stood on the one before is known text.

        Raises:
            ValueError: if rules must know where the answer is cut, and do not.
        """
        rows, length = sample.shape[0], sample.shape[1] - lead
        if self._answers is None or len(self._answers) != rows:
            self._answers, self._done = [[] for _ in range(rows)], 0
        elif self._canvas is not None:
            for answer, tokens in zip(self._answers, self._canvas.tolist(), strict=True):
                answer += [token for token in tokens if token != mask_id]
        if mask_id is not None and self._guide.steering.constraints and self.gen_length is None:
            raise ValueError(
                "LLaDA2Pipeline cuts its last block to gen_length, and the rules must know it: give the same gen_length to "
                "SteeringScheduler and to the call."
            )
        left = None
        if mask_id is not None and self.gen_length is not None:
            left = max(min(self.gen_length - self._done, length), 0)
        self._done += length
        self._canvas = None
        self._decided = torch.zeros(rows, length, dtype=torch.bool, device=sample.device)
        self._guide.begin(self._answers, length, left, self.scheduler.num_inference_steps, size)

    def _scale(self, temperature: float) -> float:
        """Factor that undoes the temperature by which a scheduler divides on its own."""
        return 1.0 if "temperature" in self._asked else temperature

    def _temperature(self, index: int, settings: dict[str, Any]) -> float:
        """Temperature of the draw at a step."""
        if "temperature" in self._asked:
            return float(settings.get("temperature", 0.0))
        config, steps = self.scheduler.config, self.scheduler.num_inference_steps
        return float(config.t_min + (config.t_max - config.t_min) * (steps - index) / steps)


def _like(original: Any, own: Any) -> Any:
    """A function that calls ``own`` and shows the signature of ``original``: pipelines read it to see what may be passed."""

    def called(*args: Any, **kwargs: Any) -> Any:
        return own(*args, **kwargs)

    called.__signature__ = inspect.signature(original)  # type: ignore[attr-defined]
    called.__doc__ = original.__doc__
    return called


def _edits(scheduler: Any, settings: dict[str, Any]) -> bool:
    threshold = settings.get("editing_threshold", getattr(scheduler.config, "editing_threshold", None))
    return threshold is not None and threshold > 0


def _uniforms(like: Tensor, generator: torch.Generator | None) -> Tensor:
    device = like.device if generator is None else generator.device
    return torch.rand(like.shape, dtype=torch.float64, generator=generator, device=device).to(like.device)
