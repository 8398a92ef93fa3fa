"""Strings, numbers and formats against their definitions."""

import json
import random
import re
from decimal import Decimal

import pytest
from jsonschema import FormatChecker

from diffusionlm.guidance import automata
from diffusionlm.guidance.structured import json_numbers, json_strings
from diffusionlm.guidance.structured.json_formats import FORMATS
from diffusionlm.guidance.structured.net import Net, nothing, one_of_languages, one_of_texts


def test_strings_are_written_as_json_dumps_writes_them():
    draw = random.Random(0)
    strings = ["".join(draw.choices('a"\\\n\t é£😀/u', k=draw.randint(0, 6))) for _ in range(500)]
    assert json_strings.any_string().accepts_each([json.dumps(s, ensure_ascii=False) for s in strings]).all()


def test_what_json_dumps_would_not_write_is_no_string():
    draw = random.Random(1)
    for _ in range(500):
        raw = '"' + "".join(draw.choices('a"\\nu0', k=draw.randint(0, 6))) + draw.choice(['"', ""])
        try:
            same = json.dumps(json.loads(raw), ensure_ascii=False) == raw
        except ValueError:
            same = False
        assert json_strings.any_string().accepts(raw) == same, raw


def test_a_pattern_a_length_and_an_exclusion_are_a_product():
    said = json_strings.content(2, 4, [json_strings.matching("^[a-z]+$")], ["abc"])
    written = json_strings.written(said)
    texts = {"ab": True, "abc": False, "abcd": True, "abcde": False, "a": False, "aB": False, "ab\n": False}
    assert {text: written.accepts(json.dumps(text)) for text in texts} == texts


def test_a_dollar_is_the_end_also_before_a_line_break():
    assert not json_strings.matching("b$").accepts("ab\n")
    assert json_strings.matching(r"\$[$]").accepts("$$")


def test_digits_of_a_pattern_are_ascii_and_its_negation_excludes_all_digits():
    assert not json_strings.matching(r"^\d$").accepts("٣")
    assert not json_strings.matching(r"^[^\d]$").accepts("٣")


CANDIDATES = [None, *map(Decimal, ["0", "-5", "12", "12.5", "0.25", "-0.5", "100", "-99.05"])]
TEXTS = [
    sign + whole + part
    for sign in ("", "-")
    for whole in ("", "0", "00", "1", "5", "9", "10", "12", "99", "100", "101", "1000")
    for part in ("", ".", ".0", ".5", ".50", ".25", ".333", ".05", ".1234")
]


@pytest.mark.parametrize("seed", range(4))
def test_numbers_keep_bounds_and_multiples(seed):
    draw = random.Random(seed)
    for _ in range(15):
        low, high = draw.choice(CANDIDATES), draw.choice(CANDIDATES)
        above, below = draw.choice([*CANDIDATES, None, None]), draw.choice([*CANDIDATES, None, None])
        multiples = [Decimal(m) for m in draw.choice([(), (), ("0.25",), ("5",), ("0.5", "3")])]
        decimals = draw.choice([0, 1, 3])
        language = json_numbers.number(low, high, above, below, multiples, decimals)
        form = re.compile(r"-?(0|[1-9]\d*)" + (rf"(\.\d{{1,{decimals}}})?" if decimals else ""))
        for text, accepted in zip(TEXTS, language.accepts_each(TEXTS), strict=True):
            expected = bool(form.fullmatch(text))
            if expected:
                value = Decimal(text)
                expected = not (value == 0 and text.startswith("-")) and all(value % m == 0 for m in multiples)
                expected &= (low is None or value >= low) and (high is None or value <= high)
                expected &= (above is None or value > above) and (below is None or value < below)
            assert accepted == expected, (text, low, high, above, below, multiples, decimals)


def test_multiples_that_need_too_many_remainders_are_refused():
    with pytest.raises(ValueError, match="need 9,973 remainders"):
        json_numbers.number(multiples=[Decimal(9973)])


GOOD = {
    "date": ["2024-02-29", "1999-12-31"],
    "time": ["23:59:59Z", "00:00:00.5+01:30"],
    "date-time": ["2024-02-29T23:59:59Z"],
    "email": ["a.b+c@example.com"],
    "ipv4": ["192.168.0.1", "255.255.255.255"],
    "ipv6": ["::1", "fe80::1", "1:2:3:4:5:6:7:8"],
    "uuid": ["30c85575-7fe9-0a24-95a7-7b4735a48762"],
    "uri": ["https://example.com/a?b=c#d"],
    "hostname": ["example.com"],
    "duration": ["P1DT2H", "P3W", "PT5M"],
    "json-pointer": ["/a/b~1c", ""],
}
BAD = {
    "date": ["2023-02-29", "2024-13-01", "2024-04-31", "1900-02-29", "٢024-01-01"],
    "time": ["24:00:00Z", "12:00"],
    "ipv4": ["256.1.1.1", "1.2.3"],
    "uuid": ["30c85575"],
    "email": ["a@b", "a b@c.de"],
    "duration": ["P", "PT", "1D"],
}


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_formats_accept_the_usual_and_refuse_the_wrong(name):
    language = automata.regex(FORMATS[name], flags=re.ASCII)
    assert all(language.accepts(text) for text in GOOD.get(name, []))
    assert not any(language.accepts(text) for text in BAD.get(name, []))


@pytest.mark.parametrize("name", ["date", "ipv4", "ipv6", "uuid", "email"])
def test_texts_of_a_format_pass_the_checker_of_jsonschema(name):
    checker = FormatChecker()
    language = automata.regex(FORMATS[name], flags=re.ASCII)
    assert checker.conforms(language.shortest(), name)
    assert all(checker.conforms(text, name) for text in GOOD[name])


def test_a_net_is_the_concatenation_and_union_of_its_parts():
    net = Net()
    here = net.one_of(net.start, ["a", "ab", ""])
    here = net.language(here, automata.regex("b*c?"))
    net.text(here, "!", net.end)
    texts = ["!", "a!", "ab!", "abbc!", "c!", "bb!", "ac", "aa!", "abcb!"]
    expected = [bool(re.fullmatch("(a|ab|)b*c?!", text)) for text in texts]
    assert net.determinised("n").accepts_each(texts).tolist() == expected
    assert nothing("n").is_empty()
    both = one_of_languages([one_of_texts(["x"], "x"), automata.regex("y+")], "u")
    assert both.accepts_each(["x", "yy", "xy", ""]).tolist() == [True, True, False, False]
