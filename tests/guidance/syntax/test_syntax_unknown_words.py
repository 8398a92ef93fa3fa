"""A certificate over words of which the tagger knows no part of speech: given only where they may be anything."""

import itertools
import random

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


def test_nothing_is_certified_that_an_unknown_word_could_break():
    seen = set()
    for rule, automaton in RULES.items():
        draw = random.Random(rule)
        for _ in range(120):
            choices = [
                set(
                    draw.choices(
                        ["DET", "NOUN", "AUX", "VERB", "ADJ", "PUNCT"], [3, 3, 1, 1, 1, 1], k=draw.randint(1, 3)
                    )
                )
                for _ in range(draw.randint(1, 4))
            ]
            unknown = draw.sample(range(len(choices)), draw.randint(0, min(2, len(choices) - 1)))
            choices = [set() if n in unknown else own for n, own in enumerate(choices)]
            held = automaton.nearest(choices) is not None
            assert held == obeys(automaton, choices), (rule, choices)
            seen.add((held, bool(unknown)))
    assert len(seen) == 4  # held and not, with unknown words and without
