"""The tables of constraints count what they say: rules of held-out text, judges of strings, faults, odds and calibration."""

import json
import math
import random

import numpy as np
import pytest

from benchmarks.bench_choose import by_likelihood
from benchmarks.bench_commongen import concept_sets, missing
from benchmarks.bench_keywords import keywords, says_all
from benchmarks.bench_outlines import summed
from benchmarks.constraint_kinds import NAMES, begins_with, ends_with, has_between, requests_of
from benchmarks.field_questions import FIELDS, calibration_error, judged, questions
from benchmarks.guided_sets import Pair, Request, Written, cells, figures_of, write_pairs
from diffusionlm.evaluation.quality import Limits
from diffusionlm.evaluation.seen_text import SeenText
from diffusionlm.guidance import Phrases, UnsatisfiableConstraint
from diffusionlm.guidance.structured.json_schema import is_valid

ROWS = [
    ("name[The Mill], type[pub], area[riverside]", "The Mill is a cheap pub in the riverside area near Café Rouge."),
    (
        "name[Aromi], type[coffee shop], area[city centre]",
        "Aromi is a coffee shop that serves food in the city centre.",
    ),
    (
        "name[Zizzi], type[pub], area[riverside]",
        "Zizzi, a family friendly pub, has a low customer rating by the river.",
    ),
]


@pytest.mark.parametrize("kind", NAMES)
def test_a_held_out_text_obeys_its_own_rule_and_another_does_not(kind):
    asked = requests_of(kind, ROWS, 3, seed=0)
    assert len({request.real for request in asked}) == 3
    for request in asked:
        assert request.holds(request.real)
        assert kind == "json" or all(rule.accepts(request.real) for rule in request.guidance.languages())
        assert not request.holds("Nothing of all this.")
        assert request.read(request.real) in request.real
    with pytest.raises(ValueError, match="3 held-out rows allow"):
        requests_of(kind, ROWS, 4, seed=0)


def test_judge_and_plugin_agree_on_what_a_rule_allows():
    draw = random.Random(0)
    words = ["Mill", "serves", "cheap", "food", "riverside", "a", "cheaper", "Aromi.", "near,"]
    for kind in ("prefix", "suffix", "appearance", "between"):
        for request in requests_of(kind, ROWS, 3, seed=1):
            own, rules = request.real.split(), request.guidance.languages()
            agree = 0
            for _ in range(40):
                text = " ".join(draw.choice([word, draw.choice(words)]) for word in own)
                agree += request.holds(text) >= all(rule.accepts(text) for rule in rules)
            assert agree == 40  # what the plugin lets pass, the judge does


def test_borders_of_words_count():
    assert begins_with("The Mill is", "The Mill")
    assert not begins_with("The Mills are", "The Mill")
    assert ends_with("by the river.", "the river.")
    assert not ends_with("breathe river.", "the river.")
    assert has_between("cheap food in pubs", "cheap", "pubs")
    assert not has_between("cheap pubs", "cheap", "pubs")  # nothing between
    assert not has_between("cheap food. Near pubs", "cheap", "pubs")  # another sentence
    assert not has_between("pubs in cheap areas", "cheap", "pubs")


def test_objects_are_judged_by_their_schema():
    request = requests_of("json", ROWS, 1, seed=0)[0]
    found = json.loads(request.real)
    assert is_valid(request.guidance.schema, request.real)
    assert not request.holds(json.dumps(found | {"name": "Nobody"}))
    assert not request.holds(json.dumps(found | {"description": "short"}))
    assert not request.holds(request.real[:-1])


def test_figures_of_pairs_are_ratios_of_sums():
    """A judge to whom a word costs its length; times 3 s and 2 s beside 1 s."""
    request = Request("has 'pub'", Phrases(include=["pub"]), lambda text: "pub" in text, "A pub is near.")
    texts = [("A pub is near.", "It is near a bar."), ("No bar bar is near.", "A pub is near.")]
    pairs = [Pair(request, guided, unguided, 3.0, 2.0, 1.0) for guided, unguided in texts]

    def score(given):
        rows = [[len(word) for word in text.split()] for text in given]
        return np.array([(sum(row), len(row), max(row)) for row in rows], dtype=float)

    seen = SeenText(["A pub is near.", "It is near a bar.", "No bar is near."])
    found = figures_of(Written(pairs, [request]), score, seen, Limits(9.0, 99.0))
    assert found["success"].value == 0.5 == found["success_unguided"]
    assert found["perplexity_ratio"].value == pytest.approx(math.exp(26 / 9 - 24 / 9))
    assert found["perplexity_ratio_to_real"].value == pytest.approx(math.exp(26 / 9 - 22 / 8))
    assert found["faulty"] == {"guided": 0.5, "unguided": 0.0, "real": 0.0}  # "bar bar"
    assert (found["time_ratio"], found["time_ratio_compiled"]) == (3.0, 2.0)
    assert [item["text"] for item in found["failures"]] == ["No bar bar is near."]
    assert found["refused"] == ["has 'pub'"]
    assert len(cells(found)) == 6
    with pytest.raises(ValueError, match="None of 1 requests"):
        figures_of(Written([], [request]), score, seen, Limits(9.0, 99.0))


