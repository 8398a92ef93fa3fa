"""`Regex`: what the text must contain, must not contain, or must be, as regular expressions."""

from __future__ import annotations

from collections.abc import Sequence

from diffusionlm.guidance import automata
from diffusionlm.guidance.automata import Language
from diffusionlm.guidance.constraints.constraint import Constraint
from diffusionlm.guidance.registry.plugins import register
from diffusionlm.guidance.settings import read_texts

Pattern = str  # a regular expression; the command line does not take [0-9] for a list where this is asked for


@register("regex")
class Regex(Constraint):
    """Regular expressions that always hold.

    Args:
        require: patterns that must occur somewhere in the text, a string or a list.
        forbid: patterns that may occur nowhere, known text and the borders of spans included.
        match: a pattern that the whole text must match.
        ignore_case: letters are compared without case.

    Raises:
        TypeError: if a pattern is no text.
        ValueError: if no pattern is given, or one uses what no automaton can do (back references, look-around).

    Example:
        >>> Regex(forbid=r"\\d{3}-\\d{4}").languages()[0].accepts("call 555-1234")
        False
    """

    require: Pattern | Sequence[Pattern] | None = None
    forbid: Pattern | Sequence[Pattern] | None = None
    match: Pattern | None = None
    ignore_case: bool = False

    expected_failures = {"default_constructible": "there is no pattern that everybody wants"}

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("require", "forbid"):
            given = getattr(self, name)
            if given is not None and not isinstance(given, str):
                setattr(self, name, read_texts(given, f"{name} of {self.title!r}", "pattern"))
        if self.match is not None and not isinstance(self.match, str):
            raise TypeError(f"match of {self.title!r} must be one pattern for the whole text, got {self.match!r}.")
        given = [
            pattern for own in (self.require, self.forbid, self.match) if own is not None for pattern in _listed(own)
        ]
        if not given or not all(given):
            raise ValueError(
                "Regex needs a pattern: require, forbid or match, as in Regex(forbid=r'\\d{3}-\\d{4}')"
                f"{', and an empty one says nothing' if given else ''}."
            )
        self.languages()  # a pattern that cannot be used is refused here, where it is written

    @classmethod
    def example(cls) -> Regex:
        """No digits."""
        return cls(forbid=r"\d")

    def required_characters(self) -> str:
        """Those of the patterns that are required or matched."""
        required = [self.require] if isinstance(self.require, str) else self.require or []
        return "".join([*required, self.match or ""])

    def languages(self) -> Sequence[Language]:
        """One language for each pattern."""
        import re

        flags = re.IGNORECASE if self.ignore_case else 0
        modes = (("contains", self.require), ("excludes", self.forbid), ("matches", self.match))
        return [
            automata.regex(pattern, mode, flags)  # type: ignore[arg-type]
            for mode, given in modes
            if given is not None
            for pattern in _listed(given)
        ]


def _listed(given: Pattern | Sequence[Pattern]) -> Sequence[Pattern]:
    return [given] if isinstance(given, str) else given
