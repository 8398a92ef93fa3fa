"""A certificate over words of which the tagger knows no part of speech: given only where they may be anything."""

import itertools
import random

import pytest

from diffusionlm.guidance.syntax.automaton import place_automaton
from diffusionlm.guidance.syntax.pattern import parse_pattern

WORDS = ["DET", "PRON", "NOUN", "AUX", "VERB", "ADJ", "X"]  # all that the rules below name, and another
RULES = {
    "DET NOUN .*": parse_pattern("DET NOUN .*"),
    ".* NOUN": parse_pattern(".* NOUN"),
    "(DET|PRON) . [^PUNCT] VERB?": parse_pattern("(DET|PRON) . [^PUNCT] VERB?"),
    "NP 0-1": place_automaton(0, [("START", ("DET", "NOUN"), "AUX"), ("START", ("NOUN", "NOUN"), "")]),
    "NP 1-2": place_automaton(1, [("", ("DET", "NOUN"), "END"), ("VERB", ("DET", "ADJ"), "NOUN")]),
}


def obeys(automaton, choices):
    """Whether known words can be read so that the rule holds, whatever the unknown words are: by enumeration."""
    unknown = [n for n, own in enumerate(choices) if not own]
    return all(
        any(
            automaton.accepts([given.get(n, tag) for n, tag in enumerate(read)])
            for read in itertools.product(*(sorted(own) or [""] for own in choices))
        )
        for tags in itertools.product(WORDS, repeat=len(unknown))
        for given in [dict(zip(unknown, tags, strict=True))]
    )


@pytest.mark.parametrize("rule", RULES)
def test_nothing_is_certified_that_an_unknown_word_could_break(rule):
    automaton, draw = RULES[rule], random.Random(rule)
    seen = set()
    for _ in range(120):
        size, unknown = draw.randint(1, 4), 0
        choices = []
        for _ in range(size):
            own = set(draw.choices(["DET", "NOUN", "AUX", "VERB", "ADJ", "PUNCT"], k=draw.randint(1, 2)))
            if unknown < 2 and draw.random() < 0.3:
                own, unknown = set(), unknown + 1
            choices.append(own)
        held = automaton.nearest(choices) is not None
        assert held == obeys(automaton, choices), choices
        seen.add((held, bool(unknown)))
    assert len(seen) == 4  # held and not, with unknown words and without
