"""Number soup: words of digits and signs that nobody writes, such as a text shows that was kept from saying a number."""

from __future__ import annotations

import re

from diffusionlm.guidance.pii.harmless import HARMLESS

_HARMLESS = re.compile("|".join(f"(?:{text})" for text in HARMLESS))
_UNITS = re.compile(
    r"\d+(?:[.,:]\d+)?(?:st|nd|rd|th|am|pm|p|k|m|km|s|h|min|x|g|kg|cm|mm)?|\d+(?:-[a-z]+)+", re.IGNORECASE
)
_MARKS = re.compile(r"[@_+<>=#*]|[^\W\d_][./]{2,}|[^\W\d_]\.[^\W\d_]{2}|[.,:;-]{2}")
_STOPS = re.compile(r"[.!?]|\.\.\.|[-–—&+/]")
_AROUND = ".,!?;:()'\"…"


def stray_signs(text: str) -> list[str]:
    """Words of a text that hold digits or signs and are no number, price, time, date, range or measure.

    Counted are digits among letters or marks ("1-69-6-6.", "oaf1", "+1"), a number right behind a number ("11 9603 61"), what
    is left of addresses ("ann!@example", "thatcom..org"), and marks alone (".,").

    Example:
        >>> stray_signs("Call +1-69-6-6. It costs £20-25.")
        ['+1-69-6-6.']
    """
    found, numbers = [], 0
    for word in text.split():
        inner = word.strip(_AROUND).lstrip("£$€").rstrip("%")
        if not inner:
            numbers = 0
            stray = len(word) > 1 and _STOPS.fullmatch(word) is None
        elif any(character.isdigit() for character in inner):
            numbers += 1
            known = _UNITS.fullmatch(inner) or _HARMLESS.fullmatch(inner)
            stray = numbers > 1 or not known or word.startswith(("+", "(+"))
        else:
            numbers = 0
            stray = _MARKS.search(word) is not None and not word.endswith("...")
        if stray:
            found.append(word)
    return found
