"""Task `speed`: seconds a sample and tokens a second over batch, length, steps, sampler and plugins; how cost grows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from diffusionlm.denoiser.attention import check_backend
from diffusionlm.evaluation.context import Context
from diffusionlm.evaluation.figures import Curve, Figure, Table, TaskResult, number
from diffusionlm.evaluation.registry import Task, register
from diffusionlm.evaluation.timing import Timing, exponent, peak_memory, ratio_of, take_turns

SPAN = 8  # tokens that are written behind known words
PLUGINS: dict[str, dict[str, Any]] = {
    "length": {"length": {"tokens": [4, None]}},
    "regex": {"regex": {"forbid": "[0-9]"}},
}


@register("speed")
@dataclass
class Speed(Task):
    """Times of generation, one thing changed at a time around a middle point; calls take turns.

    Args:
        batches: texts at once.
        lengths: positions of the canvas; those that the model does not take are left out.
        steps: denoising steps.
        samplers: by name.
        contexts: known words before a span of eight tokens; those that the model does not take are left out.
        backends: of attention; those that this machine cannot run are left out.
        rounds: how often each is timed.
        batch: of the middle point.
        length: of the middle point.
    """

    batches: list[int] = field(default_factory=lambda: [1, 4, 16])
    lengths: list[int] = field(default_factory=lambda: [16, 32, 64])
    steps: list[int] = field(default_factory=lambda: [4, 8, 16])
    samplers: list[str] = field(default_factory=lambda: ["ancestral", "euler", "dpm++2m"])
    contexts: list[int] = field(default_factory=lambda: [8, 16, 32, 48])
    backends: list[str] = field(default_factory=lambda: ["sdpa", "eager"])
    rounds: int = 3
    batch: int = 4
    length: int = 32

    full = {
        "batches": [1, 4, 16, 64],
        "lengths": [8, 16, 32, 64, 128, 256],
        "steps": [8, 16, 32, 64],
        "rounds": 7,
        "contexts": [8, 16, 32, 48, 128, 512],
        "backends": ["sdpa", "eager", "flash_attention_2"],
    }
    order = 90

    def work(self, context: Context) -> tuple[float, int]:
        """About the samples of all calls, in samples of `context.steps` steps."""
        middle = self.steps[len(self.steps) // 2]
        rest = len(self.lengths) + len(self.samplers) + len(self.contexts) + len(self.backends) + 4
        passes = middle * (sum(self.batches) + self.batch * rest)
        passes += self.batch * sum(self.steps)
        return (self.rounds + 1) * passes / context.steps, 0

    def run(self, context: Context) -> TaskResult:
        """Times every axis."""
        longest = context.pipe.model.max_length
        lengths = [length for length in self.lengths if length <= longest]
        base = {"batch": self.batch, "length": min(self.length, longest), "steps": self.steps[len(self.steps) // 2]}
        axes: dict[str, dict[Any, dict[str, Any]]] = {
            "batch": {size: {"batch": size} for size in self.batches},
            "length": {size: {"length": size} for size in lengths},
            "steps": {size: {"steps": size} for size in self.steps},
            "sampler": {name: {"sampler": name} for name in self.samplers},
            "context": {n: {"context": n, "length": SPAN} for n in self.contexts if _fits(context, n, longest)},
            "attention": {name: {"backend": name} for name in self.backends if _runs(context, name)},
            "plugins": {
                "none": {},
                **{name: {"guidance": given} for name, given in PLUGINS.items()},
                "all of these": {
                    "guidance": {key: value for given in PLUGINS.values() for key, value in given.items()}
                },
            },
        }
        figures: list[Figure] = []
        tables, curves = [], []
        own = context.pipe.denoiser.config._attn_implementation
        for name, points in context.progress([axis for axis in axes.items() if axis[1]], "speed"):
            timings = take_turns(
                {str(point): _call(context, base | change) for point, change in points.items()}, self.rounds
            )
            rows = [[point, *_row(base | points[point], timings[str(point)])] for point in points]
            head = [name, "s a sample", "processor s a sample", "tokens a second", "ms a step"]
            tables.append(Table(f"Speed over {name}", head, rows))
            context.pipe.denoiser.set_attn_implementation(own)
            if name in ("batch", "length", "steps", "context") and len(points) > 1:
                figures.append(_growth(name, list(points), timings))
                series = [(float(p), timings[str(p)].median_wall, "") for p in points]
                curves.append(Curve(f"Time of a call over {name}", name, "s", {"measured": series}, logarithmic=True))
            if name == "plugins":
                for plugin in list(points)[1:]:
                    found = ratio_of(timings[plugin], timings["none"])
                    figures.append(
                        Figure(f"time with {plugin} ÷ none", found.value, found.low, found.high, better="lower")
                    )
            if name == "batch":
                one = timings[str(self.batches[0])]
                figures.insert(0, number(f"time of a call, batch {self.batches[0]}", one.median_wall, "s", "lower"))
        figures += [number(f"peak memory, {what}", value, "MiB", "lower") for what, value in peak_memory().items()]
        note = (
            f"Around {base['batch']} texts of {base['length']} positions at {base['steps']} steps; medians of {self.rounds} "
            "rounds in which the calls take turns; quartiles in brackets for ratios, by processor time. Exponents: time of a "
            "call = c size^k, processor time. Peak memory is that of the whole process until then."
        )
        return TaskResult(figures, tables, curves, notes=[note])


def _call(context: Context, point: dict[str, Any]) -> Callable[[], Any]:
    settings: dict[str, Any] = {"sampler": point.get("sampler"), "guidance": point.get("guidance")}

    def call() -> Any:
        if "backend" in point:
            context.pipe.denoiser.set_attn_implementation(point["backend"])
        return context.pipe(
            _known(point["context"]) if "context" in point else None,
            num_samples=point["batch"],
            max_length=point["length"],
            steps=point["steps"],
            seed=context.seed,
            temperature=context.temperature,
            **settings,
        )

    return call


def _known(words: int) -> str:
    return f"{'the ' * words}[SPAN:{SPAN}]"


def _fits(context: Context, words: int, longest: int) -> bool:
    return len(context.pipe.tokenizer.encode("the " * words)) + SPAN <= longest


def _runs(context: Context, backend: str) -> bool:
    try:
        check_backend(backend, context.pipe.denoiser.config.position_kind)
    except (ImportError, RuntimeError, ValueError):
        return False
    return True


def _row(point: dict[str, Any], timing: Timing) -> list[str]:
    count, tokens = point["batch"], point["batch"] * point["length"]
    return [
        f"{timing.median_wall / count:.4g}",
        f"{timing.median_cpu / count:.4g}",
        f"{tokens / timing.median_wall:.4g}",
        f"{1000 * timing.median_wall / point['steps']:.3g}",
    ]


def _growth(name: str, sizes: list[int], timings: dict[str, Timing]) -> Figure:
    value = exponent(sizes, [timings[str(size)].median_cpu for size in sizes])
    return number(f"exponent over {name}", value)
