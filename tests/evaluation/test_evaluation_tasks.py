"""The tasks measure what they say on models and judges that are known."""

import sys

import numpy as np
import pytest

from diffusionlm.evaluation import syntax_judge
from diffusionlm.evaluation.harness import plan
from diffusionlm.evaluation.leaks import by_patterns, finder
from diffusionlm.evaluation.registry import Unavailable, make_task
from diffusionlm.evaluation.tasks.toxicity import groups_table, toxicity_figures
from diffusionlm.evaluation.toxicity_judge import find_judge, load_toxicity_judge


def values(result):
    return {figure.name: figure.value for figure in result.figures}


def vowels(texts):
    """A judge that finds vowels toxic."""
    return [sum(letter in "aeiou" for letter in text) / max(1, len(text)) for text in texts]


# ---- control --------------------------------------------------------------------------------------------------------


def test_values_of_a_prompt_are_counted_and_the_frontier_has_a_point_for_each_strength(context):
    task = make_task("control/prompt", settings={"count": 2, "per_target": 1, "strengths": [0.5, 2.0]})
    task.check(context)
    result = task.run(context)
    assert len(task.found(context)) == 2
    assert all(" [" not in target.name and target.arguments["prompt"] == target.name for target in task.found(context))
    assert [point[2] for point in result.curves[0].series["guided"]] == ["w = 0.5", "w = 2"]
    assert len(result.curves[0].series["unguided"]) == 1
    assert 0 <= values(result)["success"] <= 1
    (target,) = [t for t in task.found(context) if "The Mill" in t.name] or task.found(context)[:1]
    said = target.name.replace("[", " ").replace("]", " ").replace(",", " ")
    assert target.holds(said) == 1.0
    assert target.holds("nothing of it") == 0.0


def test_two_values_and_a_length_hold_together(context):
    task = make_task("control/compose", settings={"count": 1, "per_target": 2, "shortest": 4})
    result = task.run(context)
    assert values(result)["success"] == values(result)["certified"] == 1.0
    assert not result.tables  # no failures to show


def test_values_that_nobody_says_are_not_asked_for(context):
    found = {target.name for target in make_task("control/semantic").targets(context)}
    assert "Italian" in found
    assert "the river" in found
    assert "Zizzi" in found


def test_control_without_data_is_unavailable(context):
    from diffusionlm.evaluation.data import EvaluationData

    context.data = EvaluationData()
    for name in ("control/semantic", "control/compose", "control/prompt", "control/tree", "likelihood", "infilling"):
        with pytest.raises((Unavailable, ModuleNotFoundError)):
            make_task(name).check(context)
    left_out = {item.name: item.left_out for item in plan(None, "small", {}, context)}
    assert left_out["control/length"] == ""
    assert "held-out" in left_out["likelihood"]
    assert "task.toxicity.prompts=FILE" in left_out["toxicity"]


# ---- syntax ---------------------------------------------------------------------------------------------------------

PARSE = syntax_judge.Parse(
    words=("The", "pub", "is", "near", "the", "river"),
    tags=("DET", "NOUN", "AUX", "ADP", "DET", "NOUN"),
    heads=(1, 2, 2, 2, 5, 3),
    relations=("det", "nsubj", "ROOT", "prep", "det", "pobj"),
    edges=((0, 0), (0, 1), (0, 5), (3, 5), (4, 4), (4, 5)),
)


def test_phrases_tags_and_dependencies_are_read_off_the_judges_parse(monkeypatch):
    from diffusionlm.evaluation.tasks.control_syntax import _joined, _phrase

    monkeypatch.setattr(syntax_judge, "parse", lambda text: PARSE)
    assert _phrase(3, 5, "PP", "a text") == _phrase(4, 5, "NP", "a text") == 1.0
    assert _phrase(3, 5, "NP", "a text") == _phrase(3, 4, "PP", "a text") == _phrase(3, 5, "PP", " ") == 0.0
    assert _joined((("det", 1, 0), ("det", 5, 4)), "a text") == 1.0
    assert _joined((("det", 1, 0), ("det", 1, 4)), "a text") == _joined((("det", 9, 8),), "a text") == 0.0
    assert syntax_judge.tags_right(["DET", "NOUN", "VERB"], "a text") == 2 / 6  # words too many count as wrong
    assert syntax_judge.tags_right(list(PARSE.tags), "a text") == 1.0


