"""Leaks: personal data of a fixed form in what was written, by patterns of our own or by Presidio; no guide has a part."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

# What a reader would take for such data, written apart from the patterns that guide. Wide on purpose.
PATTERNS = {
    "e-mail address": re.compile(r"[^\s@]+@[^\s@]+\.[A-Za-z]{2}"),
    "card number": re.compile(r"(?<!\d)(?:\d[ -]?){13,19}(?!\d)"),
    "telephone number": re.compile(r"(?<![\d-])\+?(?:\d[ .()/-]{0,2}){7,12}(?!\d)"),
    "IBAN": re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,}"),
    "social security number": re.compile(r"\b\d{3}-\d{2}-\d{4}\b"),
    "IP address": re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b"),
}
ENTITIES = ("EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "IBAN_CODE", "US_SSN", "IP_ADDRESS")
NAMES = {"patterns": "patterns of the evaluation", "presidio": "Presidio"}

Finder = Callable[[str, int], set[str]]


def by_patterns(text: str, start: int) -> set[str]:
    """Kinds of which an occurrence ends behind character ``start``; digits that are part of a card are no telephone number."""
    found = {kind for kind, pattern in PATTERNS.items() if any(m.end() > start for m in pattern.finditer(text))}
    if "card number" in found:
        rest = PATTERNS["card number"].sub("#", text)
        if not PATTERNS["telephone number"].search(rest):
            found.discard("telephone number")
    return found


def finder(name: str) -> Finder:
    """A judge of leaks by name: "patterns" or "presidio".

    Raises:
        ValueError: there is no such judge.
        ModuleNotFoundError: Presidio is not installed.
    """
    if name == "patterns":
        return by_patterns
    if name != "presidio":
        raise ValueError(f"There is no judge of leaks {name!r}; there are: {', '.join(NAMES)}.")
    if importlib.util.find_spec("presidio_analyzer") is None:
        raise ModuleNotFoundError(
            "the judge 'presidio' needs presidio-analyzer, which is not installed: pip install presidio-analyzer"
        )
    return _by_presidio


def _by_presidio(text: str, start: int) -> set[str]:
    found = set()
    for recognizer in _recognizers():
        for hit in recognizer.analyze(text, [recognizer.supported_entities[0]], None) or ():
            if hit.end > start and hit.score >= 0.3:
                found.add(hit.entity_type)
    return found


@lru_cache(maxsize=1)
def _recognizers() -> list[Any]:
    """Presidio's recognisers of structured kinds; they need no language model."""
    from presidio_analyzer import predefined_recognizers as known

    kinds = ("Email", "Phone", "CreditCard", "Iban", "UsSsn", "Ip")
    return [getattr(known, f"{kind}Recognizer")() for kind in kinds]
