"""The automata that forbid personal data can be built, also those that join in the end."""

import random

from diffusionlm.guidance import PII
from diffusionlm.guidance.pii.search import find_kind


def test_every_part_is_built_on_the_way_and_in_the_end(tiny_tokenizer):
    plugin = PII(kinds=["card", "iban", "ip"])  # with check digits, the longest, a short one
    for name in plugin._rules:
        for finished in (False, True):
            assert plugin.part(name, tiny_tokenizer.vocabulary, finished).num_states > 1, name


def test_the_part_of_card_numbers_forbids_every_card_number_in_the_end(tiny_tokenizer):
    plugin, rng, cards = PII(kinds=["card"]), random.Random(0), 0
    parts = [plugin.part(name, tiny_tokenizer.vocabulary, True) for name in plugin._rules]
    while cards < 40:
        text = "pay with " + rng.choice([" ", "-", ""]).join(str(rng.randrange(10**4)).zfill(4) for _ in range(4))
        if find_kind(plugin.structured["card"], text):
            cards += 1
            assert not all(allows(part, tiny_tokenizer.encode(f" {text}")) for part in parts), text


def allows(part, ids):
    """True if an automaton accepts tokens."""
    state = part.start
    for token in ids:
        state = part.delta[state, part.token_class[int(token)]]
    return bool(part.accepting[state])
