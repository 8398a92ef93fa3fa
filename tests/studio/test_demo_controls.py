"""Controls from the parameters of a plugin, whoever wrote it; and what a page never offers."""

import json

import pytest

from diffusionlm.guidance import get
from diffusionlm.guidance.registry.plugins import available
from diffusionlm.studio.catalogue import _card, cards
from diffusionlm.studio.control import Control
from diffusionlm.studio.limits import Refused
from diffusionlm.studio.parameters import argument_help, parameters_of
from diffusionlm.studio.writing_view import message


def card(name):
    entry = available()[name]
    return _card(name, entry.kind, entry.origin)


def test_every_plain_parameter_becomes_a_control_of_its_kind(whimsy):
    kinds = {control.name: control.kind for control in parameters_of(whimsy).controls}
    assert kinds == {
        "words": "lines",
        "least": "integer",
        "share": "number",
        "mood": "choice",
        "loud": "switch",
        "size": "range",
        "lists": "lines",
        "pattern": "text",  # as its default is
        "shape": "text",
        "names": "lines",
    }


def test_files_functions_and_what_has_no_plain_form_are_left_to_python(whimsy):
    hidden = ("source", "path_of_words", "either", "judge", "table", "anything", "foreign")
    assert parameters_of(whimsy).hidden == hidden


def test_a_text_that_may_name_a_file_is_never_read_as_one(whimsy):
    control = next(control for control in parameters_of(whimsy).controls if control.name == "lists")
    assert control.read("/etc/passwd") == ["/etc/passwd"]  # a list of one phrase, which no plugin takes for a path


def test_help_comes_from_the_docstring_over_several_lines(whimsy):
    assert argument_help(whimsy)["share"] == "of the words that must be odd, at least."


def test_a_text_that_is_needed_comes_with_an_example(whimsy):
    control = next(control for control in parameters_of(whimsy).controls if control.name == "shape")
    assert (control.example, control.default) == ("1 < 2", "2 < 3")
    with pytest.raises(Refused, match="Shape is empty; give for example 1 < 2"):
        control.read(" ")


@pytest.mark.parametrize(
    ("name", "what", "example"),
    [
        ("part-of-speech", "tags", "DET ADJ* NOUN (AUX|VERB) .*"),
        ("constituents", "spans", "PP 3-5, NP 0-1"),
        ("dependencies", "arcs", "nsubj(2, 1), det(1, 0)"),
    ],
)
def test_rules_of_syntax_are_asked_for_in_a_text_box(name, what, example):
    controls = {control.name: control for control in card(name).controls}
    assert (controls[what].kind, controls[what].example) == ("text", example)
    assert example in controls[what].help
    assert controls["including"].kind == "lines"
    settings = card(name).settings({what: example, "including": "near the river\nfamily"})
    plugin = get(name)(**settings)
    assert plugin.wish
    assert plugin.including == ["near the river", "family"]


@pytest.mark.parametrize(
    ("name", "settings", "said", "quoted"),
    [
        ("part-of-speech", {"tags": "DET NUON"}, "'NUON' is no part of speech", "DET NUON\n    ^"),
        ("constituents", {"spans": "NP 0-1, PQ 2"}, "'PQ' is no constituent", "NP 0-1, PQ 2\n        ^"),
        ("constituents", {"spans": "(S (NP DET NUN))"}, "'NUN' is no part of speech", "(S (NP DET NUN))\n           ^"),
        ("constituents", {"spans": "(S (NQ DET NOUN))"}, "'NQ' is no constituent", "(S (NQ DET NOUN))\n    ^"),
        ("dependencies", {"arcs": "nsubj 2 1"}, "An arc is relation(head, dependent)", "nsubj 2 1\n^"),
    ],
)
def test_errors_in_rules_of_syntax_are_said_in_a_sentence_and_pointed_at(name, settings, said, quoted):
    with pytest.raises(ValueError, match=r"\(character \d+\)") as caught:
        get(name)(**card(name).settings(settings))
    shown = json.loads(message(str(caught.value)))
    assert said in shown["message"]
    assert shown["quoted"] == quoted


