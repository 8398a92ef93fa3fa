"""Rules over plain texts, over the tokens of a vocabulary: each token is read in its plain form, and so is known text.

An automaton over plain texts knows only the characters of its patterns, so it stays as small as one over ASCII; what
fullwidth digits or zero-width spaces come to is decided here, token by token.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from diffusionlm.guidance.automata import TokenAutomaton
from diffusionlm.guidance.automata.kept import Kept
from diffusionlm.guidance.automata.occurrences import Absence
from diffusionlm.guidance.automata.over_bytes import ByteAutomaton, to_bytes
from diffusionlm.guidance.automata.over_tokens import TokenSurfaces, only_bytes, over_tokens
from diffusionlm.guidance.pii.folding import Form, plain, plain_character, reading

_kept: Kept[TokenAutomaton] = Kept()


@dataclass(frozen=True, eq=False)
class _PlainText(ByteAutomaton):
    """Reads known text in its plain form, with the states of the automaton over generated text."""

    form: Form = plain_character
    states: int = 0

    def read(self, surface: bytes) -> NDArray[np.int32]:
        maps = super().read(plain(surface.decode("utf-8"), self.form).text.encode("utf-8"))[: self.inner]
        lost = np.full(self.states - self.inner, self.dead, dtype=np.int32)  # known text begins within no character
        return np.concatenate([maps, lost])


@dataclass(frozen=True)
class _PlainSurfaces:
    """A vocabulary of which every token is written in its plain form; one that is nothing then, or no whole character, is
    empty."""

    surfaces: tuple[bytes, ...]
    pad_id: int
    fingerprint: str


def compile_plain(rule: Absence, vocabulary: TokenSurfaces, form: Form = plain_character) -> TokenAutomaton:
    """A rule over plain texts, for generated tokens and known text; cached.

    Tokens that hold parts of characters are never used while a rule takes part, unless all tokens are single bytes: then
    characters are read byte by byte, and digits beyond ASCII are not written.

    Args:
        rule: over plain texts.
        vocabulary: of the model.
        form: what a character counts as.

    Raises:
        AutomatonTooLarge: more than 150 million transitions.
    """
    key = (rule.key, rule.name, vocabulary.fingerprint, form.__qualname__)
    return _kept.get(key, lambda: _compile(rule, vocabulary, form))


def _compile(rule: Absence, vocabulary: TokenSurfaces, form: Form) -> TokenAutomaton:
    if only_bytes(vocabulary):
        generated = over_tokens(to_bytes(reading(rule, form).generated), vocabulary, rule.name, partial_characters=True)
    else:
        generated = _by_tokens(rule, vocabulary, form)
    known = _PlainText(**vars(to_bytes(rule.known)), form=form, states=generated.num_states)
    return replace(generated, reader=known, key=f"{rule.key} {form.__qualname__}")


def _by_tokens(rule: Absence, vocabulary: TokenSurfaces, form: Form) -> TokenAutomaton:
    forms, unseen = [], []
    for token, surface in enumerate(vocabulary.surfaces):
        try:
            shown = plain(surface.decode("utf-8"), form).text
        except UnicodeDecodeError:
            shown = ""
        else:
            if surface and not shown:
                unseen.append(token)
        forms.append(shown.encode("utf-8"))
    surfaces = _PlainSurfaces(tuple(forms), vocabulary.pad_id, vocabulary.fingerprint)
    generated = over_tokens(to_bytes(rule.generated), surfaces, rule.name, partial_characters=False)
    delta, token_class = generated.delta, generated.token_class
    if unseen:  # what is not seen changes nothing
        stay = np.arange(len(delta), dtype=delta.dtype)[:, None]
        token_class = token_class.copy()
        token_class[unseen] = delta.shape[1]
        delta = np.concatenate([delta, stay], axis=1)
    return replace(generated, delta=delta, token_class=token_class)
