"""Carrying out an order: frames, the two sides, marks, and what is said of the finished texts."""

import json
from dataclasses import replace

import pytest

from diffusionlm.studio import examining
from diffusionlm.studio.charts import Line, line_chart
from diffusionlm.studio.electricity import Meter
from diffusionlm.studio.examples import examples_for
from diffusionlm.studio.frames import KNOWN, text_of
from diffusionlm.studio.marks import Finding, changed_words, findings, marked
from diffusionlm.studio.understanding import understanding
from diffusionlm.studio.writing import Outcome, carry_out, checkpoints, pipeline
from diffusionlm.studio.writing_view import done, live


def carried_out(order, **settings):
    *steps, outcome = carry_out(order, **settings)
    assert isinstance(outcome, Outcome)
    return len(steps), outcome


def test_every_step_is_yielded_before_the_outcome(order):
    steps = carry_out(order())
    first = next(steps)
    assert [len(side.frames) for side in first] == [1]
    assert len(list(steps)) == 4  # three steps more, and the outcome


def test_the_last_frame_is_the_finished_text(order):
    _, outcome = carried_out(order(guidance=[("phrases", {"include": ["pub"]})]))
    for side in outcome.sides:
        assert [text_of(frame) for frame in side.frames[-1]] == side.result.texts


def test_known_text_has_no_certainty_and_tokens_a_percentage(order):
    _, outcome = carried_out(order("The [SPAN:3] near [SPAN]."))
    frame = outcome.sides[0].frames[0][0]
    assert [text for text, certainty in frame if certainty == KNOWN] == ["The ", " near ", "."]
    assert all(0 <= certainty <= 100 for _, certainty in frame if certainty != KNOWN)


def test_a_whole_text_has_no_space_before_it(order):
    _, outcome = carried_out(order(None))
    assert not text_of(outcome.sides[0].frames[0][0]).startswith(" ")


def test_the_unguided_side_is_the_pipeline_without_guidance(order):
    _, outcome = carried_out(order(guidance=[("phrases", {"include": ["pub"]})]))
    guided, unguided = outcome.sides
    alone = pipeline("restaurant")("The [SPAN:3] near [SPAN].", num_samples=2, steps=4, temperature=0.8, seed=3)
    assert (guided.title, unguided.title) == ("Guided", "Unguided")
    assert unguided.result.texts == alone.texts
    assert all("pub" in text for text in guided.result.texts)


def test_without_comparison_there_is_one_side(order):
    _, outcome = carried_out(order(guidance=[("phrases", {"include": ["pub"]})]), compare=False)
    assert [side.title for side in outcome.sides] == ["Guided"]


def test_certificates_are_shown_for_both_sides(order):
    _, outcome = carried_out(order(guidance=[("phrases", {"include": ["Aardvark"]})]))
    guided, unguided = ([sample["certificates"] for sample in side] for side in outcome.samples)
    assert guided == [{"contains 'Aardvark'": True}] * 2
    assert unguided == [{"contains 'Aardvark'": False}] * 2


def test_a_rule_of_many_parts_is_one_line_and_what_fails_is_named(order):
    known = "Write to ann@example.org or [SPAN:3]."
    _, outcome = carried_out(order(text=known, guidance=[("pii", {})]))
    for sample in (sample for side in outcome.samples for sample in side):
        held = sorted(name for name, good in sample["certificates"].items() if good)
        lines = [check for check in sample["checks"] if check["held"]]
        assert len(held) > 4
        assert [sorted(line["help"].split("\n")) for line in lines] == [held]
        assert f"{len(held)} checks" in lines[0]["name"]
    lines = examining._checks({"a": True, "b": False, "c": True}, [("t", {"a": True, "b": False})])
    assert [(line["name"], line["held"]) for line in lines] == [("a", True), ("b", False), ("c", True)]


