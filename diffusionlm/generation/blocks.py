"""Canvases that are longer than the model takes, written block by block.

A block is a run of positions of one span. The model sees it together with what stands before it, as much as fits (a sliding
window, encoded once for all steps of the block), and with the known text behind it; guidance has the whole text before it,
and the state that its rules are in there. So time grows with the length of the text and memory does not.

Shape letters: L positions of a block, N of all spans together, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from diffusionlm.guidance.automata.whole_canvas import block_ends
from diffusionlm.spans import Canvas, CanvasLayout, Span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from diffusionlm.text import Vocabulary


@dataclass(frozen=True, eq=False)
class WholeLayout:
    """A canvas in tokens with the blocks that it is written in.

    Attributes:
        layout: all of it.
        ends: the position behind each block, among the N positions of its spans.
        longest: positions that the model takes.
    """

    layout: CanvasLayout
    ends: tuple[int, ...]
    longest: int

    @classmethod
    def of(cls, layout: CanvasLayout, block_length: int | None, longest: int) -> WholeLayout:
        """Blocks of at most ``block_length`` positions; half of what the model takes if None.

        Raises:
            ValueError: if a block of that length does not fit the model.
        """
        most = max(1, longest // 2) if block_length is None else block_length
        if most > longest:
            raise ValueError(f"block_length must lie in 1..{longest}, the positions that the model takes, got {most}.")
        return cls(layout, tuple(block_ends(layout.span_index.tolist(), most)), longest)

    @cached_property
    def kinds(self) -> tuple[Tensor, Tensor]:
        """A position (P,) of each kind that allows the same tokens, and the kind (N,) of each position."""
        layout = self.layout
        masks = torch.stack([layout.open_mask & ~layout.first_mask, layout.space_mask], 1)
        found, which = torch.unique(masks, dim=0, return_inverse=True)
        first = torch.stack([(which == kind).nonzero()[0, 0] for kind in range(len(found))])
        return first, which

    def patterns(self, vocabulary: Vocabulary) -> tuple[Tensor, Tensor]:
        """Sets of allowed tokens (P, V), and the set (N,) of each position."""
        first, which = self.kinds
        return cut(self.layout, first).allowed(vocabulary), which

    def block(self, ids: tuple[int, ...], vocabulary: Vocabulary) -> BlockLayout:
        """The next block behind the tokens ``ids`` of the spans, pads behind their ends included."""
        layout, begin = self.layout, len(ids)
        end = next(end for end in self.ends if end > begin)
        at = torch.arange(begin, end)
        number = int(layout.span_index[begin])
        places = layout.span_positions[at]
        written_at = layout.span_positions[:begin]
        tokens = torch.tensor(ids, dtype=torch.long)
        kept = tokens != vocabulary.pad_id
        known_at = torch.cat([layout.known_positions, written_at[kept]])
        known, order = known_at.sort()
        known_ids = torch.cat([layout.known_ids, tokens[kept]])[order]
        place, room = int(places[0]), self.longest - len(at)
        behind = known > place
        gaps = known[behind] - place
        gaps = gaps[gaps < len(at) + room // 2]
        after = known_ids[behind][: len(gaps)]
        reach = int(gaps[-1]) + 1 - len(at) if len(gaps) else 0
        before = known_ids[~behind]  # moves up to the block: a span that ended early leaves no hole
        before = before[max(0, len(before) - (room - reach)) :]
        shift = len(before)
        text, _ = self._text_before(ids, number, vocabulary)
        literals = layout.canvas.literals
        final = end == layout.length
        canvas = Canvas((text, Span(len(at), open=bool(layout.open_mask[begin])), literals[-1] if final else ""))
        part = cut(layout, at)
        return BlockLayout(
            canvas=canvas,
            known_ids=torch.cat([before, after]),
            known_positions=torch.cat([torch.arange(shift), gaps + shift]),
            span_positions=torch.arange(len(at)) + shift,
            span_index=torch.zeros(len(at), dtype=torch.long),
            open_mask=part.open_mask,
            first_mask=part.first_mask,
            space_mask=part.space_mask,
            whole=self,
            before=ids,
            end=end,
            strips=bool(part.first_mask[0]) and (literals[number].endswith(" ") or (number == 0 and not literals[0])),
            window=(before, after),
            vocabulary=vocabulary,
        )

    def _text_before(
        self, ids: Sequence[int], number: int, vocabulary: Vocabulary
    ) -> tuple[str, list[tuple[int, int]]]:
        """The text before a block in span ``number``, and (start, end) of what is written in it."""
        pads = [vocabulary.pad_id] * (self.layout.length - len(ids))
        _, written = self.layout.assemble([*ids, *pads], vocabulary)
        text, places = "", []
        for literal, own in zip(self.layout.canvas.literals[: number + 1], written[: number + 1], strict=True):
            text += literal
            places.append((len(text), len(text) + len(own)))
            text += own
        return text, places


def cut(layout: CanvasLayout, at: Tensor) -> CanvasLayout:
    """A layout of some of the span positions ``at`` (P,) alone."""
    names = ("span_positions", "span_index", "open_mask", "first_mask", "space_mask")
    return replace(layout, **{name: getattr(layout, name)[at] for name in names})


@dataclass(frozen=True)
class BlockLayout(CanvasLayout):
    """A block as the model and guidance see it: one span behind known text.

    Attributes:
        whole: the canvas that it is a block of.
        before: tokens of all span positions before it.
        end: position behind it.
        strips: whether the space that its first token opens with stands in the text before it already.
        window: tokens that the model sees before and behind it.
        vocabulary: to read them.
    """

    whole: WholeLayout = field(kw_only=True, repr=False)
    before: tuple[int, ...] = field(kw_only=True, repr=False)
    end: int = field(kw_only=True)
    strips: bool = field(kw_only=True)
    window: tuple[Tensor, Tensor] = field(kw_only=True, repr=False)
    vocabulary: Vocabulary = field(kw_only=True, repr=False)

    @property
    def goes_on(self) -> bool:
        """Whether there are positions behind it."""
        return self.end < self.whole.layout.length

    @property
    def known_key(self) -> tuple[Canvas, tuple[int, ...]]:
        """What two blocks share whose known text is the same."""
        return self.whole.layout.canvas, self.before

    @cached_property
    def internal_literals(self) -> tuple[str, ...]:
        """Known text in the window, as the model sees it."""
        return tuple(self.vocabulary.decode(tokens.tolist()) for tokens in self.window)

    @cached_property
    def written_before(self) -> list[tuple[int, int]]:
        """(start, end) in characters of what was written before the block."""
        number = int(self.whole.layout.span_index[len(self.before)])
        return self.whole._text_before(self.before, number, self.vocabulary)[1]

    def assemble(self, ids: Sequence[int], vocabulary: Vocabulary) -> tuple[str, list[str]]:
        """The text up to the end of the block, and what was written into it."""
        text = vocabulary.decode(self.span_ids(ids, vocabulary.pad_id)[0])
        text = text.removeprefix(" ") if self.strips else text
        first, last = self.canvas.literals
        return first + text + last, [text]
