"""`Phrases`: what the text must mention and what it must not."""

from __future__ import annotations

from collections.abc import Sequence

from diffusionlm.guidance import automata
from diffusionlm.guidance.automata import Language
from diffusionlm.guidance.constraints.constraint import Constraint
from diffusionlm.guidance.registry.plugins import register
from diffusionlm.guidance.settings import read_texts


@register("phrases")
class Phrases(Constraint):
    """Phrases that are mentioned, or never are.

    Args:
        include: every one of these occurs.
        exclude: none of these occurs.
        any_of: at least one of these occurs.
        case_sensitive: whether "the mill" is another phrase than "The Mill".
        whole_words: an occurrence may not be part of a longer word.

    Raises:
        ValueError: if nothing is asked for, or a phrase is empty.
        TypeError: if a phrase is no text.

    Example:
        >>> [rule.name for rule in Phrases(include=["The Mill"], exclude=["cheap"]).languages()]
        ["contains 'The Mill'", "excludes 'cheap'"]
    """

    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    any_of: Sequence[str] = ()
    case_sensitive: bool = True
    whole_words: bool = True

    expected_failures = {"default_constructible": "there are no phrases that everybody wants"}

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("include", "exclude", "any_of"):
            setattr(self, name, read_texts(getattr(self, name), f"{name} of {self.title!r}"))
        if not (self.include or self.exclude or self.any_of):
            raise ValueError("Phrases needs a phrase: include, exclude or any_of, as in Phrases(include=['The Mill']).")
        self.languages()

    @classmethod
    def example(cls) -> Phrases:
        """One word that must not occur."""
        return cls(exclude=["cheap"])

    def languages(self) -> Sequence[Language]:
        """One language for each phrase to include, one for all to exclude, one for the choice."""
        options = {"ignore_case": not self.case_sensitive, "whole_words": self.whole_words}
        rules = [automata.contains_any([phrase], **options) for phrase in dict.fromkeys(self.include)]
        if self.any_of:
            rules.append(automata.contains_any(self.any_of, **options))
        if self.exclude:
            rules.append(automata.contains_none(self.exclude, **options))
        return rules