def test_candidates_of_particles_are_not_shown_but_the_chosen_text_is(order):
    from diffusionlm.guidance import Guidance, Particles, register
    from diffusionlm.guidance.registry.plugins import unregister

    @register("brief")
    class Brief(Guidance):
        """Prefers short texts."""

        reads = ("text",)
        differentiable = False
        strategy = Particles(count=3)

        def energy(self, state):
            return state.probs.new_tensor([len(text) / 10 for text in state.texts()])

    try:
        _, outcome = carried_out(order(guidance=[("brief", {})]))
    finally:
        unregister("brief")
    side = outcome.sides[0]
    assert [len(frames) for frames in side.frames] == [2] * 5
    assert [text_of(frame) for frame in side.frames[-1]] == side.result.texts


def test_reasons_of_a_plugin_are_marked_on_both_sides(order, whimsy):
    _, outcome = carried_out(order("Take a [SPAN:2].", guidance=[("whimsy", {})]))
    for side in outcome.samples:
        for sample in side:
            assert sample["findings"] == [{"plugin": "whimsy", "reason": "an a", "text": "a"}]
            assert [part["t"] for part in sample["parts"] if "f" in part] == ["a"]
            assert "".join(part["t"] for part in sample["parts"]) == sample["text"]


def test_an_order_that_cannot_be_met_fails_before_the_first_step(order):
    with pytest.raises(ValueError, match="words"):
        next(carry_out(order("One two three [SPAN:1].", guidance=[("length", {"words": 2})])))


def test_what_the_page_gets_is_json_with_the_texts(order):
    steps = list(carry_out(order(guidance=[("length", {"words": [2, 9]})])))
    assert json.loads(live(steps[0], 4))["state"] == "live"
    data = json.loads(done(steps[-1]))
    assert (data["state"], data["count"], len(data["sides"][0]["frames"])) == ("done", 2, 4)


def test_the_explanation_tells_of_rules_time_and_energy_and_escapes_names(order):
    name = "<b>pub</b>"
    _, outcome = carried_out(order("[SPAN] " + name, guidance=[("phrases", {"include": [name], "whole_words": False})]))
    html = understanding(outcome)
    assert "2 of 2 certificates hold" in html
    assert "KL from the unguided model" in html
    assert " J (" in html
    assert name not in html


@pytest.mark.parametrize(
    ("text", "other", "changed"),
    [
        ("The pub is cheap.", "The pub is dear.", ["cheap"]),
        ("The pub is cheap.", "The pub is cheap.", []),
        ("A red pub", "A pub", ["red"]),
        ("", "A pub", []),
    ],
)
def test_changed_words_are_found(text, other, changed):
    assert [text[a:b] for a, b in changed_words(text, other)] == changed


@pytest.mark.parametrize(
    "said",
    [
        [(4, 9, "insult")],
        [{"start": 4, "end": 9, "label": "insult"}],
        [type("Place", (), {"start": 4, "end": 9, "reason": "insult"})()],
    ],
)
def test_reasons_may_come_in_several_forms(said):
    plugin = type("Plugin", (), {"title": "judge", "highlight": lambda self, text: said})()
    assert findings("You idiot!", [plugin]) == [Finding(4, 9, "insult", "judge")]


def test_personal_data_is_marked_with_its_kind():
    from diffusionlm.guidance.pii import PII

    text = "Ann (ann@example.org) paid with 4111 1111 1111 1111, said info@pub.example. The code is Blue Heron."
    plugin = PII(allow=["info@pub.example"], secrets=["blue heron"])
    found = [(text[item.start : item.end], item.reason, item.plugin) for item in findings(text, [plugin])]
    assert found == [
        ("ann@example.org", "email", "pii"),
        ("4111 1111 1111 1111", "card", "pii"),
        ("Blue Heron", "secret", "pii"),
    ]


def test_scores_of_words_are_marked_only_where_they_object():
    words = type("Scored", (), {"words": [(0, 3, 0.1), (4, 9, 0.93)]})()
    plugin = type("Plugin", (), {"title": "judge", "highlight": lambda self, text, tokenizer: words})()
    assert findings("You idiot!", [plugin]) == [Finding(4, 9, "0.93", "judge")]


