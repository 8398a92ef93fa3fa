"""``/v1/choose``: probabilities of the options that a text leaves open, by `DiffusionLMPipeline.choose`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import StrictInt, StrictStr

from diffusionlm.serving.bodies import LARGEST_SEED, Body
from diffusionlm.serving.limits import Limits, Refusal
from diffusionlm.serving.plugins import check_guidance, from_key, to_key

if TYPE_CHECKING:
    from diffusionlm.pipeline import DiffusionLMPipeline

MOST_OPTIONS = 256
MOST_DRAWS = 64


class ChooseBody(Body):
    """Body of ``/v1/choose``."""

    model: StrictStr
    text: StrictStr
    options: list[StrictStr] | None = None
    condition: StrictStr | None = None
    draws: StrictInt = 16
    steps: StrictInt = 16
    seed: StrictInt = 0
    guidance: Any = None
    max_span_length: StrictInt | None = None


@dataclass(frozen=True, eq=False)
class Question:
    """A text with open choices; it shares its batch with nobody.

    Attributes:
        text: with ``[CHOICE:a|b]``, or with one ``[SPAN]`` for the options.
        settings: of `DiffusionLMPipeline.choose`, but for guidance.
        guidance: its key.
    """

    text: str
    settings: dict[str, Any]
    guidance: str

    @property
    def group(self) -> Question:
        """Itself: questions are equal to no other."""
        return self

    def answer(self, pipe: DiffusionLMPipeline) -> Any:
        """Answer of the pipeline, a ``Choices``.

        Raises:
            ValueError: if the text or its options do not fit.
        """
        return pipe.choose(self.text, guidance=from_key(self.guidance), **self.settings)


def read_question(body: ChooseBody, pipe: DiffusionLMPipeline, limits: Limits, also: tuple[str, ...] = ()) -> Question:
    """The question of a body.

    Raises:
        Refusal: for what is over a limit, or where this installation cannot tell probabilities of options.
        ValueError: if guidance is not allowed.
    """
    if not hasattr(pipe, "choose"):
        raise Refusal(
            501, "This installation cannot tell probabilities of options; upgrade diffusionlm.", "unsupported"
        )
    checks = {
        "steps": (body.steps, 1, limits.steps),
        "draws": (body.draws, 2, min(MOST_DRAWS, limits.samples)),
        "seed": (body.seed, 0, LARGEST_SEED),
        "options": (len(body.options or ()), 0, MOST_OPTIONS),
        "text": (len(body.text), 1, limits.characters),
        "condition": (len(body.condition or ""), 0, limits.characters),
        "max_span_length": (1 if body.max_span_length is None else body.max_span_length, 1, limits.length),
    }
    for name, (value, least, most) in checks.items():
        if not least <= value <= most:
            raise Refusal(400, f"{name} must lie in {least}..{most}, got {value}.", parameter=name)
    if sum(map(len, body.options or ())) > limits.characters:
        raise Refusal(400, f"options have more than {limits.characters:,} characters.", parameter="options")
    settings = {
        "options": body.options,
        "prompt": body.condition,
        "draws": body.draws,
        "steps": body.steps,
        "seed": body.seed,
    }
    if body.max_span_length is not None:
        settings["max_span_length"] = body.max_span_length
    return Question(body.text, settings, to_key(check_guidance([] if body.guidance is None else body.guidance, also)))


def choice_answer(choices: Any, model: str) -> dict[str, Any]:
    """The answer: of each choice its options with probabilities and standard errors, and of all choices together."""
    each = []
    for number in range(len(choices.options)):
        probabilities, errors = choices.of(number), choices.errors_of(number)
        each.append(
            [{"option": option, "probability": p, "error": errors[option]} for option, p in probabilities.items()]
        )
    joint = [{"options": list(options), "probability": p} for options, p in choices.joint.items()]
    return {
        "object": "choice",
        "model": model,
        "choices": each,
        "joint": joint,
        "best": list(choices.best),
        "draws": choices.draws,
    }
