"""Known text on the canvas of a row as memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffusionlm.context.source import SOURCES, Rows, Source
from diffusionlm.denoiser import CANVAS, Piece

if TYPE_CHECKING:
    from collections.abc import Sequence


@SOURCES.register("canvas")
class Canvas(Source):
    """Known text of each row, at its places."""

    segment = CANVAS

    def pieces(self, rows: Rows) -> list[list[Piece]]:
        """One piece a row, empty where nothing is known."""
        both: Sequence = list(zip(rows.rows, rows.layouts, strict=True))
        return [[Piece(CANVAS, layout.known_key, layout.known_positions, layout.known_ids)] for _, layout in both]
