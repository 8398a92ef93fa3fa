"""The kinds of `pii.patterns` as automata over plain texts; made once, whatever the number of plugins and calls."""

from __future__ import annotations

from functools import lru_cache

from diffusionlm.guidance.automata import Language, intersection, regex
from diffusionlm.guidance.automata.occurrences import Absence, Occurrence, absence, all_absent
from diffusionlm.guidance.pii.harmless import BETWEEN, S, T
from diffusionlm.guidance.pii.kind import Kind, Pattern
from diffusionlm.guidance.pii.luhn import card_numbers

_ANY = r"(?:.|\n)*"
SECONDS = 600.0  # none of these grows without bound; a busy machine is no reason to give up


@lru_cache(maxsize=256)
def pattern_absence(name: str, pattern: Pattern) -> Absence:
    """Texts in which the pattern, or what it forbids in its place, does not occur with a generated character in it."""
    if pattern.forbids:
        return pattern_absence(name, Pattern(pattern.forbids, flags=pattern.flags))
    core = card_numbers(BETWEEN) if pattern.luhn else _regex(pattern.core, pattern.flags)
    if pattern.unless:
        core = core - _any_of(pattern.unless, pattern.flags)
    return absence(f"no {name}", [Occurrence(core, _before(pattern), _behind(pattern))], max_seconds=SECONDS)


def _regex(text: str, flags: int) -> Language:
    return regex(text, flags=flags, max_seconds=SECONDS)


@lru_cache(maxsize=64)
def _any_of(expressions: tuple[str, ...], flags: int) -> Language:
    return _regex("|".join(f"(?:{text})" for text in expressions), flags)


def _before(pattern: Pattern) -> Language | None:
    """What may stand before the core."""
    excluded = [*pattern.not_before, *([rf"[0-9]{T}"] if pattern.whole else [rf"[0-9]{S}"] if pattern.luhn else [])]
    ways = [f"{_ANY}(?:{'|'.join(excluded)})"] if excluded else []
    ways += [rf"(?:{_ANY}\W)?(?:{pattern.not_led_by})"] if pattern.not_led_by else []
    parts = [_regex(f"{_ANY}(?:{pattern.led_by})", pattern.flags)] if pattern.led_by else []
    parts += [~_regex("|".join(ways), pattern.flags)] if ways else []
    return (intersection(parts) if len(parts) > 1 else parts[0]) if parts else None


def _behind(pattern: Pattern) -> Language | None:
    excluded = [*pattern.not_behind, *([rf"{T}[0-9]"] if pattern.whole else [])]
    return ~_regex(f"(?:{'|'.join(excluded)}){_ANY}", pattern.flags) if excluded else None


@lru_cache(maxsize=32)
def guard_absence(kinds: tuple[Kind, ...]) -> Absence | None:
    """Texts without what the guards of several kinds look for, as one small automaton; None if they have none."""
    guards = dict.fromkeys(guard for kind in kinds for guard in kind.guards)
    if not guards:
        return None
    title = " and ".join(kind.title for kind in kinds if kind.guards)
    return all_absent(f"no {title}", [pattern_absence(title, guard) for guard in guards], max_seconds=SECONDS)
