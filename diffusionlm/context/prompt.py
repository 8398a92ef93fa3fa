"""The prompt of a row as memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffusionlm.context.source import SOURCES, Rows, Source, text_piece
from diffusionlm.denoiser import PROMPT

if TYPE_CHECKING:
    from diffusionlm.denoiser import Piece


@SOURCES.register("prompt")
class Prompt(Source):
    """The condition of each row, before position 0."""

    segment = PROMPT

    def pieces(self, rows: Rows) -> list[list[Piece]]:
        """One piece for a row with a prompt.

        Raises:
            ValueError: if a prompt is too long.
        """
        texts = dict.fromkeys(row.prompt for row in rows.rows if row.prompt)
        made = {text: text_piece(rows, PROMPT, text, "The prompt") for text in texts}
        return [[made[row.prompt]] if row.prompt else [] for row in rows.rows]
