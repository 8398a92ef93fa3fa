"""Findings about the finished texts: marks, certificates, goals, and what plugins object to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from diffusionlm.generation.results import GenerationResult, Sample, StepState
from diffusionlm.guidance import Constraint, Guidance
from diffusionlm.spans import Canvas
from diffusionlm.studio.frames import Piece, frames_of, rows_of, text_of
from diffusionlm.studio.marks import changed_words, findings, marked

if TYPE_CHECKING:
    from diffusionlm.pipeline import DiffusionLMPipeline
    from diffusionlm.studio.order import Order

MANY = 4  # parts of a rule that hold, from which on they are shown in one line


class Draft:
    """One attempt at some samples of a side, as it comes about.

    Args:
        state: its first step.

    Attributes:
        frames: of each sample, by number: its pieces after each step.
        last: the newest step.
    """

    def __init__(self, state: StepState) -> None:
        self.last = state
        self.frames: dict[int, list[list[Piece]]] = {number: [] for number in state.samples}

    def add(self, state: StepState) -> None:
        """Takes a step."""
        self.last = state
        rows = [rows_of(state, number)[0] for number in self.frames]
        for number, frame in zip(self.frames, frames_of(state, rows), strict=True):
            self.frames[number].append(frame)


@dataclass
class Side:
    """One of the two: guided or unguided.

    Attributes:
        title: for people.
        frames: pieces of every sample, for each step so far, the finished text last.
        entropy: mean nats per position, for each step of the first attempt.
        step: the newest; it begins anew where a text that missed its goal is written again.
        result: when it is finished.
    """

    title: str
    frames: list[list[list[Piece]]] = field(default_factory=list)
    entropy: list[float] = field(default_factory=list)
    step: int = 0
    result: GenerationResult | None = None

    def show(self, drafts: Sequence[Draft], step: int) -> None:
        """Takes over a step of the newest draft."""
        self.step = step
        if step == len(self.frames):
            count = 1 + max(number for draft in drafts for number in draft.frames)
            self.frames.append([[] for _ in range(count)])
        for number, frames in drafts[-1].frames.items():
            self.frames[step][number] = frames[step]


def examine(
    order: Order, sides: Sequence[Side], plugins: Sequence[Guidance], pipe: DiffusionLMPipeline
) -> list[list[dict[str, Any]]]:
    """Facts of each side and sample: "seed", "attempts", "text", "parts", "findings", "certificates", "checks", "goals".

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
            verdicts = _verdicts(order, sample, rules)
            certificates = sample.certificates or {name: held for own in verdicts for name, held in own[1].items()}
            own.append(
                {
                    "seed": sample.seed,
                    "attempts": sample.attempts,
                    "text": sample.text,
                    "parts": marked(side.frames[-1][j], changes, found),
                    "findings": [
                        {"plugin": f.plugin, "reason": f.reason, "text": sample.text[f.start : f.end]} for f in found
                    ],
                    "certificates": certificates,
                    "checks": _checks(certificates, verdicts),
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


def _verdicts(order: Order, sample: Sample, rules: Sequence[Constraint]) -> list[tuple[str, dict[str, bool]]]:
    """What each rule certifies of a text, whether it was written under it or not: its title, and its verdicts by name."""
    written, position = [], 0
    literals = Canvas.whole().literals if order.text is None else Canvas.parse(order.text).literals
    for literal, span in zip(literals, sample.spans, strict=False):
        position += len(literal)
        written.append((position, position + len(span)))
        position += len(span)
    return [(rule.title, rule.certify_written(sample.text, sample.token_ids, written)) for rule in rules]


def _checks(certificates: dict[str, bool], verdicts: Sequence[tuple[str, dict[str, bool]]]) -> list[dict[str, Any]]:
    """Lines to show: a rule of many parts that hold is one line, a part that does not is a line of its own."""
    lines: list[dict[str, Any]] = []
    shown = set()
    for title, own in verdicts:
        names = [name for name in own if name in certificates and name not in shown]
        shown.update(names)
        held = [name for name in names if certificates[name]]
        if len(held) >= MANY:
            lines.append({"name": f"{title}: {len(held)} checks hold", "held": True, "help": "\n".join(held)})
        else:
            lines += [{"name": name, "held": True, "help": ""} for name in held]
        lines += [{"name": name, "held": False, "help": ""} for name in names if not certificates[name]]
    return lines + [{"name": n, "held": held, "help": ""} for n, held in certificates.items() if n not in shown]
