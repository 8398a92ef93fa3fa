"""The kinds of `pii.patterns` as automata; made once, whatever the number of plugins and calls."""

from __future__ import annotations

from functools import lru_cache

from diffusionlm.guidance.automata import Language, regex, union
from diffusionlm.guidance.automata.occurrences import Absence, Occurrence, absence, all_absent
from diffusionlm.guidance.pii.luhn import card_numbers
from diffusionlm.guidance.pii.patterns import SEPARATOR, Kind, Pattern

_ANY = r"(?:.|\n)*"


@lru_cache(maxsize=256)
def pattern_absence(name: str, pattern: Pattern) -> Absence:
    """Texts in which the pattern does not occur with a generated character in it."""
    core = card_numbers(SEPARATOR) if pattern.luhn else regex(pattern.core)
    if pattern.unless:
        core = core - union([regex(text) for text in pattern.unless])
    before: Language | None = None
    if pattern.not_before or pattern.only_behind:
        before = regex(f"{_ANY}(?:{pattern.only_behind})")
        if pattern.not_before:
            before = before - regex(f"{_ANY}(?:{'|'.join(pattern.not_before)})")
    behind = ~regex(f"(?:{'|'.join(pattern.not_behind)}){_ANY}") if pattern.not_behind else None
    return absence(f"no {name}", [Occurrence(core, before, behind)])


@lru_cache(maxsize=64)
def kind_absence(kind: Kind) -> Absence:
    """Texts without a kind, one of `pii.patterns.KINDS`; patterns with a Luhn sum are left to `sum_absence`, because
    their sums would multiply with everything else."""
    patterns = [pattern for pattern in kind.patterns if not pattern.luhn]
    return all_absent(f"no {kind.title}", [pattern_absence(kind.title, pattern) for pattern in patterns])


@lru_cache(maxsize=64)
def sum_absence(kind: Kind) -> Absence:
    """Texts without what the patterns of a kind with a Luhn sum look for."""
    patterns = [pattern for pattern in kind.patterns if pattern.luhn]
    return all_absent(f"no {kind.title}", [pattern_absence(kind.title, pattern) for pattern in patterns])


@lru_cache(maxsize=32)
def guard_absence(kinds: tuple[Kind, ...]) -> Absence | None:
    """Texts without what the guards of several kinds look for, as one small automaton; None if they have none."""
    guards = dict.fromkeys(guard for kind in kinds for guard in kind.guards)
    return all_absent("guard", [pattern_absence("guard", guard) for guard in guards]) if guards else None
