"""Phrases at the edges of words, in other typography, in pieces of characters, and in inflected forms."""

import re

import pytest
import torch

from diffusionlm.guidance import Phrases, automata
from diffusionlm.guidance.automata.look_alikes import GROUPS, INVISIBLE, word_characters
from diffusionlm.guidance.automata.spelling import SpellingVocabulary, spelling
from diffusionlm.text import Vocabulary

BYTES = Vocabulary(
    (b"", *(bytes([byte]) for byte in range(256)), b" don", b" pub", "é".encode()), pad_id=0, special_ids=frozenset({0})
)


def held(text: str, **settings: object) -> bool:
    return all(Phrases(**settings).certify(text, []).values())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "phrase", "found"),
    [
        ("It costs £20.", "£", True),
        ("It costs £20.", "£20", True),
        ("It costs £200.", "£20", False),
        ("It is family-friendly.", "-", True),
        ("It is family-friendly.", "friendly", True),
        ("a cheap pub", " cheap", True),
        ("It is 20% off.", "%", True),
        ("It is 20% off.", "20%", True),
        ("It is 120% off.", "20%", False),
        ("The end.", ".", True),
        ("a (cheap) pub", "(cheap)", True),
        ("cafe\u0301", "cafe", False),
    ],
)
@pytest.mark.parametrize("alike", [False, True])
def test_an_edge_that_is_no_letter_ends_no_word(text: str, phrase: str, found: bool, alike: bool) -> None:
    assert automata.contains_any([phrase], whole_words=True, alike=alike).accepts(text) is found
    assert automata.contains_none([phrase], whole_words=True, alike=alike).accepts(text) is not found


def test_words_do_not_end_at_a_combining_mark_and_do_at_every_apostrophe() -> None:
    inside = {code for first, last in word_characters() for code in (first, last - 1)}
    assert ord("\u0301") in {code for first, last in word_characters() for code in range(first, last)}
    assert not inside & {ord(character) for group in GROUPS for character in group}
    assert not inside & set(map(ord, INVISIBLE))


@pytest.mark.parametrize("group", GROUPS)
def test_characters_that_look_alike_are_one(group: str) -> None:
    for character in group:
        assert not held(f"I don{character}t", exclude=[f"don{group[0]}t"])
        assert not held(f"I don{group[0]}t", exclude=[f"don{character}t"])
        assert held(f"I don{character}t", include=[f"don{group[0]}t"])


def test_what_a_reader_does_not_see_hides_nothing() -> None:
    assert not held("a che\u200bap pub", exclude=["cheap"])
    assert not held("cheap\u200b", exclude=["cheap"])
    assert held("cheap\u200ber", exclude=["cheap"])  # a longer word to the reader
    assert not held("cafe\u0301", exclude=["café"])
    assert not held("café", exclude=["cafe\u0301"])
    for code in ("\u00ad", "\u034f", "\u061c", "\u180e", "\u2066", "\ufe00", "\U000e0061"):
        assert not held(f"a che{code}ap pub", exclude=["cheap"])
        assert not held(f"{code}cheap{code}", exclude=["cheap"])


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("これは日本の鍵です", "日本"),
        ("東京は良い", "東京"),
        ("ไปกรุงเทพครับ", "กรุงเทพ"),
        ("看pub吧", "pub"),
        ("カフェラテ", "カフェ"),
    ],
)
def test_scripts_without_spaces_have_no_longer_words(text: str, phrase: str) -> None:
    assert not held(text, exclude=[phrase])
    assert held(text, include=[phrase])
    assert held("이것은한국입니다", exclude=["한국"])  # a script with spaces


@pytest.mark.parametrize(
    ("text", "phrase", "case_sensitive"),
    [
        ("an oﬃce", "office", True),
        ("an oﬀice", "office", True),
        ("an office", "oﬃce", True),
        ("a ﬂuﬀy ﬁsh", "fluffy fish", True),
        ("well…", "well...", True),
        ("well...", "well…", True),
        ("STRASSE", "straße", False),
        ("Straße", "STRASSE", False),
        ("ΣΊΣΥΦΟΣ", "σίσυφος", False),
        ("AN OﬃCE", "office", False),
    ],
)
def test_ligatures_and_capitals_are_spellings(text: str, phrase: str, case_sensitive: bool) -> None:
    assert not held(text, exclude=[phrase], case_sensitive=case_sensitive)
    assert held("a pub", exclude=[phrase], case_sensitive=case_sensitive)


