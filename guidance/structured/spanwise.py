"""Rules about single spans of a canvas, as one automaton over tokens.

A state is a state of one span's rule; known text, which stands between the spans, leads from the end of one to the start of the
next whatever it says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from diffusionlm.guidance.automata import Language, TokenAutomaton, compile_language
from diffusionlm.guidance.automata.algebra import distinct_rows
from diffusionlm.guidance.constraints.constraint import Constraint

if TYPE_CHECKING:
    from diffusionlm.spans import CanvasLayout
    from diffusionlm.text import Vocabulary


def over_tokens(language: Language, vocabulary: Vocabulary, named: str = "") -> TokenAutomaton:
    """A language over tokens.

    Args:
        language: the texts allowed.
        vocabulary: surfaces of the tokens.
        named: text that the language spells out (keys, options). Where a character of it has no token of its own, as in
            "naïve", the language is held byte by byte, so that it can be written; else characters are whole tokens.
    """
    missing = {letter for letter in named if letter > "\x7f"} - set(vocabulary.strings)
    return compile_language(language, vocabulary, partial_characters=True if missing else None)


@dataclass(frozen=True, eq=False)
class SpanwiseAutomaton(TokenAutomaton):
    """An automaton whose every reading of known text, however long, is a step from one span to the next.

    Attributes:
        onward: (S,) the state behind a known text.
    """

    onward: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, dtype=np.int32), kw_only=True)

    def read(self, literal: str) -> NDArray[np.int32]:
        """The map (S,) of states under a known text, be it empty."""
        return self.onward


def spanwise(
    rules: Mapping[int, Language], layout: CanvasLayout, vocabulary: Vocabulary, name: str, named: str = ""
) -> SpanwiseAutomaton:
    """Canvases whose spans each say a text of their language; spans without a rule say anything.

    What a span says is its text as the user sees it: without the space that stands before it.

    Args:
        rules: languages by number of the span.
        layout: the canvas.
        vocabulary: surfaces of the tokens.
        name: in the user's words.
        named: as in `over_tokens`.
    """
    literals = layout.canvas.literals
    compiled = {span: over_tokens(language, vocabulary, named) for span, language in rules.items()}
    plain = np.array([bool(surface) for surface in vocabulary.surfaces], dtype=np.int64)
    signature = np.stack([plain, *(automaton.token_class for automaton in compiled.values())], axis=1)
    first, token_class = distinct_rows(signature)
    ending, dead = 1, 0
    size = 3  # 0: dead, 1: the end, 2: before the first known text
    blocks = [np.zeros((3, len(first)), dtype=np.int32)]
    starts, accepts = [], []
    for span in range(len(literals) - 1):
        if span in compiled:
            automaton = compiled[span]
            own = automaton.delta[:, automaton.token_class[first]]
            spaced = literals[span].endswith(" ") or (span == 0 and not literals[0])
            start = automaton.start if spaced else int(automaton.read(" ")[automaton.start])
            blocks.append(np.where(own == automaton.dead, dead, own + size).astype(np.int32))
            accepting = automaton.accepting
        else:
            blocks.append(np.where(plain[first] > 0, size, dead)[None].astype(np.int32))
            start, accepting = 0, np.ones(1, dtype=bool)
        starts.append(size + start)
        accepts.append((size, accepting))
        size += len(blocks[-1])
    onward = np.zeros(size, dtype=np.int32)
    onward[2] = starts[0]
    for (begin, accepting), there in zip(accepts, [*starts[1:], ending], strict=True):
        onward[begin : begin + len(accepting)][accepting] = there
    accepting = np.zeros(size, dtype=bool)
    accepting[ending] = True
    delta = np.concatenate(blocks)
    digest = hashlib.sha256(delta.tobytes() + onward.tobytes() + token_class.tobytes()).hexdigest()
    return SpanwiseAutomaton(
        name, delta, token_class, vocabulary.pad_id, 2, dead, accepting, None, None, digest, onward=onward
    )


class SpanConstraint(Constraint):
    """Base of rules about the whole text, or about one span of it, by the setting ``span``."""

    span: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.span is not None and (isinstance(self.span, bool) or not isinstance(self.span, int) or self.span < 0):
            raise ValueError(
                f"span must be the number of a span, from 0, or None for the whole text; got {self.span!r}."
            )

    def named(self) -> str:
        """Text that the rules spell out; see `over_tokens`."""
        return ""

    def automata(self, vocabulary: Vocabulary) -> list[TokenAutomaton]:
        """The rules over tokens."""
        return [over_tokens(language, vocabulary, self.named()) for language in self.languages()]

    def automata_on(self, layout: CanvasLayout, vocabulary: Vocabulary) -> Sequence[TokenAutomaton]:
        """The rules on a canvas."""
        if self.span is None:
            return self.compiled
        check_span(self.title, self.span, layout)
        return [
            spanwise({self.span: language}, layout, vocabulary, language.name, self.named())
            for language in self.languages()
        ]

    def certify_written(
        self, text: str, span_ids: Sequence[Sequence[int]], written: Sequence[tuple[int, int]]
    ) -> dict[str, bool]:
        """Whether the text, or the span, obeys."""
        if self.span is None:
            return self.certify(text, span_ids)
        start, end = written[self.span]
        return self.certify(text[start:end], span_ids)


def check_span(title: str, span: int, layout: CanvasLayout) -> None:
    """Raises ValueError if a canvas has no such span."""
    count = len(layout.canvas.literals) - 1
    if span >= count:
        raise ValueError(
            f"{title} is to hold in span {span}, but the text has {count} {'span' if count == 1 else 'spans'}, counted from 0."
        )
