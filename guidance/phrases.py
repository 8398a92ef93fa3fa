"""`Phrases`: what the text must mention and what it must not."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from diffusionlm.guidance import automata
from diffusionlm.guidance.automata import Language, TokenAutomaton, compile_language
from diffusionlm.guidance.automata.inflection import forms_of
from diffusionlm.guidance.automata.language import quoted
from diffusionlm.guidance.constraints.constraint import Constraint, bind_to, by_canvas, nats_of
from diffusionlm.guidance.constraints.many_phrases import MOST_TOGETHER
from diffusionlm.guidance.registry.plugins import register
from diffusionlm.text import Vocabulary

if TYPE_CHECKING:
    from diffusionlm.guidance.state import GuidanceState


class NoPhrases(TypeError, ValueError):
    """Something is no phrase; a ValueError too, so that the command line prints its one sentence."""


@register("phrases")
class Phrases(Constraint):
    """Phrases that are mentioned, or never are.

    A phrase to include is written exactly as it is given. A phrase to exclude does not occur in another typography
    either: apostrophes, quotes, dashes and spaces that look alike are the same, accents may be composed or not, invisible
    characters do not count; the verification reads included phrases so, too.

    Args:
        include: every one of these occurs, in any order.
        exclude: none of these occurs.
        any_of: at least one of these occurs.
        case_sensitive: whether "the mill" is another phrase than "The Mill".
        whole_words: an occurrence may not be part of a longer word; an edge that is no word character ("£", "%", "-")
            ends no word, so "£" occurs in "£20".
        forms: every inflected form of a phrase counts as the phrase ("walk": walks, walked, walking), by lemminflect
            (extra ``forms``); of several words the first and the last are inflected.

    Raises:
        TypeError: if something is no phrase, in one sentence.
        ValueError: if nothing is asked for, a phrase is empty, or phrases contradict each other.

    Example:
        >>> [rule.name for rule in Phrases(include=["The Mill"], exclude=["cheap"]).languages()]
        ["contains 'The Mill'", "excludes 'cheap'"]
    """

    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    any_of: Sequence[str] = ()
    case_sensitive: bool = True
    whole_words: bool = True
    forms: bool = False

    expected_failures = {"default_constructible": "there are no phrases that everybody wants"}

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("include", "exclude", "any_of"):
            setattr(self, name, _phrases(name, getattr(self, name)))
        if not (self.include or self.exclude or self.any_of):
            raise ValueError("Phrases needs a phrase: include, exclude or any_of, as in Phrases(include=['The Mill']).")
        self._read = self._languages(alike=True)
        self._refuse_contradictions()

    @classmethod
    def example(cls) -> Phrases:
        """One word that must not occur."""
        return cls(exclude=["cheap"])

    def languages(self) -> Sequence[Language]:
        """One language for each phrase to include, one for all to exclude, one for the choice; as a reader reads them."""
        return self._read

    def automata(self, vocabulary: Vocabulary) -> list[TokenAutomaton]:
        """The same over tokens, where included phrases are written as they were given."""
        return [compile_language(language, vocabulary) for language in self._languages(alike=False)]

    def unordered(self) -> Sequence[TokenAutomaton]:
        """Those of the phrases to include."""
        return self.compiled[: len(dict.fromkeys(self.include))]

    def energy(self, state: GuidanceState) -> Tensor:
        """-log p(the rules hold) for each sample (B,), in nats; where phrases are many, as if they were independent."""
        if len(self.unordered()) <= MOST_TOGETHER:
            return super().energy(state)
        out = state.probs.new_zeros(state.batch_size)
        for rows, layout in by_canvas(state.layouts):
            index = torch.tensor(rows, device=state.device)
            for rule in self.compiled:
                bound = bind_to([rule], layout, state.vocabulary, None)
                found = nats_of(bound, state.log_probs[index, : layout.length])
                out = out.index_add(0, index, found.to(out.dtype))
        return out

    def required_characters(self) -> str:
        """Those of the phrases to include, and of the choice."""
        return "".join([*self.include, *self.any_of])

    def certify(self, text: str, span_ids: Sequence[Sequence[int]]) -> dict[str, bool]:
        """Whether a finished text obeys, by reading its characters as a reader does."""
        return {language.name: language.accepts(text) for language in self._read}

    def _languages(self, alike: bool) -> list[Language]:
        options: dict[str, bool] = {"ignore_case": not self.case_sensitive, "whole_words": self.whole_words}
        rules = [
            mentioned(tuple(self._forms([phrase])), alike=alike, **options).renamed(self._named(phrase))
            for phrase in dict.fromkeys(self.include)
        ]
        if self.any_of:
            rule = automata.contains_any(self._forms(self.any_of), **options, alike=alike)
            rules.append(rule.renamed(automata.contains_any(self.any_of).name) if self.forms else rule)
        if self.exclude:
            rule = automata.contains_none(self._forms(self.exclude), **options, alike=True)
            rules.append(rule.renamed(automata.contains_none(self.exclude).name) if self.forms else rule)
        return rules

    def _forms(self, phrases: Sequence[str]) -> list[str]:
        return list(
            dict.fromkeys(form for phrase in phrases for form in (forms_of(phrase) if self.forms else [phrase]))
        )

    def _named(self, phrase: str) -> str:
        return f"contains {quoted(phrase)}" + (" in some form" if self.forms else "")

    def _refuse_contradictions(self) -> None:
        """A phrase by itself is the text that holds least beside it: what is wrong there is wrong in every text."""
        if not self.exclude:
            return
        allowed = self._read[-1]
        for name, wanted in (("include", [[phrase] for phrase in self.include]), ("any_of", [self.any_of])):
            for phrases in wanted:
                if phrases and not any(allowed.accepts(form) for form in self._forms(phrases)):
                    said = quoted(phrases[0]) if len(phrases) == 1 else f"each of {list(phrases)}"
                    raise ValueError(
                        f"Phrases({name}=...) asks for {said}, which holds one of the phrases to exclude "
                        f"({', '.join(map(quoted, self.exclude[:5]))}); no text obeys both: drop one of them."
                    )


@lru_cache(maxsize=512)
def mentioned(forms: tuple[str, ...], ignore_case: bool, whole_words: bool, alike: bool) -> Language:
    """Texts with one of the forms of a phrase; kept, as calls ask for the same ones again and again."""
    return automata.contains_any(forms, ignore_case=ignore_case, whole_words=whole_words, alike=alike)


def _phrases(name: str, given: Any) -> list[str]:
    phrases = [given] if isinstance(given, str) else given
    if isinstance(phrases, bytes) or not hasattr(phrases, "__iter__"):
        hint = (
            f"{name}=[{str(given)!r}]"
            if isinstance(given, int | float) and not isinstance(given, bool)
            else f"{name}=['The Mill']"
        )
        raise NoPhrases(f"{name} must be a phrase or a list of phrases, got {given!r}; write it as text, as in {hint}.")
    phrases = list(phrases)
    for phrase in phrases:
        if not isinstance(phrase, str):
            raise NoPhrases(
                f"{name} must hold texts, got {phrase!r} among them; write it as text, as in {str(phrase)!r}."
            )
        if not phrase:
            raise ValueError(
                f"{name} holds an empty phrase, which every text holds; a phrase has at least one character."
            )
    return phrases
