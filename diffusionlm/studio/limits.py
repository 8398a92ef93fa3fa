"""Limits of a visitor of the page. One sentence for everything that is refused."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SPAN = re.compile(r"\[SPAN(?::(\d+))?\]")


class Refused(ValueError):
    """An order that the page does not take; the message is for the visitor."""


@dataclass(frozen=True)
class Limits:
    """The largest order.

    Attributes:
        characters: of a text or a prompt.
        spans: in one text.
        tokens: of one span.
        samples: texts at once.
        steps: denoising steps.
        plugins: switched on at once.
        entry: characters of one text setting of a plugin.
        lines: entries of a list setting.
        waiting: visitors in the queue; the next one is asked to come back.
        running: orders worked on at once.
        seconds: that one order may take.
        sessions: visitors whose last result is kept for download; the oldest is forgotten.
        body: bytes of one request to the server.
    """

    characters: int = 600
    spans: int = 6
    tokens: int = 256
    samples: int = 8
    steps: int = 64
    plugins: int = 6
    entry: int = 200
    lines: int = 12
    waiting: int = 40
    running: int = 1
    seconds: float = 60.0
    sessions: int = 200
    body: int = 64_000

    def check_text(self, text: str, what: str) -> None:
        """Raises `Refused` if a text is too long, or has too many or too long spans."""
        if len(text) > self.characters:
            raise Refused(
                f"{what} has {len(text):,} characters; this page takes {self.characters}. Shorten it, or use the Python "
                "library, which has no such limit."
            )
        lengths = _SPAN.findall(text)
        if len(lengths) > self.spans:
            raise Refused(f"{what} has {len(lengths)} spans; this page takes {self.spans} at once.")
        longest = max((length for length in lengths if length), key=lambda digits: (len(digits), digits), default="0")
        if len(longest) > 6 or int(longest) > self.tokens:
            raise Refused(f"A span of {longest[:12]} tokens is more than this page takes: at most {self.tokens}.")

    def whole(self, value: object, what: str, least: int, most: int) -> int:
        """An integer within bounds.

        Raises:
            Refused: if it is none.
        """
        if isinstance(value, bool | str):
            raise Refused(f"{what} must be a whole number from {least} to {most}, not {str(value)[:40]!r}.")
        try:
            number = int(value)  # type: ignore[call-overload]
        except (TypeError, ValueError, OverflowError):
            raise Refused(f"{what} must be a whole number from {least} to {most}, not {str(value)[:40]!r}.") from None
        if number != value or not least <= number <= most:
            raise Refused(f"{what} must be a whole number from {least} to {most}, not {str(value)[:40]}.")
        return number


LIMITS = Limits()
