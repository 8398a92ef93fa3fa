"""`Family`: a kind of other people's models that this library loads; `FAMILIES`: all of them."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from diffusionlm.registry import Registry

if TYPE_CHECKING:
    import torch

    from diffusionlm.denoiser.contract import DiffusionModel
    from diffusionlm.text.foreign import ForeignTokenizer


@dataclass(frozen=True)
class Choices:
    """Words of the user on a checkpoint where its folder does not say enough; None takes the family's own.

    Attributes:
        family: "masked" says that the weights are of a masked diffusion model whatever their folder says.
        corruption, shift, attention, time: see `diffusionlm.families.Switches`.
        mask_token, end_token: token or id.
        tokenizer: a folder, a name, or a tokenizer of transformers.
        chat: whether a prompt is the user's turn of the chat template.
        base: where the causal language model lies that the folder holds an adapter of.
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
    base: str | None = None
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


class Family(ABC):
    """A kind of models. A subclass stands in a file of its own and is registered by ``@FAMILIES.register("name")``.

    Attributes:
        name: what it is registered as.
        summary: examples and what is particular, in one line.
        model_types: the ``model_type`` of its configurations, for lists; empty where there are many.
    """

    name: ClassVar[str] = ""
    summary: ClassVar[str] = ""
    model_types: ClassVar[tuple[str, ...]] = ()

    @classmethod
    @abstractmethod
    def recognises(cls, checkpoint: Checkpoint, choices: Choices) -> bool:
        """True for a checkpoint of this family."""

    @classmethod
    @abstractmethod
    def load(cls, checkpoint: Checkpoint, choices: Choices) -> Loaded:
        """Builds the model of a checkpoint."""


FAMILIES = Registry("family", "diffusionlm.families", "FAMILIES.register")
