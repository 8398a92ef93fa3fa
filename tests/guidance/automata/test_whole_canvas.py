"""Rules on a canvas in blocks accept what they accept on the whole canvas, and no block leads into a dead end."""

from itertools import product

import pytest
import torch

from diffusionlm.guidance import automata
from diffusionlm.guidance.automata import UnsatisfiableConstraint, bind, compile_language, token_count
from diffusionlm.guidance.automata.whole_canvas import WholeCanvas, bind_block, block_ends
from diffusionlm.text import Vocabulary

VOCABULARY = Vocabulary((b"", b" a", b"b", b"ab"), 0, frozenset({0}))


def canvas(spans, opened):
    index = torch.tensor(spans)
    first = torch.tensor([i == 0 or spans[i] != spans[i - 1] for i in range(len(spans))])
    allowed = torch.ones(len(spans), 4, dtype=torch.bool)
    allowed[:, 0] = torch.tensor(opened) & ~first
    allowed[first] &= torch.tensor([True, True, False, False])
    patterns, pattern_of = torch.unique(allowed, dim=0, return_inverse=True)
    return index, allowed, patterns, pattern_of


RULES = {
    "a required phrase": [automata.contains_any(["b ab"], whole_words=False)],
    "a forbidden pattern": [automata.regex("a.?a", "excludes")],
    "both, and a length": [
        automata.contains_any(["bb"], whole_words=False),
        automata.regex("b a", "excludes"),
        automata.length(5, 9, unit="characters"),
    ],
}
IMPOSSIBLE = {("both, and a length", 3, True), ("tokens", 2, False)}  # "b ab" in between, and five closed positions


@pytest.mark.parametrize("name", [*RULES, "tokens"])
@pytest.mark.parametrize(
    ("spans", "literals", "opened"),
    [([0] * 5, ["", ""], True), ([0] * 5, ["", " b"], False), ([0, 0, 0, 1, 1], [" b", " ab", ""], True)],
)
def test_blocks_accept_what_the_whole_canvas_accepts(name, spans, literals, opened):
    rules = [compile_language(rule, VOCABULARY) for rule in RULES.get(name, [])] or [token_count(VOCABULARY, 3, 4)]
    index, allowed, patterns, pattern_of = canvas(spans, [opened] * 5)
    in_blocks = (rules, literals, index, patterns, pattern_of, block_ends(spans, 2))
    if (name, len(literals), opened) in IMPOSSIBLE:
        with pytest.raises(UnsatisfiableConstraint, match="cannot be satisfied on this canvas of 5 positions"):
            WholeCanvas(*in_blocks)
        return
    exact, whole = bind(rules, literals, index, allowed), WholeCanvas(*in_blocks)
    texts = list(product(range(4), repeat=5))
    accepted = {text for text, held in zip(texts, exact.accepts(torch.tensor(texts)).tolist(), strict=True) if held}
    prefixes, begin = {()}, 0
    for end in whole.ends:
        options = torch.tensor(list(product(range(4), repeat=end - begin)))
        following = set()
        for prefix in prefixes:
            held = bind_block([whole], prefix, end, allowed[begin:end]).accepts(options)
            following |= {(*prefix, *own) for own in options[held].tolist()}
        prefixes, begin = following, end
        assert prefixes == {text[:end] for text in accepted}  # none that cannot be finished, all that can
    assert accepted


def test_blocks_are_even_and_stay_within_a_span():
    assert block_ends([0] * 10, 4) == [4, 7, 10]
    assert block_ends([0, 0, 0, 1], 8) == [3, 4]


def test_rules_that_are_apart_hold_together_in_a_block():
    index, allowed, patterns, pattern_of = canvas([0] * 4, [True] * 4)
    rules = [compile_language(rule, VOCABULARY) for rule in RULES["both, and a length"][1:]]
    apart = [WholeCanvas([rule], ["", ""], index, patterns, pattern_of, [2, 4]) for rule in rules]
    together = bind(rules, ["", ""], index, allowed)
    for prefix in ((1, 1), (1, 2), (1, 3)):
        options = torch.tensor(list(product(range(4), repeat=2)))
        whole = torch.cat([torch.tensor([prefix] * len(options)), options], dim=1)
        assert bind_block(apart, prefix, 4, allowed[2:]).accepts(options).tolist() == together.accepts(whole).tolist()


def test_tokens_that_broke_a_rule_lead_nowhere():
    index, _, patterns, pattern_of = canvas([0] * 4, [False] * 4)
    rule = compile_language(automata.regex("bb", "excludes"), VOCABULARY)
    whole = WholeCanvas([rule], ["", ""], index, patterns, pattern_of, [2, 4])
    assert whole.state_after((1, 2)) >= 0
    assert whole.state_after((1, 2, 2)) == -1
