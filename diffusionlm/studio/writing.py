"""Carries out an order: guided and unguided side by side from the same noise, step by step, as plain data for the page."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from diffusionlm.checkpoints.folders import bundled_names, find_folder
from diffusionlm.generation.results import GenerationResult, StepState
from diffusionlm.pipeline import DiffusionLMPipeline
from diffusionlm.studio.electricity import Meter
from diffusionlm.studio.examining import Draft, Side, examine
from diffusionlm.studio.frames import finished_frames
from diffusionlm.studio.order import Order

PREFERRED = "guestbook"


_offered: list[str] = []


def offer(names: Sequence[str]) -> None:
    """Says which weights the page has; none: the bundled ones.

    Args:
        names: bundled names, folders, or owner/name on the Hub; the first is the one that the page opens with.

    Raises:
        FileNotFoundError: if there are none of that name.
    """
    for name in names:
        find_folder(name)
    _offered[:] = dict.fromkeys(names)
    pipeline.cache_clear()


def checkpoints() -> list[str]:
    """Names of the weights that the page has, the one that it opens with first."""
    return list(_offered) or sorted(bundled_names(), key=lambda name: (name != PREFERRED, name))


@lru_cache(maxsize=8)
def pipeline(checkpoint: str) -> DiffusionLMPipeline:
    """The pipeline of weights that the page has, loaded once.

    Raises:
        FileNotFoundError: if there are none of that name.
    """
    if checkpoint not in checkpoints():
        raise FileNotFoundError(f"There are no weights {checkpoint!r} here; there are {', '.join(checkpoints())}.")
    pipe = DiffusionLMPipeline.from_pretrained(checkpoint)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@dataclass
class Outcome:
    """A finished order.

    Attributes:
        order: what was asked for.
        sides: guided first where there are two.
        samples: for each side and sample what is marked, certified and found, for the page.
        seconds: from the order to the last step.
        joules: of the processor, or None where nobody can tell.
        energy_source: how they were found, in words.
    """

    order: Order
    sides: list[Side]
    samples: list[list[dict[str, Any]]]
    seconds: float
    joules: float | None
    energy_source: str

    @property
    def result(self) -> GenerationResult:
        """Of the side that the code on the page reproduces: the guided one where there is one."""
        assert self.sides[0].result is not None
        return self.sides[0].result


def carry_out(order: Order, compare: bool = True) -> Iterator[list[Side] | Outcome]:
    """Yields the sides after every step, and the `Outcome` last.

    Args:
        order: what to write.
        compare: write without guidance too, where there is guidance.

    Raises:
        ValueError: if a text does not fit, a setting is wrong or a rule cannot be met; before any work starts.
        GuidanceError: if a plugin fails while it runs.
    """
    began, meter = time.perf_counter(), Meter()
    pipe = pipeline(order.checkpoint)
    plugins = order.plugins()
    sides = [Side("Guided")] if plugins else []
    streams = [pipe.stream(order.text, guidance=plugins, **order.arguments())] if plugins else []
    if compare or not plugins:
        sides.append(Side("Unguided" if plugins else "Written"))
        streams.append(pipe.stream(order.text, **order.arguments()))
    drafts: list[list[Draft]] = [[] for _ in sides]
    waiting = dict(enumerate(streams))
    while waiting:
        for k, stream in list(waiting.items()):
            item = next(stream)
            if isinstance(item, GenerationResult):
                _finish(sides[k], drafts[k], item)
                del waiting[k]
                continue
            assert isinstance(item, StepState)
            if item.step == 0:
                drafts[k].append(Draft(item))
            drafts[k][-1].add(item)
            sides[k].show(drafts[k], item.step)
            if len(drafts[k]) == 1:
                sides[k].entropy.append(_entropy(item))
        if waiting:
            yield sides
    seconds, (joules, source) = time.perf_counter() - began, meter.read()
    yield Outcome(order, sides, examine(order, sides, plugins, pipe), seconds, joules, source)


def _finish(side: Side, drafts: list[Draft], result: GenerationResult) -> None:
    """Shows the attempts that were kept, and the finished texts."""
    final, kept = finished_frames(result, [draft.last for draft in drafts])
    side.frames = [[drafts[place].frames[j][step] for j, place in enumerate(kept)] for step in range(len(side.frames))]
    side.frames.append(final)
    side.result = result


def _entropy(state: StepState) -> float:
    """Mean over rows and positions, in nats."""
    log_probs = state.log_probs.float().clamp_min(-80.0)
    return float(-(log_probs.exp() * log_probs).sum(-1).mean())