def test_included_phrases_are_written_as_they_are_given() -> None:
    plugin = Phrases(include=["don’t"])
    plugin.bind(spelling(BYTES, plugin.required_characters()))
    bound = automata.bind(plugin.compiled, ["", ""], [0] * 7)
    log_p = torch.randn(20, 7, len(BYTES), generator=torch.Generator().manual_seed(0)).log_softmax(-1)
    for ids in bound.viterbi(log_p).tolist():
        text = BYTES.decode(ids).removeprefix(" ")
        assert re.search(r"(?<!\w)don’t(?!\w)", text)
        assert all(plugin.certify(text, []).values())


def test_every_rule_of_a_call_reads_characters_in_pieces() -> None:
    vocabulary = spelling(BYTES, "don’t cafés")
    assert isinstance(vocabulary, SpellingVocabulary)
    assert vocabulary.in_pieces == "’"  # é is a token
    assert spelling(BYTES, "plain é") is BYTES
    pieces = [1 + byte for byte in "’".encode()]
    rules = [automata.regex("don.t"), automata.length(1, 1), automata.contains_none(["pub"]), automata.regex(r"\w+\Wt")]
    ids = torch.tensor([[257 if n == 0 else 0 for n in range(6)]])
    ids[0, 1:5] = torch.tensor([*pieces, 1 + ord("t")])
    for rule in rules:
        compiled = automata.compile_language(rule, vocabulary)
        assert automata.bind([compiled], ["", ""], [0] * 6).accepts(ids).all(), rule
        plain = automata.compile_language(rule, BYTES)
        if rule is rules[0]:
            with pytest.raises(automata.UnsatisfiableConstraint):
                automata.bind([automata.compile_language(automata.regex("don’t"), BYTES)], ["", ""], [0] * 6)
        assert plain.num_states <= compiled.num_states


@pytest.mark.parametrize("name", ["include", "exclude", "any_of"])
@pytest.mark.parametrize("given", [None, 20, 2.5, True, [20], [None], b"pub"])
def test_what_is_no_phrase_is_refused_in_a_sentence_that_names_it(name: str, given: object) -> None:
    for kind in (TypeError, ValueError):  # a mistake of type that the command line prints as a sentence
        with pytest.raises(kind, match=rf"^{name} must (be|hold)"):
            Phrases(**{name: given})


@pytest.mark.parametrize(
    "settings",
    [
        {"include": ["£20"], "exclude": ["£"]},
        {"include": ["The Mill", "cheap pub"], "exclude": ["cheap"]},
        {"any_of": ["a cheap pub", "cheap"], "exclude": ["cheap"]},
        {"include": ["don’t"], "exclude": ["don't"]},
        {"include": ["Cheap"], "exclude": ["cheap"], "case_sensitive": False},
    ],
)
def test_phrases_that_contradict_each_other_are_refused_where_they_are_written(settings: dict[str, list[str]]) -> None:
    with pytest.raises(ValueError, match="no text obeys both"):
        Phrases(**settings)


def test_phrases_that_only_seem_to_contradict_are_taken() -> None:
    for settings in ({"include": ["cheaper"], "exclude": ["cheap"]}, {"include": ["cheap"], "exclude": [" cheap"]}):
        Phrases(**settings)


def test_inflected_forms_count_where_they_are_asked_for() -> None:
    pytest.importorskip("lemminflect")
    assert held("It serves food.", include=["serve"], forms=True)
    assert not held("It serves food.", include=["serve"])
    assert not held("It served food.", exclude=["serve"], forms=True)
    assert held("Two coffee shops.", include=["coffee shop"], forms=True)
    assert held("The children eat.", include=["child"], forms=True)
    assert Phrases(include=["pub"], forms=True).languages()[0].name == "contains 'pub' in some form"
