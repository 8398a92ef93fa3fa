"""Grammars as strangers write them: other dialects, names that nothing defines, assertions, depth, long repeats."""

import pytest

from diffusionlm.guidance import Grammar
from diffusionlm.guidance.structured.ebnf import UnsupportedGrammar


def accepts(grammar, text, **settings):
    return Grammar(grammar, **settings).languages()[0].accepts(text)


@pytest.mark.parametrize(
    ("grammar", "advice"),
    [
        ("start: 'a'", "double quotes"),
        ("start: “a”", "double quotes"),
        ('start ::= "a"', "name: ..."),
        ('start = "a" ;', "name: ..."),
        ('start: "a"{2,3}', "~ 2..3"),
        ('<start>: "a"', "without < >"),
        ('/* no */ start: "a"', "begin with //"),
        ('start: A & B\nA: "a"\nB: "b"', "intersection"),
        ('start: "a", "b"', "blanks"),
        ('start: aRule\naRule: "a"', "lower case"),
        ('%foo A\nstart: "a"', "%ignore"),
        ('start: "a', "double quote"),
    ],
)
def test_other_dialects_are_told_how_lark_writes_it(grammar, advice):
    with pytest.raises(UnsupportedGrammar, match="line") as refusal:
        Grammar(grammar)
    assert advice in str(refusal.value)


@pytest.mark.parametrize(
    ("grammar", "words"),
    [
        ('start: "a"\nunused: nope', "uses 'nope' in unused"),
        ('start: "a"\n%ignore WS', "uses 'WS' in %ignore"),
        ('start: A\nA: b\nb: "x"', "the rule 'b' in A"),
        ('start: "(" * 3', "not valid"),
        ("start: " + "(" * 2000 + '"a"' + ")" * 2000, "too deeply"),
        ("start: a0\n" + "\n".join(f"a{n}: a{n + 1}" for n in range(800)) + '\na800: "x"', "too deeply"),
    ],
)
def test_what_nothing_defines_or_is_too_deep_is_refused(grammar, words):
    with pytest.raises(UnsupportedGrammar) as refusal:
        Grammar(grammar)
    assert words in str(refusal.value)


@pytest.mark.parametrize("pattern", [r"\ba", r"a\b", r"a\B", "a^b", "a$b", "(^a)", "(a$|b)"])
def test_patterns_that_look_around_themselves_are_refused(pattern):
    """In the middle of a text they would say something that the automaton of a terminal cannot know."""
    with pytest.raises(UnsupportedGrammar, match="looks at the text around"):
        Grammar(f'start: "x" /{pattern}/ "y"')


def test_anchors_at_the_ends_of_a_pattern_are_those_of_the_terminal():
    assert accepts('start: "x" /^[ab]+$/ "y"', "xaby")


def test_json_within_texts_patterns_and_comments_is_left_alone():
    assert accepts('start: "%json {" "x" // %json {', "%json {x")
    assert accepts("start: /%json {2}x/", "%json  x")
    assert accepts('start: %json {"const": "%json {"} "!"', '"%json {"!')


def test_byte_order_marks_and_ignored_blanks():
    assert accepts('\ufeffstart: "a" "b"\n%ignore " "', " a  b ")
    assert not accepts('start: "ab"\n%ignore " "', "a b")


def test_long_repeats_and_many_alternatives():
    assert accepts('start: "ab"~500', "ab" * 500)
    assert not accepts('start: "ab"~500', "ab" * 499)
    assert accepts("start: " + " | ".join(f'"w{n}"' for n in range(1000)), "w77")


def test_start_that_is_no_name():
    with pytest.raises(ValueError, match="name of a rule"):
        Grammar('start: "a"', start=["start"])
