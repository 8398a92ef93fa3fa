"""Shared scene of the sentences of one text: who writes, the place, the nouns spoken of, and how words agree with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffusionlm.corpora.guestbook.grammar import Choice, Entry, Grammar, Slot
from diffusionlm.corpora.guestbook.surface import mark

if TYPE_CHECKING:
    import random

    from diffusionlm.corpora.guestbook.grammar import Sequence_
    from diffusionlm.corpora.guestbook.personal import Persona

# name -> forms for (singular it, plural, he, she)
AGREE = {
    "was": ("was", "were", "was", "was"),
    "is": ("is", "are", "is", "is"),
    "has": ("has", "have", "has", "has"),
    "does": ("does", "do", "does", "does"),
    "they": ("it", "they", "he", "she"),
    "them": ("it", "them", "him", "her"),
    "their": ("its", "their", "his", "her"),
    "themselves": ("itself", "themselves", "himself", "herself"),
    "this": ("this", "these", "this", "this"),
    "that": ("that", "those", "that", "that"),
}
MARKS = {"n": 0, "p": 1, "m": 2, "f": 3}
NARRATOR = {  # name -> forms for (I, we)
    "we": ("I", "we"),
    "us": ("me", "us"),
    "our": ("my", "our"),
    "ours": ("mine", "ours"),
    "wewere": ("I was", "we were"),
    "weare": ("I am", "we are"),
    "weve": ("I have", "we have"),
    "myself": ("myself", "ourselves"),
}
PERSONS = frozenset({"staff", "who"})  # nouns for which he or she is drawn when they do not say
SUBJECTS = frozenset({"thing", "staff", "who", "dish", "drink"})  # nouns that verbs and pronouns agree with
BOUND = SUBJECTS | {"place", "kindof", "town"}  # drawn once a text


class Scene:
    """One text in the making.

    Args:
        grammar: the pools.
        rng: draws everything but personal data.
        persona: the invented writer, asked when a pattern wants personal data.
        context: modifiers that hold for the whole text, such as the kind of place.
        plural: whether "we" write, rather than "I".
    """

    def __init__(
        self, grammar: Grammar, rng: random.Random, persona: Persona, context: frozenset[str], plural: bool
    ) -> None:
        self.grammar, self.rng, self.persona, self.context, self.plural = grammar, rng, persona, context, plural
        self.bound: dict[str, str] = {}
        self.number: dict[str, int] = {}  # noun -> index of its forms in AGREE
        self.last = "thing"
        self.obscene = False
        self.used: set[int] = set()

    def say(self, name: str, *modifiers: str) -> str:
        """Expand one entry of a pool under additional modifiers (a tone, for example)."""
        before, self.context = self.context, self.context | set(modifiers)
        if name == "detail":
            self.last = "thing"
        try:
            return self._pool(name)
        finally:
            self.context = before

    def can_say(self, name: str, *modifiers: str) -> bool:
        """True if the pool has an entry for the context."""
        return bool(self.grammar.entries(name, self.context | set(modifiers)))

    def _pool(self, name: str) -> str:
        return self._parts(self._draw(name).parts)

    def _draw(self, name: str) -> Entry:
        entries = self.grammar.entries(name, self.context)
        if not entries:
            raise LookupError(f"The pool {name!r} has no entry for {sorted(self.context)}.")
        if name == "detail" and "thing" not in self.bound:  # nothing yet that "it" could mean
            entries = [
                entry for entry in entries if not any(isinstance(p, Slot) and p.name in AGREE for p in entry.parts)
            ]
        entry = entries[int(self.rng.random() * len(entries))]
        for _ in range(3):  # no pattern twice in a text, where there are others
            if id(entry) not in self.used:
                break
            entry = entries[int(self.rng.random() * len(entries))]
        self.used.add(id(entry))
        return entry

    def _parts(self, parts: Sequence_) -> str:
        return "".join([part if isinstance(part, str) else self._part(part) for part in parts])

    def _part(self, part: Slot | Choice) -> str:
        if isinstance(part, Choice):
            return self._parts(part.options[int(self.rng.random() * len(part.options))])
        name = part.name
        if name in NARRATOR:
            return NARRATOR[name][self.plural]
        if name in AGREE:
            return AGREE[name][self.number.get(part.argument or self.last, 0)]
        if name[0] == "+":  # a verb in the present tense
            noun = self.number.get(part.argument or self.last, 0)
            return name[1:] if noun == 1 else _third_person(name[1:])
        if name[0] == "!":
            return self.persona.say(name[1:])
        if name == "<":
            kind, _, word = part.argument.partition(" ")
            self.obscene |= kind == "OBSCENE"
            return mark("INSULT", word)
        if name in BOUND:
            if name not in self.bound:
                entry = self._draw(name)
                number = MARKS.get(entry.mark, 0)
                if not entry.mark and name in PERSONS:
                    number = self.rng.choice((2, 3))
                self.bound[name] = self._parts(entry.parts)
                inner = entry.parts[0]
                if isinstance(inner, Slot) and inner.name in SUBJECTS:  # "the food" may be a dish
                    number = self.number[inner.name]
                self.number[name] = number
            if name in SUBJECTS:
                self.last = name
            return self.bound[name]
        if name == "staffpred":
            return self._nested(name, "many" if self.number.get("staff") == 1 else "one")
        return self._nested(name)

    def _nested(self, name: str, *modifiers: str) -> str:
        """A pool inside a sentence: the nouns in it do not become the subject of what follows."""
        last = self.last
        said = self.say(name, *modifiers) if modifiers else self._pool(name)
        self.last = last
        return said


def _third_person(verb: str) -> str:
    if verb.endswith(("s", "sh", "ch", "x", "o")):
        return verb + "es"
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return verb[:-1] + "ies"
    return verb + "s"
