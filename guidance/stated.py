"""`Stated`: what the passages of a text say stands in the text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from diffusionlm.guidance.automata import Language, TokenAutomaton, compile_language
from diffusionlm.guidance.automata.language import quoted
from diffusionlm.guidance.constraints.constraint import Constraint, whole_layout
from diffusionlm.guidance.engine.composition import Composition, as_composition
from diffusionlm.guidance.phrases import mentioned

if TYPE_CHECKING:
    from diffusionlm.spans import Canvas, CanvasLayout
    from diffusionlm.text import Vocabulary


class Stated(Constraint):
    """Every text mentions the phrases of its own canvas, which differ from text to text.

    A phrase may begin with a large or a small letter; a single word with a capital, "Italian", stands as it is.

    ``context=[Retrieved(store, state=["food"])]`` brings it along: the rule of a text is read off the passages that were found
    for it, so a passage that is changed changes the rule.
    """

    def __init__(self, phrases: Sequence[str]) -> None:
        """The rule for canvases whose phrases are among ``phrases``."""
        super().__init__()
        self.phrases = tuple(phrases)

    def languages(self) -> Sequence[Language]:
        """None that hold on every canvas."""
        return []

    def required_characters(self) -> str:
        """Those of all phrases."""
        return "".join(self.phrases)

    def automata_on(self, layout: CanvasLayout, vocabulary: Vocabulary) -> Sequence[TokenAutomaton]:
        """One for each phrase of the canvas."""
        return [compile_language(rule, vocabulary) for rule in _mentions(layout, alike=False)]

    def certify_on(
        self, layout: CanvasLayout, text: str, span_ids: Sequence[Sequence[int]], written: Sequence[tuple[int, int]]
    ) -> dict[str, bool]:
        """Whether each phrase of the canvas stands in the text, in whatever typography."""
        return {rule.name: rule.accepts(text) for rule in _mentions(layout, alike=True)}

    def to_dict(self) -> dict[str, Any]:
        """Its name only: the phrases are those of the passages, which the result lists."""
        return {"name": "stated"}


def with_stated(guidance: Any, canvases: Iterable[Canvas]) -> Any:
    """Guidance with a `Stated` where canvases have phrases to state.

    Args:
        guidance: as the pipeline takes it.
        canvases: the texts.
    """
    phrases = dict.fromkeys(phrase for canvas in canvases for phrase in canvas.states)
    if not phrases:
        return guidance
    given = as_composition(guidance)
    return Composition([*given.plugins, Stated(tuple(phrases))], given.budget, given.total)


def _mentions(layout: CanvasLayout, alike: bool) -> list[Language]:
    states = getattr(whole_layout(layout).canvas, "states", ())
    return [
        mentioned(_spellings(phrase), ignore_case=False, whole_words=True, alike=alike).renamed(
            f"contains {quoted(phrase)}"
        )
        for phrase in states
    ]


def _spellings(phrase: str) -> tuple[str, ...]:
    """A phrase with a large or a small letter at its beginning; a single word with a capital ("Italian") only as it is."""
    one_name = phrase[0].isupper() and " " not in phrase
    return (phrase,) if one_name else tuple(dict.fromkeys((phrase, phrase[0].swapcase() + phrase[1:])))
