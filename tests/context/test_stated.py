"""Facts of retrieved passages that every text must state: the rule of a text is read off what was found for it."""

from types import SimpleNamespace

import pytest

from diffusionlm.context import Concept, Each, Retrieved
from diffusionlm.guidance import Phrases
from diffusionlm.guidance.automata import UnsatisfiableConstraint
from diffusionlm.guidance.stated import Stated
from diffusionlm.spans import Canvas, Span

PASSAGES = {
    "mill": "name[The Mill], food[Italian], area[river], family friendly[yes]",
    "eagle": "name[The Eagle], food[pub], price[cheap]",
}


class Shelf:
    """A store as `Retrieved` sees it: passages by a word of the query."""

    def __init__(self, passages):
        self.passages = dict(passages)

    def __len__(self):
        return len(self.passages)

    def search(self, queries, k):
        found = [[text for word, text in self.passages.items() if word in query.lower()][:k] for query in queries]
        return [[SimpleNamespace(number=0, text=text, score=1.0, metadata={}) for text in own] for own in found]


def stated(pipe, shelf, state, prompt, text=None, **settings):
    source = Retrieved(shelf, 2, "prompt", "prompt", state=state)
    return pipe(text, prompt=prompt, context=[source], steps=2, seed=0, **settings)


def test_each_text_states_what_its_own_passage_says(tiny_pipe):
    shelf = Shelf(PASSAGES)
    with pytest.warns(UserWarning, match="has a field 'area': such a text need not state it"):
        result = stated(tiny_pipe, shelf, ["food", "area"], ["the mill", "the eagle", "elsewhere"], num_samples=2)
    assert [list(held[0]) for held in result.certificates] == [
        ["contains 'Italian'", "contains 'river'"],
        ["contains 'pub'"],
        [],
    ]
    for texts, words in zip(result.texts, [("italian", "river"), ("pub",), ()], strict=True):
        assert all(word in text.lower() for text in texts for word in words)
    assert all(ok for group in result.certificates for held in group for ok in held.values())
    shelf.passages["mill"] = "name[The Mill], food[Eagle]"  # the hot fix: the next call states the new fact
    fixed = stated(tiny_pipe, shelf, ["food"], "the mill")
    assert "eagle" in fixed.texts[0].lower()
    assert fixed.certificates == [{"contains 'Eagle'": True}]


def test_a_function_reads_plain_passages_and_other_rules_hold_beside(tiny_pipe):
    shelf = Shelf({"mill": "The Mill is cheap."})
    result = stated(
        tiny_pipe, shelf, lambda text: [text.split()[-1].strip(".")], "the mill", guidance=Phrases(exclude=["pub"])
    )
    assert "cheap" in result.texts[0].lower()
    assert result.certificates[0] == {"contains 'cheap'": True, "excludes 'pub'": True}
    assert result.settings["guidance"]["plugins"][-1] == {"name": "stated"}


def test_a_text_in_blocks_states_it_somewhere(tiny_pipe):
    long = tiny_pipe.model.max_length + 20
    result = stated(tiny_pipe, Shelf(PASSAGES), ["food"], "the mill", f"[SPAN:{long}]")
    assert result.certificates == [{"contains 'Italian'": True}]
    assert "italian" in result.texts[0].lower()


def test_each_input_may_have_a_store_of_its_own(tiny_pipe):
    sources = [Retrieved(Shelf(PASSAGES), 1, "prompt", "prompt", state=["food"]), None]
    result = tiny_pipe(None, prompt=["the mill", "the mill"], context=[Each(sources)], steps=2, seed=0)
    assert result.certificates == [[{"contains 'Italian'": True}], [{}]]


def test_the_same_canvas_with_other_facts_is_another_canvas(tiny_pipe):
    shelf = Shelf(PASSAGES)
    alone = [
        stated(tiny_pipe, shelf, ["food"], prompt, "It is [SPAN:8].").texts for prompt in ("the mill", "the eagle")
    ]
    together = stated(tiny_pipe, shelf, ["food"], ["the mill", "the eagle"], ["It is [SPAN:8]."] * 2).texts
    assert together[0] == alone[0]


@pytest.mark.parametrize("state", ["", [], [1], {"food": 1}, 3])
def test_other_things_than_names_are_refused(state):
    with pytest.raises(ValueError, match="names of fields"):
        Retrieved(Shelf(PASSAGES), state=state)


def test_a_fact_is_spelt_as_a_text_spells_it(tiny_pipe):
    shelf = Shelf({"mill": "food[Italian], area[city centre], price[Fast food]"})
    rule = Stated(["Italian"])
    layout = Canvas((Span(8),), states=("Italian", "city centre", "Fast food")).lay_out(tiny_pipe.tokenizer, 8)
    for text, held in {
        "Italian, City centre, fast food": [True, True, True],
        "italian, city Centre, Fast food": [False, False, True],
    }.items():
        assert list(rule.certify_on(layout, text, [], []).values()) == held
    with pytest.raises(UnsatisfiableConstraint, match="Italian"):
        stated(tiny_pipe, shelf, ["food"], "the mill", guidance=Phrases(exclude=["Italian"]))


def test_what_a_text_need_not_state_is_said(tiny_pipe):
    shelf = Shelf(PASSAGES)
    with pytest.warns(UserWarning, match="'the eagle' has a field 'area'"):
        stated(tiny_pipe, shelf, ["area"], ["the mill", "the eagle"])
    with pytest.raises(ValueError, match=r"family friendly\[yes\], which no text spells"):
        stated(tiny_pipe, shelf, ["family friendly"], "the mill")
    with pytest.raises(ValueError, match="nothing to look for in input 1"):
        stated(tiny_pipe, shelf, ["food"], ["the mill", ""])


def test_unknown_fields_and_what_does_not_fit_are_refused_before_work(tiny_pipe):
    shelf = Shelf(PASSAGES)
    with pytest.raises(ValueError, match=r"has the field 'fod'; they have: name, food, area, family friendly"):
        stated(tiny_pipe, shelf, ["fod"], "the mill")
    with pytest.raises(TypeError, match="list of phrases"):
        stated(tiny_pipe, shelf, lambda text: "Italian", "the mill")
    with pytest.raises(UnsatisfiableConstraint, match="Italian"):
        stated(
            tiny_pipe,
            shelf,
            ["food"],
            "the mill",
            "It is [SPAN:1].",
            guidance=Phrases(exclude=["italian"], case_sensitive=False),
        )


def test_a_concept_may_be_named_by_every_text(tiny_pipe):
    tiny_pipe.learn_concept("mill", ["The Mill is cheap.", "It is The Mill."], vectors=2, steps=1)
    result = tiny_pipe(context=[Concept("mill", state=["The Mill"])], num_samples=2, steps=2, seed=0)
    assert all("the mill" in text.lower() for text in result.texts)
    assert result.certificates == [{"contains 'The Mill'": True}] * 2
    assert result.settings["context"] == [{"name": "concept", "concept": "mill", "state": ["The Mill"]}]
    with pytest.raises(ValueError, match="phrases that every text mentions"):
        Concept("mill", state=[""])