def test_pairs_share_a_seed_and_what_does_not_fit_is_listed():
    calls = []

    class Pipe:
        def __call__(self, guidance=None, seed=0, steps=1):
            calls.append((guidance, seed))
            if guidance == "too long":
                raise UnsatisfiableConstraint("It does not fit.")
            return type("Result", (), {"texts": [f"{guidance}\n{seed}"]})

    asked = [Request(name, name, lambda text: True, "") for name in ("rule", "too long", "other")]
    written = write_pairs(Pipe(), asked, 5, steps=1)
    assert [(pair.guided, pair.unguided) for pair in written.pairs] == [("rule 5", "None 5"), ("other 7", "None 7")]
    assert written.refused == [asked[1]]
    assert calls[1:4] == [("rule", 5), (None, 5), ("rule", 5)]


def test_concepts_are_found_in_any_form(tmp_path):
    lemmas = {"stood": {"stand"}, "looking": {"look"}, "fields": {"field"}}
    concepts = ["field", "look", "stand"]
    assert missing("She stood looking over fields.", concepts, lambda word: lemmas.get(word, {word})) == []
    assert missing("A fielder stood.", concepts, lambda word: lemmas.get(word, {word})) == ["field", "look"]
    file = tmp_path / "sets.jsonl"
    file.write_text('{"concepts": "look stand", "references": ["Look, I stand."]}\n{"concepts": 3}\n')
    with pytest.raises(ValueError, match="line 2"):
        concept_sets(file)


def test_questions_leave_out_a_value_that_is_said_once():
    asked = questions(ROWS, 5, seed=0)
    assert sorted((question.field, question.answer) for question in asked) == [
        ("area", "city centre"),
        ("area", "riverside"),
        ("type", "coffee shop"),
        ("type", "pub"),
        ("type", "pub"),
    ]
    for question in asked:
        assert dict(zip(question.options, question.filled, strict=True))[question.answer] in {text for _, text in ROWS}
        assert question.open_text.count("[CHOICE:") == 1
    assert not questions(ROWS, 5, seed=0, fits=lambda text: False)


def test_odds_from_likelihoods_and_their_losses():
    question = next(question for question in questions(ROWS, 5, seed=0) if question.field == "area")
    other = next(option for option in FIELDS["area"] if option != question.answer)
    nats = {question.answer: 1000.0, other: 1000.0 + math.log(3)}
    answer = by_likelihood(question, lambda texts: [nats[o] for o in question.options])
    assert answer[question.answer] == pytest.approx(0.75)
    found = judged([question, question], [answer, {question.answer: 0.1, other: 0.9}])["area"]
    assert found["accuracy"] == 0.5
    assert found["log_loss"] == pytest.approx(-(math.log(0.75) + math.log(0.1)) / 2)
    assert found["calibration_error"] == pytest.approx((0.25 + 0.9) / 2)
    assert found["accuracy_of_the_commonest"] == 1.0
    assert calibration_error([0.7, 0.75], [True, False]) == pytest.approx(abs(1.45 - 1) / 2)


def test_keywords_are_different_words():
    sets = keywords(["the river serves cheap food near children", "Cheap places offer coffee"], [3, 4], seed=0)
    assert [len(own) for own in sets] == [3, 4]
    assert len({word for own in sets for word in own}) == 7
    assert all(len(word) > 3 and word.islower() for own in sets for word in own)
    with pytest.raises(ValueError, match="different words are needed"):
        keywords(["river"], [3], seed=0)
    assert says_all("the river, cheap", ["cheap", "river"])
    assert not says_all("riverside cheap", ["cheap", "river"])


def test_schemas_of_another_tool_are_summed_over_those_it_takes():
    taken = {"texts": 2, "ended": 2, "valid": 1, "compile_seconds": 0.5, "seconds_a_text": 1.0}
    found = summed([taken, {**taken, "ended": 1, "compile_seconds": 1.5}, {"refused": "ValueError: no"}])
    assert found.startswith(
        "2 of 3 schemas taken; valid 2 of 4 texts, ended 3; compile time 1.00 s, longest 1.50 s; 1.00 s"
    )
    assert summed([{"refused": "ValueError: no"}]) == "refused: all 1 schemas"
