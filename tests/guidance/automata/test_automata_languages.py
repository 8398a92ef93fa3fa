"""Languages against Python's `re`, against greenery's algebra, and against what the words say."""

import itertools
import random
import re

import greenery
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffusionlm.guidance import automata
from diffusionlm.guidance.automata import algebra

PATTERNS = [
    r"a|ab",
    r"(a*b)+",
    r"^a.*b$",
    r"\ba\b",
    r"\Ba",
    r"a$",
    r"(?m)^a$",
    r"(?m)$\n^a",
    r"\Aa|a\Z",
    r"(?i)k.",
    r"(?i:A)b",
    r"(?s)a.b",
    r"[^a]{2,3}",
    r"[a-c\d_]+",
    r"(?:ab??){2,}",
    r"(a|b)*a(a|b){3}",
    r"",
    r"\b",
    r"\B",
    r"^$",
    r"(\b|x)*a",
    r"(^|\s)a($|\s)",
    r"(a$)\n",
    r"\d{3}-\d{4}",
    r"\w+@\w+",
    r"(?a)\w\W",
    r"(?x) a  b  # a comment",
    r"(?P<name>a)+?\.",
    r"[\w-]+\s[^\s.]",
    r"é|[à-ü]b",
    r"(?i)straße|ſ",
]
LETTERS = "aabbAB k\n.1-_@éßSſK\u212a\u00b2\u3000x"


def random_texts(count: int, seed: int, letters: str = LETTERS, longest: int = 7) -> list[str]:
    rng = random.Random(seed)
    return ["".join(rng.choices(letters, k=rng.randint(0, longest))) for _ in range(count)]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_regex_equals_re(pattern: str) -> None:
    """The million-string version is benchmarks/automata_against_re.py."""
    texts = [
        *random_texts(2000, seed=len(pattern)),
        "123-4567",
        "x123-45678",
        "ab",
        "a\n",
        "\na",
        "strasse",
        "STRASSE",
        "ſ",
    ]
    compiled = re.compile(pattern)
    found = np.array([compiled.search(text) is not None for text in texts])
    whole = np.array([compiled.fullmatch(text) is not None for text in texts])
    assert np.array_equal(automata.regex(pattern, "matches").accepts_each(texts), whole)
    assert np.array_equal(automata.regex(pattern, "contains").accepts_each(texts), found)
    assert np.array_equal(automata.regex(pattern, "excludes").accepts_each(texts), ~found)


def test_flags_are_those_of_re() -> None:
    texts = random_texts(2000, seed=5)
    for flags in (re.I, re.M, re.S, re.A, re.I | re.A, re.M | re.S):
        compiled = re.compile(r"^\w[^b]k.$|s\b", flags)
        expected = [compiled.search(text) is not None for text in texts]
        assert automata.regex(compiled.pattern, "contains", flags).accepts_each(texts).tolist() == expected


def test_characters_mean_what_they_mean_to_re_over_all_of_unicode() -> None:
    every = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    for pattern in (r"\w", r"\d", r"\s", r"[^\W\d_]", r"(?i)[k-s]", r"(?i)ſ"):
        compiled = re.compile(pattern)
        expected = np.array([compiled.fullmatch(character) is not None for character in every])
        assert np.array_equal(automata.regex(pattern).accepts_each(every), expected), pattern


@pytest.mark.parametrize(
    ("pattern", "reason", "position"),
    [
        (r"ab(?=c)", "look-ahead", 2),
        (r"[(?=]x(?<!c)", "look-ahead", 6),
        (r"\(?(a)\1", "back reference", 6),
        (r"(?P<x>a)(?P=x)", "back reference", 8),
        (r"(a)?(?(1)b|c)", "conditional", 4),
        (r"x(?>a)", "atomic", 1),
        (r"\+a*+", "possessive", 4),
    ],
)
def test_unsupported_syntax_is_refused_with_its_position(pattern: str, reason: str, position: int) -> None:
    with pytest.raises(automata.UnsupportedPattern, match=reason) as error:
        automata.regex(pattern)
    assert f"at position {position}:" in str(error.value)
    assert repr(pattern) in str(error.value)


@pytest.mark.parametrize("pattern", ["a[b", "a)", "*a", "a{2,1}", r"\8", "(?P<1>a)"])
def test_invalid_syntax_is_refused(pattern: str) -> None:
    with pytest.raises(automata.UnsupportedPattern, match="is not valid"):
        automata.regex(pattern)


