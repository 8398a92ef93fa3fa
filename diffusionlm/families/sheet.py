"""`Sheet`: rows of tokens as a network reads them: what stands before the text, the text with its spans, what ends it.

Shape letters: B rows, N positions of the network, L span positions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from diffusionlm.denoiser.contract import CANVAS, PROMPT, SEGMENTS

if TYPE_CHECKING:
    from diffusionlm.denoiser.contract import Context, Places


@dataclass(frozen=True)
class Frame:
    """Tokens that a model wants around a text.

    Attributes:
        prefix: ids before it, such as [CLS].
        suffix: ids behind it, such as [SEP].
        chat: whether a prompt is a turn of a chat, which brings its own ids, so that neither is put.
        filler: id behind rows that are shorter than others; never seen.
    """

    prefix: tuple[int, ...] = ()
    suffix: tuple[int, ...] = ()
    chat: bool = False
    filler: int = 0


@dataclass(frozen=True)
class Sheet:
    """Rows laid out for a network.

    Attributes:
        ids: (B, N) known tokens; anything at span positions.
        used: (B, N) bool, positions in use; the others stand on the right.
        at: (B, L) place of each span position among the N; 0 where a row has fewer.
        lead: (B,) positions before the text.
    """

    ids: Tensor
    used: Tensor
    at: Tensor
    lead: Tensor

    def written(self, tokens: Tensor, span_mask: Tensor) -> Tensor:
        """The ids (B, N) with tokens (B, L) at the span positions in use."""
        rows, columns = span_mask.nonzero(as_tuple=True)
        ids = self.ids.clone()
        ids[rows, self.at[rows, columns]] = tokens[rows, columns]
        return ids


def lay_sheet(context: Context, places: Places, frame: Frame, longest: int) -> Sheet:
    """Lays out the known text of each row and leaves room for its spans.

    Pieces other than those of the canvas stand before the text, in their order.

    Args:
        context: pieces of each row.
        places: of the spans.
        frame: what the model wants around a text.
        longest: positions that the network takes.

    Raises:
        ValueError: for pieces that are no text, or if a row is too long.
    """
    rows: list[list[int]] = []
    leads: list[int] = []
    for pieces, total in zip(context, places.totals, strict=True):
        text = [frame.filler] * total
        before: list[int] = []
        prompted = False
        for piece in pieces:
            if piece.ids is None:
                raise ValueError(
                    f"This model reads text only, and a source gave it a piece of kind {SEGMENTS[piece.segment]!r} as numbers; "
                    "leave that source out, or use a checkpoint of ours."
                )
            if piece.segment == CANVAS:
                for position, token in zip(piece.positions.tolist(), piece.ids.tolist(), strict=True):
                    text[position] = token
            else:
                before += piece.ids.tolist()
                prompted |= piece.segment == PROMPT
        bare = frame.chat and prompted
        lead = before if bare else [*frame.prefix, *before]
        rows.append([*lead, *text, *(() if bare else frame.suffix)])
        leads.append(len(lead))
        if len(rows[-1]) > longest:
            raise ValueError(
                f"The canvas has {len(rows[-1])} tokens with its prompt, {total} without; the model takes {longest}. Shorten "
                "the prompt, the text or its spans."
            )
    width, device = max(map(len, rows)), places.positions.device
    ids = torch.full((len(rows), width), frame.filler, dtype=torch.long)
    used = torch.zeros(len(rows), width, dtype=torch.bool)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row, dtype=torch.long)
        used[i, : len(row)] = True
    begin = torch.tensor(leads, device=device)
    at = ((begin[:, None] + places.positions) * places.span_mask).clamp_min(0)
    return Sheet(ids.to(device), used.to(device), at, begin)


def visible(sheet: Sheet, attention: str, block: int | None) -> Tensor:
    """Positions that each position sees, (B, N, N) bool, for the kinds of attention of `Switches`.

    A position out of use sees itself, so that no row of an attention is empty.
    """
    width, device = sheet.ids.shape[1], sheet.ids.device
    place = torch.arange(width, device=device)
    if block is not None:
        seen = (place[:, None] // block >= place[None, :] // block).expand(len(sheet.ids), -1, -1)
    elif attention == "canvas":
        on_canvas = place >= sheet.lead[:, None]
        seen = (place[:, None] >= place[None, :]) | on_canvas[:, :, None]
    else:
        seen = torch.ones(len(sheet.ids), width, width, dtype=torch.bool, device=device)
    return (seen & sheet.used[:, None, :]) | torch.eye(width, dtype=torch.bool, device=device)


def ended(tokens: Tensor, decided: Tensor, places: Places, end_id: int) -> Tensor:
    """Positions (B, L) bool of open spans behind a decided end token of the same span: nothing is written there any more.

    Args:
        tokens: (B, L).
        decided: (B, L) bool.
        places: of the spans; a span is a run of neighbouring positions.
        end_id: the end token.
    """
    ends = decided & places.open_mask & (tokens == end_id)
    return places.behind(ends) & ~ends
