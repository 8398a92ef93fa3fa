"""`Family`: a kind of other people's models that this library loads, and the list of all of them.

A family is one file in `diffusionlm.families`: a function that builds the model from a folder, registered by `family`. It is
found by being there, or from outside by importing the file that registers it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from diffusionlm.denoiser.contract import DiffusionModel
    from diffusionlm.text.foreign import ForeignTokenizer

BUILT_IN = ("masked_lm", "diffusion_transformers", "decoders")
FAMILIES: dict[str, Family] = {}


@dataclass(frozen=True)
class Choices:
    """What a user says of a checkpoint where its folder does not; None takes the family's own.

    Attributes:
        family: "masked" says that the weights are of a masked diffusion model whatever their folder says.
        corruption, shift, attention, time: see `diffusionlm.families.Switches`.
        mask_token, end_token: token or id.
        tokenizer: a folder, a name, or a tokenizer of transformers.
        chat: whether a prompt is the user's turn of the chat template.
        dtype: of the weights.
    """

    family: str | None = None
    corruption: str | None = None
    shift: int | None = None
    attention: str | None = None
    time: str | None = None
    mask_token: str | int | None = None
    end_token: str | int | None = None
    tokenizer: Any = None
    chat: bool | None = None
    dtype: torch.dtype | None = None


@dataclass(frozen=True)
class Checkpoint:
    """A folder of somebody else's model.

    Attributes:
        folder: where it is.
        config: its config.json.
    """

    folder: Path
    config: dict[str, Any]

    @classmethod
    def read(cls, folder: Path) -> Checkpoint:
        """Reads config.json.

        Raises:
            ValueError: if it is damaged or no JSON object.
        """
        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(f"{folder / 'config.json'} cannot be read: {error}") from error
        if not isinstance(config, dict):
            raise ValueError(f"{folder / 'config.json'} is no JSON object, so it is no configuration of a model.")
        return cls(folder, config)

    @property
    def model_type(self) -> str:
        """As config.json says, "" where it says nothing."""
        return str(self.config.get("model_type", ""))

    @property
    def architectures(self) -> tuple[str, ...]:
        """Names of classes."""
        return tuple(self.config.get("architectures") or ())


@dataclass(frozen=True)
class Loaded:
    """A model ready for a pipeline.

    Attributes:
        model: behind the contract.
        tokenizer: its tokenizer.
        defaults: further arguments of the pipeline: schedule, sampler, lengths, card.
    """

    model: DiffusionModel
    tokenizer: ForeignTokenizer
    defaults: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Family:
    """A kind of models.

    Attributes:
        name: what it is called.
        summary: examples and what is particular, in one line.
        recognises: whether a checkpoint is of it.
        load: builds its model.
        model_types: the ``model_type`` of its configurations, for lists; empty where there are many.
    """

    name: str
    summary: str
    recognises: Callable[[Checkpoint, Choices], bool]
    load: Callable[[Checkpoint, Choices], Loaded]
    model_types: tuple[str, ...] = ()


def family(
    name: str, summary: str, recognises: Callable[[Checkpoint, Choices], bool], model_types: tuple[str, ...] = ()
) -> Callable[[Callable[[Checkpoint, Choices], Loaded]], Callable[[Checkpoint, Choices], Loaded]]:
    """Registers the decorated function as the loader of a family.

    Raises:
        ValueError: if the name is taken by another function.
    """

    def register(load: Callable[[Checkpoint, Choices], Loaded]) -> Callable[[Checkpoint, Choices], Loaded]:
        held = FAMILIES.get(name)
        if held is not None and held.load.__qualname__ != load.__qualname__:
            raise ValueError(f"The family {name!r} is there already ({held.load.__module__}); take another name.")
        FAMILIES[name] = Family(name, summary, recognises, load, model_types)
        return load

    return register


def families() -> dict[str, Family]:
    """All families, the built-in ones imported; the newest is asked first."""
    for module in BUILT_IN:
        import_module(f"diffusionlm.families.{module}")
    return dict(FAMILIES)
