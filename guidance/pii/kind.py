"""`Pattern`, what is looked for, and `Kind`, the patterns of one kind of personal data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pattern:
    """What is looked for.

    Attributes:
        core: regular expression of the texts that count.
        not_before: expressions of one width each; the core does not count right behind one of them.
        not_behind: expressions; the core does not count right before one of them.
        led_by: expression of at most `MOST_LEAD` characters; the core counts only right behind it.
        not_led_by: the core does not count right behind this expression of at most `MOST_LEAD` characters, if that is
            no end of a longer word: "part 4525454234" is a thing's number, "apart 4525454234" may be anybody's.
        unless: the core does not count if all of it matches one of these.
        luhn: the core does not count unless its digits have a valid Luhn sum.
        whole: the core counts only as a whole number, see `pii.harmless.T`: none goes on before it or behind it.
        forbids: what the automaton forbids in place of the core, where that of the core would be too large: an expression of
            which any occurrence of the core holds one.
        flags: of `re`, for all expressions.
    """

    core: str
    not_before: tuple[str, ...] = ()
    not_behind: tuple[str, ...] = ()
    led_by: str = ""
    not_led_by: str = ""
    unless: tuple[str, ...] = ()
    luhn: bool = False
    whole: bool = False
    forbids: str = ""
    flags: int = 0


MOST_LEAD = 40
"""The most characters that `led_by` and `not_led_by` look back."""


@dataclass(frozen=True)
class Kind:
    """A kind of personal data.

    Attributes:
        title: in a user's words.
        patterns: any of these.
        guards: simpler and wider, for every step of sampling, where the patterns themselves cost too much.
        raw: patterns are looked for in the text as it is too, not only in its plain form.
        signs: an expression that every text of the kind matches somewhere: where it does not, nothing need be looked for.
    """

    title: str
    patterns: tuple[Pattern, ...]
    guards: tuple[Pattern, ...] = ()
    raw: bool = False
    signs: str = ""
