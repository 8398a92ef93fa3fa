"""Task `likelihood`: the bound on -log p of held-out texts, in nats by token and by text."""

from __future__ import annotations

from dataclasses import dataclass

from diffusionlm.evaluation.context import Context
from diffusionlm.evaluation.figures import TaskResult, measure, number
from diffusionlm.evaluation.likelihood import text_bounds
from diffusionlm.evaluation.registry import Task, Unavailable, register


@register("likelihood")
@dataclass
class Likelihood(Task):
    """Upper bound on the negative log-likelihood of held-out texts, written from nothing (`text_bounds`).

    Args:
        count: texts; those that do not fit the model's canvas are passed over, and counted.
        levels: noise levels drawn for each.
    """

    count: int = 48
    levels: int = 16

    full = {"count": 512, "levels": 32}
    order = 20

    def check(self, context: Context) -> None:
        """There are held-out texts."""
        if context.data.path("valid") is None:
            raise Unavailable("there are no held-out texts")

    def work(self, context: Context) -> tuple[float, int]:
        """In passes of the network, two a level, as samples of `steps` passes."""
        return 2 * self.levels * self.count / context.steps, 0

    def run(self, context: Context) -> TaskResult:
        """Bounds each text."""
        tokenizer, limit = context.pipe.tokenizer, context.pipe.max_length
        texts = [text for _, text in context.data.held_out]
        kept: list[str] = []
        passed_over = 0
        for text in texts:
            if len(kept) == self.count:
                break
            if len(tokenizer.encode(text)) <= limit:
                kept.append(text)
            else:
                passed_over += 1
        parts = [kept[i : i + 16] for i in range(0, len(kept), 16)]
        nats: list[float] = []
        tokens: list[int] = []
        for number_, part in enumerate(context.progress(parts, "likelihood bound")):
            found = text_bounds(context.pipe, part, num_levels=self.levels, seed=context.seed + number_)
            nats += found.nats
            tokens += found.tokens
        pairs = list(zip(nats, tokens, strict=True))
        return TaskResult(
            [
                measure("bound by token", "quotient", pairs, keys=kept, unit="nats", better="lower"),
                measure("bound by text", "mean", nats, keys=kept, unit="nats", better="lower"),
                number("texts too long, passed over", passed_over),
            ],
            notes=[
                "An upper bound, with the end of each text; its Monte Carlo noise is part of the intervals. By token it "
                "compares only with models of the same tokenizer."
            ],
        )
