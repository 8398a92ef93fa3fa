"""`Choice`: a span is one of several texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from diffusionlm.guidance.automata import Language, TokenAutomaton
from diffusionlm.guidance.constraints.constraint import Constraint
from diffusionlm.guidance.engine.composition import Composition, as_composition
from diffusionlm.guidance.registry.plugins import register
from diffusionlm.guidance.structured.net import one_of_texts
from diffusionlm.guidance.structured.spanwise import check_span, spanwise

if TYPE_CHECKING:
    from diffusionlm.spans import Canvas, CanvasLayout
    from diffusionlm.text import Vocabulary


@register("choice")
class Choice(Constraint):
    """A span is one of several texts. ``[CHOICE:pub|coffee shop]`` in a text brings this plugin along by itself.

    Args:
        options: the texts; none: the choices that the text itself has, of which there must be some.
        span: the number of the span that is one of the options.

    Raises:
        ValueError: if an option is empty or given twice.

    Example:
        >>> Choice(["pub", "coffee shop"]).languages()[0].accepts("pub")
        True
    """

    options: Sequence[str] = ()
    span: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.options = read_options(self.options)
        if isinstance(self.span, bool) or not isinstance(self.span, int) or self.span < 0:
            raise ValueError(f"span must be the number of a span, from 0; got {self.span!r}.")

    @classmethod
    def example(cls) -> Choice:
        """Two options."""
        return cls(["good pub", "bad food"])

    def languages(self) -> Sequence[Language]:
        """The options, as a language of the span."""
        return [one_of_texts(self.options, _name(self.options))] if self.options else []

    def automata(self, vocabulary: Vocabulary) -> list[TokenAutomaton]:
        """None that hold on every canvas."""
        return []

    def bind(self, vocabulary: Vocabulary) -> None:
        """Forgets the canvases of another call."""
        super().bind(vocabulary)
        self._canvases: dict[tuple[str, ...], list[dict[int, Sequence[str]]]] = {}

    def automata_on(self, layout: CanvasLayout, vocabulary: Vocabulary) -> Sequence[TokenAutomaton]:
        """One for the choices of a canvas."""
        if self.options:
            check_span(self.title, self.span, layout)
            chosen = {self.span: self.options}
        else:
            chosen = {n: span.options for n, span in enumerate(layout.canvas.spans) if span.options}
        known = self._canvases.setdefault(tuple(layout.canvas.literals), [])
        if chosen not in known:
            known.append(chosen)
        if not chosen:
            return []
        rules = {span: one_of_texts(options, _name(options)) for span, options in chosen.items()}
        named = "".join(option for options in chosen.values() for option in options)
        return [spanwise(rules, layout, vocabulary, " and ".join(rule.name for rule in rules.values()), named)]

    def certify_written(
        self, text: str, span_ids: Sequence[Sequence[int]], written: Sequence[tuple[int, int]]
    ) -> dict[str, bool]:
        """Whether each span that is a choice is one of its options."""
        places = [0, *(place for span in written for place in span), len(text)]
        literals = tuple(text[start:end] for start, end in zip(places[::2], places[1::2], strict=True))
        own: dict[int, Sequence[str]] = {self.span: self.options} if self.options else {}
        found: dict[str, bool] = {}
        for chosen in vars(self).get("_canvases", {}).get(literals, [own]):  # several where known text is all the same
            found = {_name(options): text[slice(*written[span])] in options for span, options in chosen.items()}
            if all(found.values()):
                break
        return found


def read_options(given: Any) -> list[str]:
    """Options as a list.

    Raises:
        ValueError: if they are no texts, or one is empty or given twice.
    """
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
        raise ValueError(f"options must be a list of texts, as in ['pub', 'coffee shop']; got {given!r}.")
    options = list(given)
    if not all(isinstance(option, str) and option.strip() for option in options) or len(set(options)) < len(options):
        raise ValueError(f"options must be texts that differ and are not empty, got {options!r}.")
    return options


def with_choices(guidance: Any, canvases: Iterable[Canvas]) -> Any:
    """Guidance with a `Choice` where a text has choices of its own.

    Args:
        guidance: as the pipeline takes it.
        canvases: the texts.

    Raises:
        ValueError: if there is a `Choice` without options, and no text has choices.
    """
    given = as_composition(guidance)
    waits = any(isinstance(plugin, Choice) and not plugin.options for plugin in given.plugins)
    if not any(span.options for canvas in canvases for span in canvas.spans):
        if waits:
            raise ValueError(
                "Choice() without options takes the choices of the text, but the text has none: write one, as in "
                "'a [CHOICE:pub|coffee shop]', or give the options, Choice(['pub', 'coffee shop'])."
            )
        return guidance
    if waits:
        return guidance
    return Composition([*given.plugins, Choice()], given.budget, given.total)


def _name(options: Sequence[str]) -> str:
    shown = " or ".join(map(repr, options))
    return f"is {shown}" if len(shown) <= 80 else f"is one of {len(options)} options"
