"""From a text with gaps to a `Canvas` (known text and spans to write), to token positions, and back to text.

Written form: ``The [SPAN:5] is a pub near [SPAN].`` has a span of exactly five tokens and one that ends itself;
``It is a [CHOICE:pub|coffee shop].`` has one that is one of the options. A backslash keeps a marker literal: ``\\[SPAN]``;
other brackets are text (`diffusionlm.markers`).
Known text comes back byte for byte.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from diffusionlm.markers import read_markers

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from diffusionlm.text import TextTokenizer, Vocabulary

_CONDITION = re.compile(r"[^\s\[\],;]+\[[^\[\]]*(?:\]|$)")


@dataclass(frozen=True)
class Span:
    """A gap to write.

    Attributes:
        length: positions it may use, in tokens; None takes the caller's default.
        open: whether it may end early; a closed span has exactly ``length`` tokens.
        options: the texts that it may be; none: any text.
    """

    length: int | None = None
    open: bool = True
    options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.options and not (len(set(self.options)) == len(self.options) and all(map(str.strip, self.options))):
            raise ValueError(
                f"The options of a choice must be texts that differ and are not empty, got {self.options!r}."
            )
        if self.length is None and not self.open:
            raise ValueError("A closed span needs a length.")
        if self.length is not None and self.length < 1:
            raise ValueError(
                f"A span needs at least 1 token, got {self.length}; write [SPAN:n] with n >= 1, or [SPAN]."
            )


@dataclass(frozen=True)
class Canvas:
    """Known text and spans in reading order.

    Attributes:
        pieces: strings and `Span` objects; at least one span.
        states: phrases that the whole text must mention, whatever its guidance: facts of the passages it was given.
    """

    pieces: tuple[str | Span, ...]
    states: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.spans:
            raise ValueError("A canvas needs at least one span; write [SPAN] or [SPAN:n] where text is to be written.")

    @property
    def spans(self) -> tuple[Span, ...]:
        """The spans in reading order."""
        return tuple(piece for piece in self.pieces if isinstance(piece, Span))

    @property
    def literals(self) -> tuple[str, ...]:
        """Known text before, between and after the spans: one more string than there are spans."""
        out = [""]
        for piece in self.pieces:
            if isinstance(piece, Span):
                out.append("")
            else:
                out[-1] += piece
        return tuple(out)

    @classmethod
    def whole(cls, max_length: int | None = None) -> Canvas:
        """A text from nothing, of up to ``max_length`` tokens."""
        return cls((Span(max_length),))

    @classmethod
    def parse(cls, text: str) -> Canvas:
        """Reads the written form.

        Raises:
            ValueError: if the text is empty, has no span, or has something that looks like a misspelt one or is not closed.
        """
        if not text:
            raise ValueError(
                "The text is empty; write a text with [SPAN], or pass no text to have a whole one written."
            )
        pieces = [
            piece if isinstance(piece, str) else Span(piece.length, open=piece.length is None, options=piece.options)
            for piece in read_markers(text)
        ]
        if not any(isinstance(piece, Span) for piece in pieces):
            hint = " A condition goes to prompt=." if _CONDITION.match(text) else ""
            raise ValueError(
                f"The text {text[:60]!r} has no span; write [SPAN] or [SPAN:n] where it is to be filled.{hint}"
            )
        return cls(tuple(pieces))

    @classmethod
    def from_prefix(cls, text: str, max_length: int | None = None) -> Canvas:
        """A continuation of ``text`` by up to ``max_length`` tokens."""
        return cls((text, Span(max_length)))

    @classmethod
    def from_ranges(cls, text: str, ranges: Sequence[tuple[int, int]], length: int | None = None) -> Canvas:
        """Rewrites character ranges of a text.

        Args:
            text: the text.
            ranges: (start, end) in characters, in order, not overlapping.
            length: tokens that each span may use; the pipeline's default if None.

        Raises:
            ValueError: if a range lies outside the text or they overlap.
        """
        pieces: list[str | Span] = []
        cursor = 0
        for start, end in ranges:
            if not cursor <= start <= end <= len(text):
                raise ValueError(
                    f"The range ({start}, {end}) does not fit: they must be in order, apart, and within 0..{len(text)}."
                )
            pieces += [text[cursor:start], Span(length)]
            cursor = end
        pieces.append(text[cursor:])
        return cls(tuple(pieces))

    def lay_out(self, tokenizer: TextTokenizer, default_length: int) -> CanvasLayout:
        """Token positions of known text and spans.

        A space before a span belongs to the span's first token, as it does in training; it is put back with the text.

        Args:
            tokenizer: of the model.
            default_length: positions of a span without a length.
        """
        literals = self.literals
        known: list[int] = []
        known_at: list[int] = []
        span_at: list[int] = []
        span_of: list[int] = []
        opened: list[bool] = []
        first: list[bool] = []
        spaced: list[bool] = []
        position = 0
        for number, literal in enumerate(literals):
            has_span = number < len(self.spans)
            lead = literal[:-1] if has_span and literal.endswith(" ") else literal
            starts_text = number == 0
            if lead:
                ids = tokenizer.encode(lead, continues=not starts_text)
                known += ids
                known_at += range(position, position + len(ids))
                position += len(ids)
            if has_span:
                span = self.spans[number]
                needs_space = literal.endswith(" ") or (starts_text and not literal and tokenizer.prefix_space)
                length = span.length or _length_of_options(span, tokenizer, needs_space) or default_length
                span_at += range(position, position + length)
                span_of += [number] * length
                opened += [span.open and tokenizer.ends_spans] * length
                first += [True] + [False] * (length - 1)
                spaced += [needs_space] + [False] * (length - 1)
                position += length
        return CanvasLayout(
            canvas=self,
            known_ids=torch.tensor(known, dtype=torch.long),
            known_positions=torch.tensor(known_at, dtype=torch.long),
            span_positions=torch.tensor(span_at, dtype=torch.long),
            span_index=torch.tensor(span_of, dtype=torch.long),
            open_mask=torch.tensor(opened, dtype=torch.bool),
            first_mask=torch.tensor(first, dtype=torch.bool),
            space_mask=torch.tensor(spaced, dtype=torch.bool),
        )


@dataclass(frozen=True)
class CanvasLayout:
    """A canvas in tokens; K known tokens, L span positions.

    Attributes:
        canvas: where it comes from.
        known_ids: (K,).
        known_positions: (K,).
        span_positions: (L,).
        span_index: (L,) to which span a position belongs.
        open_mask: (L,) bool, positions of spans that may end early.
        first_mask: (L,) bool, first position of each span; a span has at least one token.
        space_mask: (L,) bool, positions whose token must open with a space: the text before the span ended in one.
    """

    canvas: Canvas
    known_ids: Tensor = field(repr=False)
    known_positions: Tensor = field(repr=False)
    span_positions: Tensor = field(repr=False)
    span_index: Tensor = field(repr=False)
    open_mask: Tensor = field(repr=False)
    first_mask: Tensor = field(repr=False)
    space_mask: Tensor = field(repr=False)

    @property
    def length(self) -> int:
        """L."""
        return len(self.span_positions)

    @property
    def total(self) -> int:
        """Positions of the whole text, known and spans."""
        return len(self.known_ids) + self.length

    @property
    def known_key(self) -> Hashable:
        """What two canvases share whose known text is the same, at the same places."""
        return self.canvas

    @property
    def internal_literals(self) -> tuple[str, ...]:
        """Known text as the model sees it: one space before the text, and none before a span that brings its own."""
        literals = self.canvas.literals
        out = []
        for number, literal in enumerate(literals):
            has_span = number < len(literals) - 1
            text = literal[:-1] if has_span and literal.endswith(" ") else literal
            out.append(" " + text if number == 0 and text else text)
        return tuple(out)

    def allowed(self, vocabulary: Vocabulary) -> Tensor:
        """(L, V) bool: tokens that may stand at each position; pad only in open spans and not first."""
        special = torch.zeros(len(vocabulary), dtype=torch.bool)
        special[list(vocabulary.special_ids)] = True
        allowed = (~special).expand(self.length, -1).clone()
        allowed[self.space_mask] &= vocabulary.starts_with_space
        allowed[:, vocabulary.pad_id] = self.open_mask & ~self.first_mask
        return allowed

    def span_ids(self, ids: Sequence[int], pad_id: int) -> list[list[int]]:
        """Ids of each span, cut at its first pad; ``ids`` has L entries."""
        out: list[list[int]] = [[] for _ in self.canvas.spans]
        closed = [False] * len(out)
        for token, span in zip(ids, self.span_index.tolist(), strict=True):
            closed[span] |= token == pad_id
            if not closed[span]:
                out[span].append(int(token))
        return out

    def assemble(self, ids: Sequence[int], vocabulary: Vocabulary) -> tuple[str, list[str]]:
        """The text and what was written into each span; ``ids`` has L entries."""
        literals = self.canvas.literals
        written = []
        for number, span in enumerate(self.span_ids(ids, vocabulary.pad_id)):
            text = vocabulary.decode(span)
            own_space = literals[number].endswith(" ") or (number == 0 and not literals[0])
            written.append(text.removeprefix(" ") if own_space else text)
        text = literals[0] + "".join(span + literal for span, literal in zip(written, literals[1:], strict=True))
        return text, written


def _length_of_options(span: Span, tokenizer: TextTokenizer, spaced: bool) -> int:
    """Tokens of the longest option of a span; 0 where it may be any text."""
    return max((len(tokenizer.encode(option, continues=not spaced)) for option in span.options), default=0)