@pytest.mark.parametrize(
    "pattern", [r"(a|b)*a(a|b){20}", r"(.*a.{15}b)|(.*c.{15}d)", r"((a{50}){50}){50}", r"y(\w{1,300}x){1,300}y"]
)
def test_exponential_patterns_fail_fast_and_say_what_to_do(pattern: str) -> None:
    with pytest.raises(
        automata.AutomatonTooLarge, match="regular expression"
    ) as error:  # or the time of a test is over
        automata.regex(pattern, "contains", max_seconds=3)
    assert repr(pattern) in str(error.value)


def test_repeats_at_the_edges_of_what_is_searched_cost_nothing() -> None:
    for pattern in ("(a|b|c){0,5000}", "(ab|c){0,5000}x", "x[a-c]{2,5000}"):
        language = automata.regex(pattern, "contains", max_seconds=5)
        assert language.num_states < 10
        for text in ("", "x", "abx", "xa", "xab", "cc"):
            assert language.accepts(text) == bool(re.search(pattern, text)), (pattern, text)


def test_a_construction_that_will_take_too_long_is_given_up_early() -> None:
    with pytest.raises(automata.AutomatonTooLarge, match="would take some"):
        automata.regex("[ab]{19000}y", "contains", max_states=20_000, max_seconds=3)


def test_unknown_mode() -> None:
    with pytest.raises(ValueError, match='use "matches", "contains" or "excludes"'):
        automata.regex("a", "match")  # type: ignore[arg-type]


def whole_word(phrase: str) -> str:
    """No longer word goes on where the phrase begins or ends with a word character; other edges end no word."""
    before = r"(?<!\w)" if re.match(r"\w", phrase) else ""
    behind = r"(?!\w)" if re.search(r"\w\Z", phrase) else ""
    return before + re.escape(phrase) + behind


@pytest.mark.parametrize("ignore_case", [False, True])
@pytest.mark.parametrize("whole_words", [False, True])
def test_phrases_equal_re(ignore_case: bool, whole_words: bool) -> None:
    rng = random.Random(7)
    texts = random_texts(400, seed=8, letters="ab AB.k\u212aé£-'", longest=9)
    for _ in range(40):
        phrases = ["".join(rng.choices("ab Aké£-'", k=rng.randint(1, 4))) for _ in range(rng.randint(1, 4))]
        options = {"ignore_case": ignore_case, "whole_words": whole_words}
        patterns = [whole_word(p) if whole_words else re.escape(p) for p in phrases]
        found = np.array([[re.search(p, t, re.I * ignore_case) is not None for t in texts] for p in patterns])
        assert np.array_equal(automata.contains_any(phrases, **options).accepts_each(texts), found.any(0)), phrases
        assert np.array_equal(automata.contains_none(phrases, **options).accepts_each(texts), ~found.any(0)), phrases
        assert np.array_equal(automata.contains_all(phrases, **options).accepts_each(texts), found.all(0)), phrases


def test_whole_words_do_not_fire_inside_words() -> None:
    cat = automata.contains_any(["cat"], whole_words=True)
    assert [cat.accepts(text) for text in ("cat", "a cat.", "a category", "bobcat", "cat_")] == [
        True,
        True,
        False,
        False,
        False,
    ]


def test_ten_thousand_phrases_are_built_directly() -> None:
    rng = random.Random(0)
    phrases = ["".join(rng.choices("abcdefghij", k=rng.randint(4, 9))) for _ in range(10_000)]
    language = automata.contains_none(phrases)  # in seconds; built by unions it would outlast the time of a test
    assert not language.accepts("xx" + phrases[1234] + "y")
    kept = set(phrases)
    texts = ["".join(rng.choices("abcdefghij", k=14)) for _ in range(300)]
    expected = [not any(t[i:j] in kept for i in range(14) for j in range(i + 4, min(i + 9, 14) + 1)) for t in texts]
    assert language.accepts_each(texts).tolist() == expected


