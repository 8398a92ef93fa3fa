"""States of a generation while it runs, and its result."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from diffusionlm.citations import bibtex
from diffusionlm.diffusion import NoisyEmbeddings
from diffusionlm.generation.fluency import below_floor

if TYPE_CHECKING:
    from torch import Tensor

    from diffusionlm.diffusion import NoisyText
    from diffusionlm.spans import CanvasLayout
    from diffusionlm.text import TextTokenizer


@dataclass
class StepState:
    """View of a step from outside; all tensors are on the pipeline's device.

    Attributes:
        step: index of the step, from 0.
        num_steps: how many there are.
        u: progress of the schedule before the step, 1 is noise.
        gamma: noise level before the step.
        log_probs: log of the (guided) token posterior (B, L, V).
        noisy: the noisy text before the step.
        layouts: the canvas of each row.
        tokenizer: to read the texts.
        samples: number of each sample of the batch, over all inputs; where there are particles, those of a sample are
            neighbouring rows.
    """

    step: int
    num_steps: int
    u: float
    gamma: float
    log_probs: Tensor
    noisy: NoisyText = field(repr=False)
    layouts: list[CanvasLayout] = field(repr=False)
    tokenizer: TextTokenizer = field(repr=False)
    samples: list[int] = field(default_factory=list)

    @property
    def latents(self) -> Tensor:
        """Noisy embeddings before the step (B, L, D).

        Raises:
            AttributeError: where the model has none.
        """
        if not isinstance(self.noisy, NoisyEmbeddings):
            raise AttributeError("A masked model has no noisy embeddings: look at state.noisy and state.log_probs.")
        return self.noisy.z

    def best_tokens(self) -> tuple[list[list[str]], list[list[float]]]:
        """The likeliest token of each position as text, and its probability; one list a row."""
        probs, ids = self.log_probs.max(-1)
        strings = self.tokenizer.vocabulary.strings
        tokens = [
            [strings[t] for t in row[: layout.length].tolist()] for row, layout in zip(ids, self.layouts, strict=True)
        ]
        certainty = [row[: layout.length].exp().tolist() for row, layout in zip(probs, self.layouts, strict=True)]
        return tokens, certainty

    def texts(self) -> list[str]:
        """The text of each row if the step were the last."""
        ids = self.log_probs.argmax(-1).tolist()
        return [
            layout.assemble(row[: layout.length], self.tokenizer.vocabulary)[0]
            for row, layout in zip(ids, self.layouts, strict=True)
        ]


@dataclass(frozen=True)
class Sample:
    """One written text.

    Attributes:
        text: known text and spans together.
        spans: what was written into each span.
        token_ids: ids of each span.
        seed: the seed that gives this text again.
        certificates: hard constraints and whether the text meets them, by name.
        attempts: how often it was written; more than once where a plugin with a goal asks for it, see ``Guidance.attempts``.
        certainty: of the model, see ``best_of``: log-probability of the tokens ÷ the square root of their number, nats.
        fluency: where ``fluency=`` asked for it: the perplexity that the model expects ÷ that of the text, around 1 for its own
            texts and near 0 for broken ones; see ``diffusionlm.generation.fluency``.
        context: what its sources brought, as plain data: passages with their score, concepts.
    """

    text: str
    spans: list[str]
    token_ids: list[list[int]]
    seed: int
    certificates: dict[str, bool] = field(default_factory=dict)
    attempts: int = 1
    certainty: float | None = None
    fluency: float | None = None
    context: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class GenerationResult:
    """All samples of a call.

    Attributes:
        samples: one list for each input.
        timings: seconds spent on "encode", "network", "guidance", "sampler" and in "total".
        settings: steps, sampler, temperature and what else was asked for.
        batched: whether a list of inputs was given; decides the nesting of the views below.
        trace: what guidance did, or None without guidance.
        references: the publications behind model, sampler, strategies and plugins; see `citation`.
    """

    samples: list[list[Sample]]
    timings: dict[str, float]
    settings: dict[str, Any]
    batched: bool
    trace: Any = None
    references: tuple[str, ...] = ()

    def _view(self, name: str) -> Any:
        nested = [[getattr(sample, name) for sample in group] for group in self.samples]
        return nested if self.batched else nested[0]

    @property
    def texts(self) -> Any:
        """Texts: a list, or a list of lists where a list of inputs was given."""
        return self._view("text")

    @property
    def spans(self) -> Any:
        """Texts written into the spans, nested as `texts`."""
        return self._view("spans")

    @property
    def token_ids(self) -> Any:
        """Ids of the spans, nested as `texts`."""
        return self._view("token_ids")

    @property
    def seeds(self) -> Any:
        """Seeds, nested as `texts`: calling again with ``num_samples=1`` and one of them gives that text."""
        return self._view("seed")

    @property
    def certificates(self) -> Any:
        """Hard constraints and whether each text meets them, nested as `texts`."""
        return self._view("certificates")

    @property
    def context(self) -> Any:
        """Passages that the sources brought for each text, nested as `texts`."""
        return self._view("context")

    @property
    def unmet(self) -> list[Any]:
        """Goals (``below=`` and ``above=`` of plugins, ``fluency=`` of the call) that a text did not reach; empty if all were,
        or none set."""
        samples = [sample for group in self.samples for sample in group]
        return [*([] if self.trace is None else self.trace.unmet), *below_floor(samples, self.settings.get("fluency"))]

    def to_json(self) -> str:
        """Everything but the trace, as JSON."""
        data = {
            "samples": [[vars(sample) for sample in group] for group in self.samples],
            "timings": self.timings,
            "settings": self.settings,
            "unmet": [vars(goal) for goal in self.unmet],
        }
        return json.dumps(data, ensure_ascii=False, indent=2)

    def citation(self) -> str:
        """BibTeX of this library and of the methods that made these texts: model, sampler, strategies and plugins.

        A plugin names its paper in the attribute ``reference``; one that is unknown here is quoted as it stands.
        """
        return bibtex(self.references)

    def __str__(self) -> str:
        return "\n".join(sample.text for group in self.samples for sample in group)
