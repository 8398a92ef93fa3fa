"""`Classifier`: any transformers sequence classifier as guidance, whatever its tokenizer."""

from __future__ import annotations

from dataclasses import field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from diffusionlm.errors import suggestion
from diffusionlm.guidance.classifiers.bridge import VocabularyBridge
from diffusionlm.guidance.guidance import Guidance
from diffusionlm.guidance.registry.plugins import register
from diffusionlm.guidance.state import GuidanceState
from diffusionlm.text import Vocabulary


@register("classifier")
class Classifier(Guidance):
    """Raises (or lowers) the probability that a transformers sequence classifier gives to one of its labels.

    The energy is -log p(label | text), or -log(1 - p) where the label is to be avoided; the measure, which goals speak of,
    is p. ``Classifier("my/sentiment", "positive", above=0.9)``; ``Classifier("unitary/toxic-bert", "toxic", below=0.05)``.

    Args:
        model: a name or folder for ``AutoModelForSequenceClassification``, or a loaded model in evaluation mode.
        label: the label by its name in the model's ``id2label``, or its number.
        tokenizer: its fast tokenizer; loaded from ``model`` if that is a name.
        avoid: lower the probability instead; implied by ``below``.
        budget: as for every plugin, but 0.8 nats if not given: with more, text is written that pleases the classifier alone.

    Raises:
        OSError: if there is no model of that name, or it cannot be fetched.
        ValueError: if the model has no trained head, the label is unknown, a loaded model comes without tokenizer, or is in
            training mode.
    """

    reference = "Dhariwal and Nichol 2021, Diffusion models beat GANs on image synthesis; here on the clean posterior"
    expected_failures = {
        "default_constructible": "there is no classifier that everybody has",
        "json_round_trip": "the example holds a loaded model; one given by name can be written",
    }

    model: Any
    label: str | int = 1
    tokenizer: Any = None
    avoid: bool = False
    budget: float | None = field(default=0.8, kw_only=True)  # chosen by benchmarks.bench_trust_region

    @classmethod
    def example(cls) -> Classifier:
        """A tiny classifier with random weights."""
        from diffusionlm.guidance.classifiers.tiny_classifier import tiny_classifier

        model, tokenizer = tiny_classifier()
        return cls(model, "positive", tokenizer, weight=5.0)

    def bind(self, vocabulary: Vocabulary) -> None:
        """Loads the model and aligns the vocabularies."""
        for name, goal in (("below", self.below), ("above", self.above)):
            if goal is not None and not 0 < goal < 1:
                raise ValueError(f"{name} of Classifier is a probability between 0 and 1, such as 0.9; got {goal!r}.")
        if isinstance(self.model, str):
            self.network, tokenizer = _load(self.model)
            tokenizer = self.tokenizer or tokenizer
        else:
            self.network, tokenizer = self.model, self.tokenizer
            if tokenizer is None:
                raise ValueError("Classifier got a loaded model without its tokenizer; pass tokenizer=... too.")
            if self.network.training:
                raise ValueError(
                    "The classifier is in training mode, where dropout makes it random; call model.eval() first."
                )
        config = self.network.config
        names = {int(k): str(v) for k, v in (config.id2label or {}).items()}
        if isinstance(self.label, int) and self.label < config.num_labels:
            self.index = self.label
        else:
            by_lower = {name.lower(): k for k, name in names.items()}
            if str(self.label).lower() not in by_lower:
                hint = suggestion(str(self.label), names.values())
                raise ValueError(f"The classifier has no label {self.label!r}; {hint}")
            self.index = by_lower[str(self.label).lower()]
        longest = getattr(config, "max_position_embeddings", None)
        if longest is not None and config.model_type in ("roberta", "xlm-roberta", "camembert"):
            longest -= 2  # their positions begin behind the padding index
        embedding = self.network.get_input_embeddings().weight
        self.bridge = VocabularyBridge(vocabulary, tokenizer, embedding, longest)
        self.multi_label = config.problem_type == "multi_label_classification" or config.num_labels == 1

    @property
    def avoided(self) -> bool:
        """Whether the label's probability is lowered."""
        return self.avoid or self.below is not None

    def energy(self, state: GuidanceState) -> Tensor:
        """-log p(label | text), or -log(1 - p) where it is avoided (B,)."""
        logits = self.logits(state)
        if self.multi_label:
            own = logits[:, self.index]
            return F.softplus(own) if self.avoided else F.softplus(-own)
        log_p = logits.log_softmax(-1)
        if not self.avoided:
            return -log_p[:, self.index]
        others = torch.arange(logits.shape[-1], device=logits.device) != self.index
        return -log_p[:, others].logsumexp(-1)

    def logits(self, state: GuidanceState) -> Tensor:
        """What the classifier says of the soft text (B, labels), float32."""
        given = self.bridge(state).to_model()
        return self.network(**given).logits.float()

    def measure(self, energy: Tensor) -> Tensor:
        """The probability of the label."""
        return -torch.expm1(-energy) if self.avoided else (-energy).exp()


class UntrainedHead(ValueError):
    """The files of a classifier lack weights, most often those of its head: it would judge by random numbers."""


def load_trained(name: str | Path, **settings: Any) -> Any:
    """A sequence classifier all of whose weights come from its files.

    Args:
        name: as ``AutoModelForSequenceClassification.from_pretrained`` takes it.
        settings: likewise.

    Raises:
        UntrainedHead: if a weight is missing, where transformers would draw it at random and warn.
        OSError: if there is no such model.
    """
    from transformers import AutoModelForSequenceClassification

    model, found = AutoModelForSequenceClassification.from_pretrained(name, output_loading_info=True, **settings)
    missing = sorted(found["missing_keys"])
    if missing:
        raise UntrainedHead(
            f"The classifier {str(name)!r} has no trained head: its files lack {', '.join(missing[:3])}"
            f"{' and more' if missing[3:] else ''}, which would be random. Train it on labelled texts first, or give a model "
            "that was trained to classify."
        )
    return model


@lru_cache(maxsize=2)
def _load(name: str) -> tuple[Any, Any]:
    from transformers import AutoTokenizer

    try:
        model = load_trained(name).eval()
        tokenizer = AutoTokenizer.from_pretrained(name)
    except UntrainedHead:
        raise
    except (OSError, ValueError) as error:
        raise OSError(
            f"There is no sequence classifier {name!r}: {' '.join(str(error).split())} Give a folder with its config.json, "
            "weights and tokenizer, or owner/name on the Hub."
        ) from error
    model.requires_grad_(False)
    return model, tokenizer
