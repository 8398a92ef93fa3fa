"""A setting on the page: how its value is shown, and what the page sends read back and checked."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from diffusionlm.studio.limits import LIMITS, Limits, Refused

_RANGE = re.compile(r"^(\d+)?\s*(?:-|–|\.\.|,|to)\s*(\d+)?$")
_NEEDED = {"integer": "a whole number", "number": "a number", "range": "a number or a range", "pair": "two numbers"}


@dataclass(frozen=True)
class Control:
    """One setting that a visitor can change.

    Attributes:
        name: of the parameter.
        kind: "switch", "integer", "number", "text", "choice", "lines" (a list of texts, one a line), "range" (a whole
            number, or least and most), or "pair" (two numbers).
        default: in the parameter's own form.
        choices: for "choice".
        optional: whether it can be left empty, which stands for None.
        help: what the documentation says of it.
        example: of a text, the first in quotes that the documentation has; "" if it has none.
    """

    name: str
    kind: str
    default: Any
    choices: tuple[str, ...] = ()
    optional: bool = False
    help: str = ""
    example: str = ""

    def shown(self, value: Any) -> Any:
        """The value as the page shows it: lists one entry a line, ranges as "10-12", None as nothing."""
        if self.kind == "lines":
            return "\n".join([value] if isinstance(value, str) else map(str, value or ()))
        if self.kind == "range":
            if value is None or isinstance(value, int):
                return "" if value is None else str(value)
            return "-".join("" if end is None else str(end) for end in value)
        if self.kind == "pair":
            return "" if value is None else ", ".join(f"{number:g}" for number in value)
        if self.kind == "text":
            return value or ""
        return value

    def read(self, given: Any, limits: Limits = LIMITS) -> Any:
        """Value sent by the page, in the parameter's own form.

        Raises:
            Refused: if it is not of the control's kind, or too large.
        """
        if self.kind == "switch":
            if not isinstance(given, bool):
                raise Refused(f"{self.title} is on or off.")
            return given
        if self.kind != "choice" and (given is None or (isinstance(given, str) and not given.strip())):
            if self.optional:
                return None
            if self.kind == "lines" or (self.kind == "text" and not self.default):
                return [] if self.kind == "lines" else ""
            needed = f"for example {self.example or self.default}" if self.kind == "text" else _NEEDED[self.kind]
            raise Refused(f"{self.title} is empty; give {needed}.")
        if self.kind == "choice":
            if self.optional and given in (None, ""):
                return None
            if given not in self.choices:
                raise Refused(f"{self.title} must be one of {', '.join(self.choices)}.")
            return given
        if self.kind in ("integer", "number"):
            return self._number(given)
        if not isinstance(given, str):
            raise Refused(f"{self.title} must be text.")
        if len(given) > limits.entry * (limits.lines if self.kind == "lines" else 1):
            raise Refused(f"{self.title} is too long: {len(given):,} characters.")
        match self.kind:
            case "lines":
                return self._lines(given, limits)
            case "range":
                return self._range(given.strip())
            case "pair":
                parts = given.split(",")
                if len(parts) != 2:
                    raise Refused(f"{self.title} must be two numbers with a comma, as in 1, 0.")
                return tuple(self._number(part) for part in parts)
            case _:
                return given

    @property
    def title(self) -> str:
        """The name as people read it."""
        return self.name.replace("_", " ").capitalize()

    def _number(self, given: Any) -> int | float:
        try:
            number = float(given)
        except (TypeError, ValueError, OverflowError):
            raise Refused(f"{self.title} must be a number, not {str(given)[:40]!r}.") from None
        if not math.isfinite(number) or abs(number) > 1e6:
            raise Refused(f"{self.title} must be a number of at most a million, not {str(given)[:40]}.")
        if self.kind == "integer":
            if number != int(number):
                raise Refused(f"{self.title} must be a whole number, not {number:g}.")
            return int(number)
        return number

    def _lines(self, given: str, limits: Limits) -> list[str]:
        lines = [line.rstrip("\r") for line in given.split("\n") if line.strip()]
        if len(lines) > limits.lines:
            raise Refused(f"{self.title} has {len(lines)} lines; this page takes {limits.lines}.")
        return lines

    def _range(self, given: str) -> int | list[int | None]:
        if given.isdigit() and len(given) < 7:
            return int(given)
        found = _RANGE.match(given)
        if not found or not (found[1] or found[2]) or len(given) > 20:
            raise Refused(f"{self.title} must be a number such as 12, or a range such as 10-15.")
        return [None if end is None else int(end) for end in found.groups()]
