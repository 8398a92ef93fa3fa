"""Context of a task: the model, the data, the judge, and a place where samples and scores are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from diffusionlm.evaluation.data import EvaluationData
from diffusionlm.evaluation.electricity import EnergyMeter
from diffusionlm.evaluation.independence import label_of
from diffusionlm.evaluation.judge import SMOLLM2
from diffusionlm.evaluation.registry import Unavailable
from diffusionlm.evaluation.sample_sets import SampleSet, Shelf, write
from diffusionlm.evaluation.seen_text import SeenText
from diffusionlm.evaluation.text_files import read_texts
from diffusionlm.guidance.registry.configuration import plugins_from
from diffusionlm.pipeline import DiffusionLMPipeline

CHUNK = 32


def _track(items: Any, description: str) -> Iterable[Any]:
    return track(items, description, transient=True)


@dataclass
class Context:
    """Shared by the tasks of one evaluation.

    Attributes:
        pipe: the model.
        facts: name and checksum of its weights.
        folder: where samples and scores are kept.
        data: texts to compare with.
        judge: of perplexity: "smollm2", or a folder or hub name of a causal language model.
        guidance: plugins as plain data, measured beside the unguided model; None for none.
        steps: denoising steps.
        temperature: of sampling; the model's own if None.
        seed: of the first sample.
        allow_guide_as_judge: report figures whose judge is the guide, labelled.
        meter: of electricity; None measures none.
        progress: wraps what is gone through: ``progress(items, description)``.
        dtype: of the network, for the record.
    """

    pipe: DiffusionLMPipeline
    facts: dict[str, Any]
    folder: Path
    data: EvaluationData = field(default_factory=EvaluationData)
    judge: str = SMOLLM2
    guidance: Mapping[str, Any] | None = None
    steps: int = 32
    temperature: float | None = None
    seed: int = 0
    allow_guide_as_judge: bool = False
    meter: EnergyMeter | None = None
    progress: Callable[..., Iterable[Any]] = _track
    dtype: str = "float32"

    @property
    def settings(self) -> dict[str, Any]:
        """Settings that all samples have in common."""
        temperature = self.pipe.temperature_at(self.steps) if self.temperature is None else self.temperature
        return {**self.facts, "steps": self.steps, "temperature": temperature, "dtype": self.dtype}

    @cached_property
    def shelf(self) -> Shelf:
        """Keeps samples, and the judge's scores."""
        return Shelf(self.folder / "samples", self.settings, self.judge, self.progress)

    def samples(
        self, name: str, count: int, *, first: int = 0, guidance: Mapping[str, Any] | None = None, **settings: Any
    ) -> SampleSet:
        """``count`` samples with the seeds ``seed + first`` on, kept under a name made of all settings.

        Args:
            name: of the file.
            count: how many, for each text or prompt given.
            first: added to the seed.
            guidance: plugins as plain data, ``{name: {setting: value}}``.
            settings: further arguments of the pipeline, as plain data.
        """
        key = {"first": self.seed + first, "count": count, "guidance": guidance, **settings}
        arguments = {"steps": self.steps, "temperature": self.temperature, **settings}

        def make() -> SampleSet:
            return write(self.pipe, count, self.seed + first, self.meter, guidance=guidance, **arguments)

        meter = self.meter
        if meter is None:
            return self.shelf.samples(name, key, make)
        made = self.shelf.samples(name, key, make, lambda kept: kept.energy is not None)
        return made if made.energy is None else replace(made, energy=meter.here(made.energy))

    def unguided(self, count: int, **settings: Any) -> SampleSet:
        """The first ``count`` unguided samples: tasks share them. Written in parts that are kept."""
        whole = SampleSet([])
        for first in self.progress(range(0, count, CHUNK), "unguided samples"):
            whole += self.samples("unguided", CHUNK, first=first, **settings)
        made = len(whole.texts)
        energy = whole.energy.per(made, count) if whole.energy else None
        return SampleSet(whole.texts[:count], whole.certificates[:count], whole.seconds * count / made, 0, energy)

    def score(self, texts: list[str]) -> np.ndarray:
        """Nats and tokens of each text under the judge (texts, 2), kept; zeros for empty texts."""
        return self.shelf.score(texts)

    def score_with_worst(self, texts: list[str]) -> np.ndarray:
        """As `score`, with the nats of the least likely token of each text (texts, 3)."""
        return self.shelf.score_with_worst(texts)

    def score_by(self, judge: str, texts: list[str]) -> np.ndarray:
        """As `score_with_worst`, under another judge."""
        return Shelf(self.folder / "samples", {}, judge, self.progress).score_with_worst(texts)

    @cached_property
    def seen(self) -> SeenText:
        """Index of the training text.

        Raises:
            MissingData: none was given.
        """
        return SeenText((text for _, text in self.data.training), read_texts(self.data.lexicon))

    def features(self, texts: list[str]) -> np.ndarray:
        """Features of the judge of perplexity after the last token of each text (texts, D)."""
        return self.shelf.features(texts)

    def label(self, judge: str, names: Iterable[Any], guidance: Any) -> str:
        """The label of a figure of texts written under ``guidance`` that ``judge``, known as ``names``, judges.

        Raises:
            ValueError: the judge is a guide, and that is not allowed.
        """
        return label_of(judge, list(names), plugins_from(guidance), self.allow_guide_as_judge)

    def perplexity_label(self, guidance: Any) -> str:
        """`label` of perplexities."""
        extra = ["HuggingFaceTB/SmolLM2-135M-Instruct", "HuggingFaceTB/SmolLM2-135M"] if self.judge == SMOLLM2 else []
        return self.label(self.judge, [self.judge, *extra], guidance)

    def need_plugin(self, name: str) -> None:
        """Raises `Unavailable` if no plugin of that name is registered."""
        from diffusionlm.guidance import available

        if name not in available():
            raise Unavailable(f"no guidance plugin {name!r} is registered")

    def bind(self, guidance: Any) -> None:
        """Binds plugins to the model's vocabulary, so that what they lack shows before work starts.

        Raises:
            Unavailable: a file of theirs is missing (a reader, tables); the message is the plugin's.
        """
        from diffusionlm.guidance import compose

        try:
            compose(guidance, self.pipe.tokenizer.vocabulary)
        except (FileNotFoundError, ModuleNotFoundError) as error:
            raise Unavailable(str(error)) from error

    def need_judge(self) -> None:
        """True if the judge of perplexity is at hand, without loading it.

        Raises:
            ModuleNotFoundError: it is a package that is not installed; names what installs it.
            ValueError: it is neither a folder nor a name on the hub.
        """
        if self.judge == SMOLLM2:
            from diffusionlm.evaluation.judge import find_smollm2

            find_smollm2()
        elif not Path(self.judge).is_dir() and (self.judge.count("/") != 1 or self.judge.startswith((".", "/"))):
            raise ValueError(
                f"judge={self.judge} is neither '{SMOLLM2}' nor the folder of a causal language model nor a name on the hub "
                "(owner/name)."
            )