@pytest.mark.parametrize(
    ("phrases", "message"), [([], "is empty"), (["a", ""], "at least one character"), ("ab", "single text")]
)
def test_bad_phrases(phrases: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        automata.contains_any(phrases)


def test_length_in_words_and_characters() -> None:
    texts = random_texts(1000, seed=9, letters="ab \n\u3000.", longest=12)
    for least, most in [(0, 0), (1, 1), (2, 3), (3, None), (0, 2)]:
        top = 100 if most is None else most
        words = [least <= len(text.split()) <= top for text in texts]
        characters = [least <= len(text) <= top for text in texts]
        assert automata.length(least, most).accepts_each(texts).tolist() == words
        assert automata.length(least, most, "characters").accepts_each(texts).tolist() == characters
    for bad in [(-1, 2), (3, 2), (1.5, 2), (True, 2)]:
        with pytest.raises(ValueError, match="length"):
            automata.length(*bad)  # type: ignore[arg-type]


def test_template() -> None:
    language = automata.template(
        "{name} is a {{{kind}}} pub.", {"kind": ["cheap", "family-friendly"], "name": r"[A-Z]\w+"}
    )
    assert language.accepts("Mill is a {cheap} pub.")
    assert not language.accepts("Mill is a {cheapest} pub.")
    assert not language.accepts("mill is a {cheap} pub.")
    assert automata.template("{a}+{b}").accepts("x+y+z")
    assert not automata.template("{a}+{b}").accepts("x+")
    with pytest.raises(ValueError, match="has no slot 'x'"):
        automata.template("{a}", {"x": "y"})
    for broken in ("a { b", "a } b", "{}"):
        with pytest.raises(ValueError, match="brace without a slot name"):
            automata.template(broken)


expressions = st.recursive(
    st.sampled_from(["a", "b", "[ab]", "[^a]"]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map("|".join).map("({})".format),
        inner.map("({})*".format),
        inner.map("({}){{1,2}}".format),
    ),
    max_leaves=6,
)
TEXTS = ["".join(letters) for n in range(6) for letters in itertools.product("abc", repeat=n)]


@settings(max_examples=60, deadline=None)
@given(expressions, expressions)
def test_algebra(left: str, right: str) -> None:
    x, y = automata.regex(left), automata.regex(right)
    in_x, in_y = x.accepts_each(TEXTS), y.accepts_each(TEXTS)
    assert ~~x == x
    assert ~(x & y) == ~x | ~y
    assert ~(x | y) == ~x & ~y
    assert x - y == x & ~y
    assert ((x & ~x).is_empty(), (x | ~x) == automata.regex("(?s).*")) == (True, True)
    assert np.array_equal((~x).accepts_each(TEXTS), ~in_x)
    assert np.array_equal((x & y).accepts_each(TEXTS), in_x & in_y)
    assert np.array_equal((x | y).accepts_each(TEXTS), in_x | in_y)
    assert x + y == automata.regex(f"({left})({right})")
    assert (x == y) == (x.key == y.key)
    assert x.accepts(x.shortest() or "")


@settings(max_examples=25, deadline=None)
@given(expressions, expressions)
def test_algebra_agrees_with_greenery(left: str, right: str) -> None:
    """greenery is an independent implementation: minimal automata have equally many states, and accept the same."""
    theirs = greenery.parse(left).to_fsm() - greenery.parse(right).to_fsm()
    ours = automata.regex(left) - automata.regex(right)
    assert theirs.empty() == ours.is_empty()
    assert len(theirs.states) == ours.num_states
    assert [theirs.accepts(text) for text in TEXTS[:100]] == ours.accepts_each(TEXTS[:100]).tolist()


def test_combinations_are_searched_for_where_a_table_would_be_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [automata.regex(r"(a|b)*a.{3}"), automata.length(1, 4), automata.contains_none(["bb", "ab a"])]
    looked_up = automata.intersection(parts)
    monkeypatch.setattr(algebra, "MAX_TABLE", 1)
    assert automata.intersection(parts) == looked_up
    texts = random_texts(1000, seed=11, letters="ab ")
    expected = np.all([part.accepts_each(texts) for part in parts], axis=0)
    assert 0 < expected.sum() < len(texts)
    assert np.array_equal(looked_up.accepts_each(texts), expected)


def test_equal_languages_have_equal_keys_however_written() -> None:
    assert automata.regex("(ab|ac)+").key == automata.regex("a[bc](a[c-b-b]|ab|ac)*".replace("[c-b-b]", "[b-c]")).key
    assert automata.regex("a").key != automata.regex("b").key
    assert automata.contains_any(["ab"]) == automata.regex("ab", "contains")
    assert automata.contains_any(["Ab"], ignore_case=True) == automata.regex("(?i)aB", "contains")
    assert automata.length(0, 5, "characters") == automata.regex("(?s).{0,5}")


def test_shortest() -> None:
    assert automata.regex(r"\d{2}x+").shortest() in {"00x", "99x"} | {f"{i:02}x" for i in range(100)}
    assert (automata.regex("a") & automata.regex("b")).shortest() is None


def test_names_of_rules_show_patterns_as_they_were_written():
    assert automata.regex(r"\d{3}", mode="excludes").name == r"contains nowhere '\d{3}'"
    assert automata.contains_any([r"a\b", "it's"]).name == r"contains 'a\b' or " + '"it\'s"'
    assert "\n" not in automata.contains_any(["a\nb"]).name