def test_marks_cut_pieces_without_losing_a_character():
    parts = marked([["The ", -1], ["pub is", 90]], [(4, 7)], [Finding(2, 5, "odd", "judge")])
    assert "".join(part["t"] for part in parts) == "The pub is"
    assert [part["t"] for part in parts if "d" in part] == ["p", "ub"]
    assert [part["t"] for part in parts if "f" in part] == ["e ", "p"]


def test_a_chart_escapes_its_names_and_stands_on_flat_lines():
    svg = line_chart("<t>", [Line("a<b", [(0, 0.0), (1, 0.0)])], level=("goal", 0.0))
    assert "<t>" not in svg
    assert "a<b" not in svg
    assert "nan" not in svg


def test_energy_is_read_from_the_counters_or_estimated(tmp_path):
    assert "estimated" in Meter(tmp_path).read()[1]
    counter = tmp_path / "intel-rapl:0" / "energy_uj"
    counter.parent.mkdir()
    counter.write_text("1000000\n")
    meter = Meter(tmp_path)
    counter.write_text("3500000\n")
    assert meter.read()[0] == 2.5


def test_examples_fill_in_controls_that_there_are_and_can_be_ordered():
    from diffusionlm.studio.catalogue import cards
    from diffusionlm.studio.order import Order

    catalogue = {card.name: card for card in cards()}
    shown = examples_for(catalogue.values(), checkpoints())
    assert {"Fill the gaps", "Exactly twelve words", "Several rules at once"} <= {example.title for example in shown}
    for example in shown:
        values = (checkpoints()[0], example.text, example.prompt, 1, 2, 0.8, 0, "", example.plugins)
        assert Order.read(*values, catalogue, samplers=()).plugins() is not None


def test_an_example_whose_weights_are_not_there_is_left_out():
    from diffusionlm.studio.catalogue import cards

    assert "A card number withheld" not in {example.title for example in examples_for(cards(), ["restaurant"])}


def test_plugins_that_pull_against_each_other_are_reported_and_others_are_said_to_agree(order):
    from diffusionlm.guidance import Guidance, register
    from diffusionlm.guidance.registry.plugins import unregister

    for name, sign in (("more-letters", -1), ("fewer-letters", 1)):

        @register(name)
        class Letters(Guidance):
            """More or fewer of the first pieces of the vocabulary."""

            weight: float = 5.0
            pull = sign

            def energy(self, state):
                return self.pull * state.probs[..., 100:400].sum((-1, -2))

    try:
        _, outcome = carried_out(order(guidance=[("more-letters", {}), ("fewer-letters", {})]))
        html = understanding(outcome)
    finally:
        unregister("more-letters")
        unregister("fewer-letters")
    assert '<ul class="dl-conflicts">' in html
    assert "pull against each other" in html
    _, outcome = carried_out(order(guidance=[("phrases", {"include": ["pub"]}), ("length", {"words": [2, 20]})]))
    assert "No two plugins pulled against each other" in understanding(outcome)


def test_a_text_that_is_written_again_shows_the_attempt_that_was_kept(order):
    guide = ("length", {"words": [1, 40]})
    plain = carried_out(order(guidance=[guide]), compare=False)[1]
    low = [("toxicity", {"judge": "toxicity", "below": 1e-6, "attempts": 3})]  # no text is as civil as that
    wanted = replace(order("The waiter was a [SPAN:4].", guidance=low), checkpoint="guestbook")
    count, outcome = carried_out(wanted)
    guided = outcome.sides[0]
    assert count > wanted.steps
    assert [sample["attempts"] for sample in outcome.samples[0]] == [3, 3]
    assert [text_of(frame) for frame in guided.frames[-1]] == guided.result.texts
    assert [len(side.frames) for side in outcome.sides] == [wanted.steps + 1] * 2
    for j in range(2):
        assert guided.result.trace.replay(j)[:-1] == [
            text_of(frame[j]).strip() for frame in guided.frames[: wanted.steps - 1]
        ]
    assert all(sample["attempts"] == 1 for sample in plain.samples[0])
    assert len(guided.entropy) == wanted.steps
