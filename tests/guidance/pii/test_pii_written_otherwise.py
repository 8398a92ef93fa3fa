"""Data that a page or a person writes otherwise: markup between digits, letters of the keys, addresses without an end,
driving licences behind their word."""

import pytest

from diffusionlm.guidance import PII
from diffusionlm.guidance.pii.automaton import pattern_absence
from diffusionlm.guidance.pii.folding import plain
from diffusionlm.guidance.pii.patterns import KINDS
from diffusionlm.guidance.pii.reader import strangers_view
from diffusionlm.guidance.pii.search import find, find_personal_data

CARD = ["5500", "0000", "0000", "0004"]
SEEN_BY_BOTH = [
    *(
        mark.join(CARD)
        for mark in ("<br>", "<br />\n", "</b><b>", "&nbsp;", "&#45;", "&#x2d;", "\\n", "\\u00a0", "%20")
    ),
    "<td>020</td><td>7946</td><td>0958</td>",
    "<b>212</b>-<b>555</b>-<b>0199</b>",
    "+44<br>20<br>7946<br>0958",
    "078<br>05<br>1120",
    "Call 1-800-FLOWERS today",
    "(1-800) CONTACTS",
    "1-888-GO-FEDEX1",
    "ann.lee at Gmail",
    "annlee7-at-yahoo",
    "her driver’s license number is D1234567",
    "driving licence: MORGA657054SM9IJ",
]
SEEN = [
    "**5500** **0000** **0000** **0004**",
    "1-800-flowers",
    "call 1 800 GO FEDEX now",
    "dial 0800 FLOWERS",
    "call 555-PIZZA",
    "annlee at gmail",
    "write to annlee at g mail",
    "driver's licence no. MORGA 657054 SM9IJ",
    "licence no. 12345678",
    "License #: S530-4600-1234",
    "DL# D1234567",
    "Führerschein B072RRE2I55",
]
HARMLESS = [
    "It has <b>2019</b> and <b>2020</b> wines",
    "<td>1990</td><td>2000</td><td>2010</td><td>2020</td>",
    "price is 100<b>000</b>",
    "She works at Gmail",
    "There are people at gmail",
    "She is an engineer at Yahoo",
    "Look at Outlook",
    "The licence number is required in 2019 or 2020.",
    "His driving licence was issued in 2019",
    "a licence to sell 10000 bottles",
    "We opened in 1800 PARIS",
    "a 1-800 meter race",
    "call 555 people",
    "text 100 friends",
    "number 221 Baker Street",
]


@pytest.mark.parametrize("text", SEEN_BY_BOTH + SEEN)
def test_it_is_seen(text):
    assert find_personal_data(text)
    assert not all(PII().certify(text, []).values())


@pytest.mark.parametrize("text", SEEN_BY_BOTH)
def test_the_second_reader_sees_it_by_itself(text):
    assert list(strangers_view(text))


@pytest.mark.parametrize("text", HARMLESS)
def test_it_is_let_through(text):
    assert find_personal_data(text) == []
    assert list(strangers_view(text)) == []


def test_an_automaton_refuses_exactly_what_is_found():
    patterns = [KINDS["phone"].patterns[-4], KINDS["national_id"].patterns[-2]]
    for pattern in patterns:
        rule = pattern_absence("data", pattern)
        for text in map(lambda one: plain(one).text, SEEN_BY_BOTH + SEEN + HARMLESS):
            assert rule.accepts(text) != any(find(pattern, text)), (pattern.core, text)


def test_what_is_forbidden_in_place_of_a_pattern_is_in_all_that_it_finds():
    for kind in ("card", "phone", "national_id"):
        pattern = KINDS[kind].patterns[-1]
        assert pattern.forbids
        rule = pattern_absence(kind, pattern)
        found = [text for text in SEEN_BY_BOTH if any(find(pattern, text))]
        assert found
        assert not any(rule.accepts(text) for text in found)
