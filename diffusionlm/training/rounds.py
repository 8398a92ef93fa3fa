"""The rounds of a progressive distillation: a student for each halving of the steps, which is the next one's teacher."""

from __future__ import annotations

import inspect
import shutil
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from diffusionlm.checkpoints.folders import INDEX, find_folder, read_index
from diffusionlm.checkpoints.loading import load_denoiser
from diffusionlm.denoiser import DenoiserConfig, SpanDenoiser
from diffusionlm.diffusion import NoiseSchedule, schedule_from_dict
from diffusionlm.generation.temperatures import check_temperature, interpolate, read_temperatures
from diffusionlm.pipeline import DiffusionLMPipeline
from diffusionlm.training.distillation import distillation_objective
from diffusionlm.training.run import build_trainer
from diffusionlm.training.settings import check_keys

if TYPE_CHECKING:
    from diffusionlm.text import TextTokenizer
    from diffusionlm.training.objective import Objective
    from diffusionlm.training.trainer import Trainer

_DECIDED = ("vocab_size", "pad_token_id", "max_position_embeddings", "config_version")
_OF_THE_TEACHER = ("summary", "license", "languages", "fields", "segments", "intended_use")
_BESIDE = ("readers", "concepts")  # what guidance reads: the students have the same embeddings


def check_steps(steps: Any) -> list[int]:
    """Numbers of steps, each half of the one before.

    Raises:
        ValueError: if they are something else.
    """
    numbers = steps if isinstance(steps, list) else []
    whole = all(isinstance(number, int) and not isinstance(number, bool) and number > 0 for number in numbers)
    if len(numbers) < 2 or not whole or any(2 * later != one for one, later in pairwise(numbers)):
        raise ValueError(
            f"steps must be the teacher's number and then its halvings, such as [32, 16, 8], got {steps!r}: one step of a "
            "student takes the place of two of its teacher."
        )
    return numbers


@dataclass(frozen=True)
class Teacher:
    """A pipeline whose steps are to be halved.

    Attributes:
        name: as it was given.
        folder: of the pipeline.
    """

    name: str
    folder: Path

    @classmethod
    def find(cls, name: str, setting: str = "teacher") -> Teacher:
        """The pipeline of a name; its kind is checked, its weights are not read.

        Args:
            name: as `find_folder` takes it.
            setting: where it was given.

        Raises:
            FileNotFoundError: if there is none.
            ValueError: if it is no Gaussian model of ours.
        """
        folder = find_folder(name)
        if not (folder / INDEX).is_file():
            raise ValueError(
                f"{setting}={name} is somebody else's model: distil halves the steps of Gaussian models that 'diffusionlm "
                "train' wrote, such as restaurant."
            )
        teacher = cls(str(name), folder)
        if teacher.config.process != "gaussian":
            raise ValueError(
                f"{setting}={name} is a {teacher.config.process} model, whose steps lead to random tokens: distil halves the "
                "steps of Gaussian models (model.process=gaussian)."
            )
        return teacher

    @cached_property
    def index(self) -> dict[str, Any]:
        """Its ``model_index.json``."""
        return read_index(self.folder)

    @cached_property
    def config(self) -> DenoiserConfig:
        """The settings of its network."""
        return DenoiserConfig.from_pretrained(self.folder / "denoiser")

    @property
    def card(self) -> dict[str, Any]:
        """Facts about it."""
        return dict(self.index.get("card") or {})

    def temperature(self, steps: int) -> float:
        """Its own for so many steps."""
        return interpolate(read_temperatures(self.index.get("temperature", 1.0)), steps)

    def load(self) -> SpanDenoiser:
        """Its network."""
        return load_denoiser(self.folder / "denoiser", self.index.get("sha256"))

    def check_student(self, name: str, student: Teacher) -> None:
        """Refuses a start of another family than the teacher's.

        Raises:
            ValueError: naming what differs.
        """
        own, other = _network(self.config), _network(student.config)
        differing = [key for key in own if own[key] != other[key]]
        if differing:
            key = differing[0]
            raise ValueError(
                f"init={name} is of another family than the teacher {self.name}: its {key} is {other[key]}, the teacher's "
                f"{own[key]}; leave init away to begin with the teacher's weights."
            )
        if student.index["schedule"] != self.index["schedule"] or not torch.equal(
            student.load().embeddings, self.load().embeddings
        ):
            raise ValueError(
                f"init={name} has other noise than the teacher {self.name} (schedule or token embeddings): only the teacher "
                "and students of it can begin; leave init away."
            )


