"""`Trace`: what guidance did, per step, plugin and sample; conflicts, goals, and the denoising replayed as text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

if TYPE_CHECKING:
    from diffusionlm.spans import CanvasLayout
    from diffusionlm.text import Vocabulary

# Two plugins are in conflict where the mean cosine of their directions is below this. At equal strength a cosine of c takes
# from each the part -c of its way, here three tenths; plugins that merely want different things stay within 0.05 of zero.
CONFLICT = -0.3


@dataclass(frozen=True)
class GoalReport:
    """Whether a goal holds for a finished text.

    Attributes:
        plugin: name of the plugin.
        sample: number of the text, over all inputs.
        goal: in words.
        value: the measure of the finished text.
        reached: whether it meets the goal.
        shortfall: how far it is from the goal, relative to it; 0 where it is reached.
    """

    plugin: str
    sample: int
    goal: str
    value: float
    reached: bool
    shortfall: float = 0.0


@dataclass(frozen=True)
class ConflictReport:
    """Two plugins that pulled against each other.

    Attributes:
        plugins: their names.
        cosine: mean over steps and samples of the cosine of their directions; -1 is plain opposition.
        share: share of the steps and samples in which it was below `CONFLICT`, -0.3.
    """

    plugins: tuple[str, str]
    cosine: float
    share: float

    def __str__(self) -> str:
        first, second = self.plugins
        return (
            f"{first} and {second} pull against each other (cosine {self.cosine:+.2f}, in {self.share:.0%} of steps); drop "
            "one, or give one a higher priority."
        )


@dataclass
class BatchTrace:
    """The trace of one batch; rows are samples times particles, those of a sample side by side."""

    layouts: Sequence[CanvasLayout]
    vocabulary: Vocabulary
    particles: int
    plugins: list[dict[str, Any]] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)
    cosines: list[tuple[tuple[str, str], np.ndarray]] = field(default_factory=list)
    goals: list[GoalReport] = field(default_factory=list)
    finished: dict[str, list[float]] = field(default_factory=dict)
    chosen: list[int] = field(default_factory=list)

    @property
    def samples(self) -> int:
        """Number of samples."""
        return len(self.layouts) // self.particles

    def pick(self, kept: Sequence[int]) -> BatchTrace:
        """The trace of some samples alone; conflicts stay those of the whole batch."""
        if list(kept) == list(range(self.samples)):
            return self
        count = self.particles
        rows = np.array([sample * count + k for sample in kept for k in range(count)])
        place = {sample: i for i, sample in enumerate(kept)}

        def of(record: dict[str, Any]) -> dict[str, Any]:
            return {key: value[rows] if isinstance(value, np.ndarray) else value for key, value in record.items()}

        return BatchTrace(
            [self.layouts[row] for row in rows],
            self.vocabulary,
            count,
            [of(record) for record in self.plugins],
            [of(record) for record in self.steps],
            self.cosines,
            [replace(goal, sample=place[goal.sample]) for goal in self.goals if goal.sample in place],
            {name: [values[sample] for sample in kept] for name, values in self.finished.items()},
            [self.chosen[sample] + (place[sample] - sample) * count for sample in kept] if self.chosen else [],
        )

    def add_plugin(self, step: int, name: str, **values: Tensor | None) -> None:
        """Adds what a plugin did at a step; each value is (B,)."""
        self.plugins.append({"step": step, "plugin": name, **{k: _array(v) for k, v in values.items()}})

    def add_step(self, step: int, u: float, gamma: float, ids: Tensor, **values: Tensor | None) -> None:
        """Adds what concerns the whole step; each value is (B,), ids (B, L) the likeliest tokens."""
        arrays = {k: _array(v) for k, v in values.items()}
        self.steps.append({"step": step, "u": u, "gamma": gamma, "ids": ids.cpu().numpy().astype(np.int32), **arrays})


class Trace:
    """What guidance did in one call. Samples are numbered over all inputs.

    Attributes:
        batches: the traces of the batches; of a text that was written again, that of the attempt which was kept.

    Example:
        >>> trace = pipe(guidance=Toxicity(below=0.1)).trace  # doctest: +SKIP
        >>> trace.records()[0]["plugin"], trace.unmet  # doctest: +SKIP
        ('toxicity', [])
    """

    def __init__(self, batches: Sequence[BatchTrace], numbers: Sequence[Sequence[int]] | None = None) -> None:
        self.batches = list(batches)
        if numbers is None:
            ends = np.cumsum([0, *(batch.samples for batch in self.batches)]).tolist()
            numbers = [range(first, end) for first, end in pairwise(ends)]
        self._numbers = [list(own) for own in numbers]

    @classmethod
    def join(cls, parts: Sequence[tuple[Trace, Sequence[int], Sequence[int]]]) -> Trace:
        """One trace of several batches: of each its trace, which of its samples stay, and their numbers in the whole."""
        return cls([trace.batches[0].pick(kept) for trace, kept, _ in parts], [numbers for *_, numbers in parts])

    def _numbered(self) -> Iterator[tuple[list[int], BatchTrace]]:
        yield from zip(self._numbers, self.batches, strict=True)

    @property
    def num_samples(self) -> int:
        """Number of samples."""
        return len({number for own in self._numbers for number in own})

    def records(self) -> list[dict[str, Any]]:
        """One row for each step, sample, particle and active plugin.

        Columns: step, u, gamma, sample, particle, plugin; energy; measure (what goals speak of); weight (after schedule,
        goal and trust region); kl (mean KL per position that this plugin alone costs, nats); and of all plugins together:
        kl_total, entropy (mean per position of the guided posterior, nats), changes (positions whose likeliest token
        guidance changed) and ess (effective sample size of the particles, else None).
        """
        rows = []
        for numbers, batch in self._numbered():
            whole = {record["step"]: record for record in batch.steps}
            for record in batch.plugins:
                step = whole[record["step"]]
                for row in range(len(batch.layouts)):
                    rows.append(
                        {
                            "step": record["step"],
                            "u": step["u"],
                            "gamma": step["gamma"],
                            "sample": numbers[row // batch.particles],
                            "particle": row % batch.particles,
                            "plugin": record["plugin"],
                            **{key: _at(record[key], row) for key in ("energy", "measure", "weight", "kl")},
                            **{key: _at(step[key], row) for key in ("kl_total", "entropy", "changes", "ess")},
                        }
                    )
        return rows

    def to_pandas(self) -> Any:
        """`records` as a data frame.

        Raises:
            ImportError: if pandas is not installed, saying how to install it.
        """
        try:
            import pandas
        except ModuleNotFoundError as error:
            raise ImportError(
                "The trace as a data frame needs pandas: pip install 'diffusionlm-toolkit[plots]', or use records()."
            ) from error

        return pandas.DataFrame(self.records())

    def to_json(self) -> str:
        """Records, goals, conflicts and energies of the finished texts as JSON."""
        data = {
            "records": self.records(),
            "goals": [vars(goal) for goal in self.goals],
            "conflicts": [vars(conflict) for conflict in self.conflicts],
            "finished": self.finished,
        }
        return json.dumps(data, ensure_ascii=False)

    @property
    def active(self) -> set[str]:
        """Names of the plugins that did something at any step."""
        return {record["plugin"] for batch in self.batches for record in batch.plugins}

    @property
    def goals(self) -> list[GoalReport]:
        """Every goal and sample: whether the finished text meets it."""
        found = [
            replace(goal, sample=numbers[goal.sample]) for numbers, batch in self._numbered() for goal in batch.goals
        ]
        return sorted(found, key=lambda goal: goal.sample)

    @property
    def unmet(self) -> list[GoalReport]:
        """Goals that were not reached."""
        return [goal for goal in self.goals if not goal.reached]

    @property
    def finished(self) -> dict[str, list[float]]:
        """Energy of every finished text under each plugin that is an energy."""
        out: dict[str, dict[int, float]] = {}
        for numbers, batch in self._numbered():
            for name, values in batch.finished.items():
                out.setdefault(name, {}).update(zip(numbers, values, strict=True))
        return {name: [own[number] for number in sorted(own)] for name, own in out.items()}

    @property
    def conflicts(self) -> list[ConflictReport]:
        """Plugins that pulled against each other, the worst first: their mean cosine is below `CONFLICT`, -0.3."""
        pairs: dict[tuple[str, str], list[np.ndarray]] = {}
        for batch in self.batches:
            for pair, cosine in batch.cosines:
                pairs.setdefault(pair, []).append(cosine)
        reports = []
        for pair, parts in pairs.items():
            cosine = np.concatenate(parts)
            if cosine.mean() < CONFLICT:
                reports.append(ConflictReport(pair, float(cosine.mean()), float((cosine < CONFLICT).mean())))
        return sorted(reports, key=lambda report: report.cosine)

    def replay(self, sample: int = 0) -> list[str]:
        """How a text came about: after each step, the text of the likeliest tokens of the guided posterior."""
        texts = []
        for numbers, batch in self._numbered():  # more than one has it where a text was written in blocks
            if sample in numbers:
                place = numbers.index(sample)
                row = batch.chosen[place] if batch.chosen else place * batch.particles
                layout = batch.layouts[row]
                texts += [
                    layout.assemble(step["ids"][row, : layout.length].tolist(), batch.vocabulary)[0]
                    for step in batch.steps
                ]
        if texts:
            return texts
        raise IndexError(f"There is no sample {sample}; the trace has {self.num_samples}.")

    def plot(self) -> Any:
        """Energy, weight, KL and entropy over the steps, mean over samples with the span between them. Needs matplotlib.

        Returns:
            A matplotlib ``Figure``; ``.savefig("trace.png")`` writes it.
        """
        from diffusionlm.guidance.engine.trace_plot import plot

        return plot(self)

    def __str__(self) -> str:
        energies = f"{len(self.finished)} {'energy' if len(self.finished) == 1 else 'energies'}"
        lines = [f"{self.num_samples} sample{'s' * (self.num_samples != 1)}, {energies}"]
        for name, values in self.finished.items():
            lines.append(f"  {name}: energy of the finished texts {np.mean(values):.3f} (mean)")
        names = dict.fromkeys(goal.plugin for goal in self.goals)
        for name in names:
            own = [goal for goal in self.goals if goal.plugin == name]
            lines.append(f"  goal {own[0].goal}: reached by {sum(g.reached for g in own)} of {len(own)}")
        return "\n".join(lines + [f"  {conflict}" for conflict in self.conflicts])


def _array(value: Tensor | None) -> np.ndarray | None:
    return None if value is None else value.detach().float().cpu().numpy()


def _at(values: np.ndarray | None, row: int) -> float | None:
    return None if values is None else float(values[row])