def test_syntax_without_tables_is_left_out_with_the_plugins_own_reason(context, monkeypatch):
    folder = context.folder.parent / "e2e" / "control_targets"
    folder.mkdir()
    words = '["START", "The", "pub", "\\n", "END"]'
    (folder / "pos.jsonl").write_text('{"pos": ["START", "DET", "NOUN", "PUNCT", "END"], "words_": ' + words + "}\n")
    monkeypatch.setattr(syntax_judge, "find_spacy", lambda: "a model")
    (planned,) = [item for item in plan(None, "small", {}, context) if item.name == "control/pos"]
    assert "tag tables" in planned.left_out
    with pytest.raises(ValueError, match="The task 'control/pos' cannot run"):
        plan(["control/pos"], "small", {}, context)
    (folder / "pos.jsonl").write_text('{"pos": []}\n')
    with pytest.raises(ValueError, match="pos.jsonl, line 1: expected"):
        make_task("control/pos").targets(context)


def test_a_missing_parser_names_what_installs_it(monkeypatch):
    monkeypatch.setattr(syntax_judge.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install spacy"):
        syntax_judge.find_spacy()


# ---- toxicity -------------------------------------------------------------------------------------------------------


def test_expected_maximum_and_probability_are_those_of_realtoxicityprompts():
    scores = np.array([[0.1, 0.9], [0.2, 0.4], [0.6, 0.7]])
    found = {f.name: f.value for f in toxicity_figures("x", scores, ["a", "b", "c"], 0, "judge", "")}
    assert found["x: expected maximum toxicity"] == pytest.approx(2.0 / 3)
    assert found["x: toxicity probability"] == pytest.approx(2 / 3)
    assert found["x: toxic texts"] == pytest.approx(0.5)


def test_the_table_of_groups_counts_texts_that_name_them():
    table = groups_table({"unguided": ["A Muslim man.", "Nobody."]}, {"unguided": np.array([0.4, 0.8])})
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["religion"] == ["1 of 2", "0.40"]
    assert rows["women"] == ["0 of 2", ""]


def test_toxicity_compares_guided_and_unguided_continuations(context):
    from diffusionlm.guidance.classifiers.tiny_reader import tiny_reader

    reader = tiny_reader(context.pipe.tokenizer.vocabulary)
    reader.save_pretrained(context.folder.parent / "reader")
    prompts = context.folder.parent / "prompts.txt"
    prompts.write_text("The Mill\nA pub\n")
    settings = {
        "prompts": str(prompts),
        "k": 2,
        "length": 4,
        "judge": f"{__name__}:vowels",
        "settings_of_plugin": {"judge": str(context.folder.parent / "reader")},
    }
    task = make_task("toxicity", settings=settings)
    assert sys.modules[__name__].vowels is vowels
    task.check(context)
    found = values(task.run(context))
    assert 0 <= found["guided: expected maximum toxicity"] <= 1
    assert found["unguided: toxic texts"] is not None
    assert found["perplexity ÷ unguided"] > 0
    settings |= {"judge": "detoxify:original", "settings_of_plugin": {"judge": "detoxify"}}
    with pytest.raises(ValueError, match="is also the guide of the plugin 'toxicity'"):
        make_task("toxicity", settings=settings).check(context)


def test_judges_of_toxicity_that_are_not_there_say_what_to_give():
    with pytest.raises(ValueError, match="no judge of toxicity 'perspective'"):
        find_judge("perspective")
    with pytest.raises(
        ModuleNotFoundError, match="no module .no_such_module. on Python.s path; PYTHONPATH=. adds this folder"
    ):
        find_judge("no_such_module:f")
    with pytest.raises(ValueError, match="has no function 'nothing'"):
        load_toxicity_judge(f"{__name__}:nothing")
    assert load_toxicity_judge(f"{__name__}:vowels").score(["ab"])[0] == 0.5


# ---- leaks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("Write to ann@example.org now", {"e-mail address"}),
        ("Call 020 7946 0958", {"telephone number"}),
        ("Card 4111 1111 1111 1111", {"card number"}),
        ("GB29 NWBK 6016 1331 9268 19", {"IBAN"}),
        ("It is 219-09-9999.", {"social security number"}),
        ("at 192.168.0.1", {"IP address"}),
        ("Prices are £20-25 and the rating is 5 out of 5.", set()),
    ],
)
def test_leaks_are_found_by_kind(text, kinds):
    assert by_patterns(text, 0) & set(kinds) == kinds
    assert bool(by_patterns(text, 0)) == bool(kinds)
    assert by_patterns(text, len(text)) == set()  # what stood in the prompt is no leak


def test_unknown_judges_of_leaks_are_refused():
    with pytest.raises(ValueError, match="patterns, presidio"):
        finder("eyes")


def test_the_plugin_lets_no_structured_kind_through(context):
    result = make_task("pii", settings={"limit": 2, "k": 2, "length": 6}).run(context)
    assert values(result)["guided: texts that leak"] == 0.0
    assert result.tables[0].head == ["kind", "unguided", "guided"]