@dataclass(frozen=True)
class Round:
    """One halving.

    Attributes:
        config: the resolved ``configs/distil.yaml``.
        teacher: whose steps are halved.
        steps: of the student.
        last: whether no student follows.
    """

    config: dict[str, Any]
    teacher: Teacher
    steps: int
    last: bool

    @property
    def folder(self) -> Path:
        """Of the run."""
        return Path(self.config["folder"]) / str(self.steps)

    @property
    def export(self) -> Path:
        """Folder of its pipeline."""
        return Path(self.config["export"]) if self.last else self.folder / "pipeline"

    @property
    def temperature(self) -> float:
        """Of the teacher."""
        given = self.config["temperature"]
        if given is None or 2 * self.steps != self.config["steps"][0]:
            return self.teacher.temperature(2 * self.steps)
        return check_temperature(given)

    def settings(self) -> dict[str, Any]:
        """The configuration of its run, as of ``configs/train.yaml``."""
        longest = self.teacher.config.max_position_embeddings
        data = dict(self.config["data"])
        data["max_length"] = longest if data["max_length"] is None else data["max_length"]
        if isinstance(data["max_length"], int) and data["max_length"] > longest:
            raise ValueError(
                f"data.max_length={data['max_length']} is more than the {longest} positions of the teacher {self.teacher.name}."
            )
        first = self.config["init"] if 2 * self.steps == self.config["steps"][0] else None
        return {
            **{key: value for key, value in self.config.items() if key not in ("teacher", "steps", "temperature")},
            "name": f"{self.config['name']}, {self.steps} steps",
            "folder": str(self.folder),
            "export": str(self.export),
            "data": data,
            "model": _network(self.teacher.config),
            "schedule": self.teacher.index["schedule"],
            "init": first or str(self.teacher.folder),
            "adapter": {"kind": "none"},
        }

    def build(self) -> tuple[Trainer, TextTokenizer]:
        """The trainer of the student, and the tokenizer of both.

        Raises:
            ValueError: if settings are wrong, or the folder was begun with others.
        """
        settings = self.settings()
        if settings["data"]["tokenizer"].get("kind") != "init":
            raise ValueError("A student has the tokens of its teacher: leave data.tokenizer away.")

        def objective(student: SpanDenoiser, schedule: NoiseSchedule) -> Objective:
            return distillation_objective(student, self.teacher.load(), schedule, self.steps, self.temperature)

        marks = {
            "teacher (content)": self.teacher.index.get("sha256"),
            "steps": [2 * self.steps, self.steps],
            "temperature": self.temperature,
        }
        return build_trainer(settings, objective=objective, marks=marks)

    def pipeline(
        self, trainer: Trainer, tokenizer: TextTokenizer, card: dict[str, Any] | None = None
    ) -> DiffusionLMPipeline:
        """A pipeline around the student with the weights that it carries now, of as many steps as it learned."""
        index = self.teacher.index
        return DiffusionLMPipeline(
            trainer.denoiser,
            tokenizer,
            self.config["sampler"],
            schedule_from_dict(index["schedule"]),
            min(index["max_length"], trainer.denoiser.config.max_position_embeddings),
            index["max_span_length"],
            card,
            steps=self.steps,
        )

    def samples(self, trainer: Trainer, tokenizer: TextTokenizer) -> list[str]:
        """Whole texts of the student."""
        pipe = self.pipeline(trainer, tokenizer)
        pipe.set_progress_bar_config(disable=True)
        return pipe(num_samples=self.config["samples"], seed=self.config["seed"]).texts

    def write(self, trainer: Trainer, tokenizer: TextTokenizer, card: dict[str, Any]) -> Path:
        """Writes the student's pipeline, with the readers and concepts of its teacher; returns its folder.

        Raises:
            OSError: if it cannot be written.
        """
        first: dict[str, Any] = {
            "teacher": self.teacher.name,
            "sha256": self.teacher.index.get("sha256"),
            "steps": [2 * self.steps],
        }
        begun = self.teacher.card.get("distilled") or first
        own = {key: value for key, value in self.teacher.card.items() if key in _OF_THE_TEACHER}
        told = {
            **own,
            **card,
            "distilled": {**begun, "steps": [*begun["steps"], self.steps]},
            "training": {
                "steps": trainer.step,
                "tokens_seen": trainer.tokens_seen,
                "training_hours": round(trainer.seconds / 3600, 3),
                **trainer.figures,
            },
        }
        with trainer.average.applied(trainer.denoiser):
            pipe = self.pipeline(trainer, tokenizer, told)
            pipe.bigrams = self.teacher.index.get("bigrams", 0.0)
            pipe.save_pretrained(self.export)
        for name in _BESIDE:
            if (self.teacher.folder / name).is_dir():
                shutil.copytree(self.teacher.folder / name, self.export / name, dirs_exist_ok=True)
        return self.export


def check_distillation(config: dict[str, Any]) -> Teacher:
    """The first teacher; what a run would stumble over later is refused now.

    Raises:
        ValueError: naming the setting.
        FileNotFoundError: if there is no such teacher.
    """
    check_steps(config["steps"])
    if config["temperature"] is not None:
        check_temperature(config["temperature"])
    teacher = Teacher.find(config["teacher"])
    if config["init"]:
        teacher.check_student(config["init"], Teacher.find(config["init"], "init"))
    check_keys("data.tokenizer", config["data"]["tokenizer"], ("kind", "vocab_size", "min_count"))
    return teacher


def _network(config: DenoiserConfig) -> dict[str, Any]:
    """The settings of a network that ``model`` of a configuration gives."""
    names = [name for name in inspect.signature(DenoiserConfig.__init__).parameters if name not in ("self", "kwargs")]
    return {name: getattr(config, name) for name in names if name not in _DECIDED}