def test_a_foreign_plugin_has_a_card_with_its_own_words(whimsy):
    found = card("whimsy")
    assert (found.title, found.summary) == ("Whimsy", "Prefers odd words.")
    assert found.details.split() == ["Nobody", "knows", "why.", "It", "really", "does."]
    assert [control.name for control in found.steering] == ["mode", "amount", "schedule", "window", "budget"]
    assert not found.trouble


def test_a_rule_has_neither_weight_nor_goal():
    assert card("phrases").steering == ()


@pytest.mark.parametrize(("name", "what"), [("classifier", "model"), ("text-scorer", "function")])
def test_plugins_that_need_a_model_or_a_function_cannot_be_switched_on(name, what):
    assert what in card(name).trouble
    with pytest.raises(Refused, match="cannot be used on this page"):
        card(name).settings({})


def test_no_control_of_any_registered_plugin_names_a_file_a_model_or_code():
    names = {control.name for card in cards() for control in card.controls}
    assert names
    assert not names & {"model", "tokenizer", "function", "checkpoint", "judge", "tables", "lexicon", "path", "reader"}


def test_only_what_differs_from_the_defaults_is_passed_on(whimsy):
    given = {"words": "zany", "least": 5, "mood": "grim", "mode": "weight", "amount": 1.0}
    assert card("whimsy").settings(given) == {"least": 5, "mood": "grim"}


def test_a_goal_takes_the_place_of_the_weight(whimsy):
    assert card("whimsy").settings({"mode": "below", "amount": 0.2}) == {"below": 0.2}


def test_settings_that_the_page_does_not_have_are_refused(whimsy):
    with pytest.raises(Refused, match="no setting 'source'"):
        card("whimsy").settings({"source": "/etc/passwd"})


@pytest.mark.parametrize(
    ("control", "given", "read"),
    [
        (Control("n", "integer", 1), 3.0, 3),
        (Control("n", "number", None, optional=True), None, None),
        (Control("n", "lines", ()), "a\n\n b\r\n", ["a", " b"]),
        (Control("n", "range", None, optional=True), "12", 12),
        (Control("n", "range", None, optional=True), "10-15", [10, 15]),
        (Control("n", "range", None, optional=True), "10 - ", [10, None]),
        (Control("n", "range", None, optional=True), " ", None),
        (Control("n", "pair", (1.0, 0.0)), "0.8, 0.2", (0.8, 0.2)),
        (Control("n", "switch", False), True, True),
    ],
)
def test_controls_read_what_the_page_sends(control, given, read):
    assert control.read(given) == read


@pytest.mark.parametrize("value", [(10, None), [10, 15], 7, None])
def test_a_range_is_read_back_as_it_is_shown(value):
    control = Control("n", "range", None, optional=True)
    read = control.read(control.shown(value))
    assert read == (list(value) if isinstance(value, tuple) else value)


@pytest.mark.parametrize(
    ("control", "given"),
    [
        (Control("n", "integer", 1), 1.5),
        (Control("n", "integer", 1), None),
        (Control("n", "number", 1.0), float("nan")),
        (Control("n", "number", 1.0), 1e300),
        (Control("n", "number", 1.0), "__import__('os')"),
        (Control("n", "choice", "a", ("a", "b")), "c"),
        (Control("n", "choice", "a", ("a", "b")), ["a"]),
        (Control("n", "choice", "a", ("a", "b")), ""),
        (Control("n", "choice", "a", ("a", "b")), None),
        (Control("n", "range", None), "1-2-3"),
        (Control("n", "range", None), "9" * 30),
        (Control("n", "lines", ()), "x\n" * 50),
        (Control("n", "text", ""), "x" * 500),
        (Control("n", "text", ""), {"_function_": "os:system"}),
        (Control("n", "pair", (1.0, 0.0)), "1"),
    ],
)
def test_controls_refuse_anything_else(control, given):
    with pytest.raises(Refused, match="N "):
        control.read(given)


def test_what_cannot_be_made_without_a_setting_that_only_python_has_is_not_offered():
    assert "it needs grammar, which only Python can give" in card("grammar").trouble
    assert "it needs schema, which only Python can give" in card("json-schema").trouble
    assert not card("choice").trouble  # its options are asked for on the page
