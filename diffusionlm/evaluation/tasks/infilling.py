"""Task `infilling`: words of held-out texts are hidden and written again, both sides in view."""

from __future__ import annotations

from dataclasses import dataclass, field

from diffusionlm.evaluation.context import Context
from diffusionlm.evaluation.figures import Figure, TaskResult, measure
from diffusionlm.evaluation.infilling import fill_gaps, hide_words
from diffusionlm.evaluation.registry import Task, Unavailable, register


@register("infilling")
@dataclass
class Infilling(Task):
    """Share of hidden gaps that come back as they were (`hide_words`, `fill_gaps`); a synonym counts as wrong.

    Args:
        count: texts.
        shares: of their words that are hidden.
        temperature: low, for a best guess.
    """

    count: int = 64
    shares: list[float] = field(default_factory=lambda: [0.25, 0.5])
    temperature: float = 0.3

    full = {"count": 500}
    order = 30

    def check(self, context: Context) -> None:
        """There are held-out texts."""
        if context.data.path("valid") is None:
            raise Unavailable("there are no held-out texts")

    def work(self, context: Context) -> tuple[float, int]:
        """One filling each, about half a sample's length."""
        return 0.5 * self.count * len(self.shares), 0

    def run(self, context: Context) -> TaskResult:
        """Hides, fills, compares."""
        limit = context.pipe.model.max_length
        encode = context.pipe.tokenizer.encode
        texts = [text for _, text in context.data.held_out if "[SPAN" not in text and len(encode(text)) <= limit - 8]
        result = TaskResult()
        for share in context.progress(self.shares, "infilling"):
            tasks = [hide_words(text, share, context.seed) for text in texts[: self.count]]
            fills = fill_gaps(
                context.pipe, tasks, steps=context.steps, temperature=self.temperature, seed=context.seed, batch_size=32
            )
            right = [
                (sum(a == b.strip() for a, b in zip(task.answers, given, strict=True)), len(task.gaps))
                for task, given in zip(tasks, fills, strict=True)
            ]
            keys = [task.text for task in tasks]
            result.figures += [self._figure(share, "exact gaps", "quotient", right, keys)]
            result.figures += [self._figure(share, "exact texts", "mean", [a == b for a, b in right], keys)]
            result.samples += [
                task.filled([f"[{fill.strip()}]" for fill in given])
                for task, given in zip(tasks[:4], fills, strict=False)
            ]
        return result

    def _figure(self, share: float, name: str, kind: str, items: list, keys: list[str]) -> Figure:
        return measure(f"{name}, {share:.0%} hidden", kind, items, keys=keys, unit="%", better="higher")
