"""What is said of the finished texts: marks, certificates, goals, and what plugins object to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from diffusionlm.demo.frames import Piece, text_of
from diffusionlm.demo.marks import changed_words, findings, marked
from diffusionlm.guidance import Constraint, Guidance
from diffusionlm.results import GenerationResult, Sample
from diffusionlm.spans import Canvas

if TYPE_CHECKING:
    from diffusionlm.demo.order import Order
    from diffusionlm.pipeline import DiffusionLMPipeline


@dataclass
class Side:
    """One of the two: guided or unguided.

    Attributes:
        title: for people.
        frames: pieces of every sample, for each step so far, the finished text last.
        entropy: mean nats per position, for each step.
        result: when it is finished.
    """

    title: str
    frames: list[list[list[Piece]]] = field(default_factory=list)
    entropy: list[float] = field(default_factory=list)
    result: GenerationResult | None = None


def examine(
    order: Order, sides: Sequence[Side], plugins: Sequence[Guidance], pipe: DiffusionLMPipeline
) -> list[list[dict[str, Any]]]:
    """For each side and sample, in plain data: "seed", "text", "parts", "findings", "certificates" and "goals".

    Args:
        order: what was written.
        sides: finished; guided first where there are two.
        plugins: of the order; they are bound here.
        pipe: that wrote.
    """
    judges = with_companions(plugins)
    rules = [p for p in judges if isinstance(p, Constraint) and p.how.name == "constraint"]
    for rule in rules:
        rule.bind(pipe.tokenizer.vocabulary)
    examined = []
    for k, side in enumerate(sides):
        assert side.result is not None
        trace, own = side.result.trace, []
        for j, sample in enumerate(side.result.samples[0]):
            other = sides[1 - k].frames[-1][j] if len(sides) == 2 else None
            changes = [] if other is None else changed_words(sample.text, text_of(other))
            found = findings(sample.text, judges, pipe.tokenizer)
            goals = [] if trace is None else [goal for goal in trace.goals if goal.sample == j]
            own.append(
                {
                    "seed": sample.seed,
                    "text": sample.text,
                    "parts": marked(side.frames[-1][j], changes, found),
                    "findings": [
                        {"plugin": f.plugin, "reason": f.reason, "text": sample.text[f.start : f.end]} for f in found
                    ],
                    "certificates": sample.certificates or _certificates(order, sample, rules),
                    "goals": [{"goal": goal.goal, "value": goal.value, "reached": goal.reached} for goal in goals],
                }
            )
        examined.append(own)
    return examined


def with_companions(plugins: Sequence[Guidance]) -> list[Guidance]:
    """Plugins, and the rules that some of them bring along."""
    found = []
    for plugin in plugins:
        found += [plugin, *getattr(plugin, "companions", list)()]
    return found


def _certificates(order: Order, sample: Sample, rules: Sequence[Constraint]) -> dict[str, bool]:
    """What the rules say of a text that was written without them."""
    written, position = [], 0
    literals = Canvas.whole().literals if order.text is None else Canvas.parse(order.text).literals
    for literal, span in zip(literals, sample.spans, strict=False):
        position += len(literal)
        written.append((position, position + len(span)))
        position += len(span)
    held: dict[str, bool] = {}
    for rule in rules:
        held |= rule.certify_written(sample.text, sample.token_ids, written)
    return held
