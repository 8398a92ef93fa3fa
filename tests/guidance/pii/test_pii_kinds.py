"""What counts as personal data: every kind with true examples and near misses; automaton and `re` agree."""

import random
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffusionlm.guidance.automata import regex
from diffusionlm.guidance.automata.occurrences import Occurrence, absence
from diffusionlm.guidance.pii.allowances import Allowances, allowing
from diffusionlm.guidance.pii.automaton import guard_absence, pattern_absence
from diffusionlm.guidance.pii.folding import plain
from diffusionlm.guidance.pii.harmless import BETWEEN
from diffusionlm.guidance.pii.luhn import card_numbers, luhn_valid
from diffusionlm.guidance.pii.patterns import ANY_CARD, KINDS
from diffusionlm.guidance.pii.search import breaks, find, find_kind, find_personal_data, touches

TRUE = {
    "email": [
        "ann @ example . org",
        "ann%40example.org",
        "ann_at_example_dot_org",
        "a n n @ e x a m p l e . o r g",
        "ann@example.org",
        "a.b+c@mail.example.co.uk",
        "Ann_Lee@x-y.io",
        "ann@münchen.de",
        "ann!@example.org",
        "ann@@example.com",
        "ann@localhost",
    ],
    "phone": [
        "zero two zero, seven nine four six, zero nine five eight",
        "oh two oh double seven four six oh nine five eight",
        "O2O 7946 O958",
        "+44 20 7946 0958",
        "020 7946 0958",
        "(555) 123-4567",
        "555-123-4567",
        "555.123.4567",
        "06 12 34 56 78",
        "DER2518V4525454234",  # a letter within is no "version"
        "+49 (0)151 23456789",
        "01223/460958",
        "555-1234",
        "07700900123",
        "+1-202-555-0173",
        "1 800 555 0199",
        "477-96--679",
        "071-90- 200.6",
        "(12)3.-45 (67)",
        "4111 1111 1111 1112",  # like a card, but its sum is wrong
        "12345678901234567",
    ],
    "card": [
        "four one one one one one one one one one one one one one one one",
        "4l11 1111 1111 1111",
        "4OOO 12OO 56OO 9O1O",
        "4111111111111111",
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "3782 822463 10005",
        "378282246310005",
        "30569309025904",
        "4222222222222",
        "6304000000000000000",
        "12 4111 1111 1111 1111",
    ],
    "iban": [
        "GB 29 NWBK 60161331926819",
        "IBANGB29NWBK60161331926819",
        "D E 8 9 3 7 0 4 0 0 4 4 0 5 3 2 0 1 3 0 0 0",
        "GB29 NWBK 6016 1331 9268 19",
        "DE89370400440532013000",
        "FR14 2004 1010 0505 0001 3M02 606",
        "nl91abna0417164300",
    ],
    "national_id": [
        "123456789",
        "2345 6789 0123",
        "ab-12-34-56-c",
        "12.345.678-Z",
        "passport no. C01X00T47",
        "19850101-1234",
        "one two three four five six seven eight two",
        "078-05-1120",
        "078 05 1120",
        "078051120",
        "943 476 5919",
        "QQ123456C",
        "QQ 12 34 56 C",
        "12345678Z",
        "X1234567L",
        "RSSMRA85T10A562S",
        "ABCDE1234F",
        "1 85 05 78 006 084",
        "850504-1234",
        "11010519491231002X",
        "S1234567D",
        "44051401359",
    ],
    "ip": [
        "192 . 168 . 1 . 254",
        "192 dot 168 dot 1 dot 254",
        "192.168.0.1",
        "8.8.8.8",
        "256.1.1.1",
        "x.429.3.04.2.g",
        "2001:0db8:85a3:0000:0000:8a2e:0370:7334",
        "2001:db8::1",
        "fe80::1ff:fe23:4567:890a",
    ],
    "mac": ["aa:bb:cc:dd:ee:ff", "001A2B3C4D5E", "00:1A:2B:3C:4D:5E", "00-1a-2b-3c-4d-5e", "001a.2b3c.4d5e"],
    "url": [
        "https://x.org/?access_token=abc",
        "https://x.org/#api-key=abc",
        "https://x.org/;jsessionid=1A2B",
        "https://x.org/?client_secret=a",
        "https://ann:secret@example.org/",
        "ftp://u:p@host",
        "https://x.org/?token=abc123",
        "http://x.org/a?b=1&password=hunter2",
    ],
    "birth_date": [
        "12 марта 1985",
        "12 MARCA 1985",
        "12 Μαρτίου 1985",
        "12 III 1985",
        "1985年3月12日",
        "12Mar85",
        "March twelve, nineteen eighty-five",
        "born the 12th of March",
        "birthday is 12 Mar 85",
        "12 March twenty ten",
        "04/07/1976",
        "4.7.1976",
        "1976-07-04",
        "4 July 1976",
        "July 4, 1976",
        "Jul 4th 1976",
        "4th of July 1976",
        "4. März 1976",
        "31-12-99",
        "12 août 1980",
        "3 de mayo 1990",
    ],
    "postal_code": [
        "zip code 90210",
        "California 90210",
        "NSW 2000",
        "110001 New Delhi",
        "SW1A 1AA",
        "m1 1ae",
        "K1A 0B1",
        "CA 90210",
        "NY, 10001-1234",
        "90210-1234",
        "1012 AB",
        "10115 Berlin",
    ],
}
TRUE |= {
    "web": [
        "www.annlee.com",
        "https://example.org/ann",
        "http://www.x.net",
        "example.net/ann-lee",
        "annlee.co.uk",
        ".../...com",
    ],
    "license_plate": ["HF68 VLR", "LV28ZSM", "lv28 zsm", "LV-28-ZSM", "A123 BCD", "ABC 123D"],
}
NEAR = {
    "email": ["look at that.", "one_at_a_time", "AT&T", "meet @ 7", "ann at example.org", "5@ 3.50", "@thepub"],
    "phone": [
        "one or two of three",
        "1:23:45.678",
        "10 20 30 40 50 60",
        "1 2 3 4 5 6 7 8 9 10",
        "50 000 - 60 000",
        "pages 1001-1010",
        "O2 and H2O",
        "100l-200l",
        "555-123",
        "call 999",
        "1,000,000",
        "2010-2012",
        "12.10.2024",
        "2024-10-12",
        "12/10/2024",
        "open 12-14 and 18-22",
        "a rating of 4.5 out of 5",
    ],
    "card": ["4111111111111112", "4111 1111 1111 1112", "411111111111", "41111111111111111111111", "3782 822463 10006"],
    "iban": ["GB29 is nice", "AB12 CDEF", "the BEST20 BURGERS IN TOWN", "IT20 good"],
    "national_id": [
        "order 123456789",
        "8 000 000 000 people",
        "passport holders",
        "one two three four",
        "078-05-112",
        "12345678",
        "ABCD1234",
        "QQ12345C",
        "850504-12",
        "07:05:1120",
    ],
    "ip": [
        "Chapter 3.2.1.1",
        "a::b",
        "one dot two dot three",
        "1.2.3",
        "version 1.2.3.x",
        "12:30:45",
        "at 10:30",
        "1.2.3.4567",
    ],
    "mac": ["AA BB CC DD EE FF", "989ad57", "00:1A:2B:3C:4D", "12:30:45", "00-11-22"],
    "url": [
        "https://x.org/?id=5",
        "https://x.org/?side=left",
        "a monkey=b",
        "https://example.org/ann",
        "http://localhost:8080/x",
        "see ann:secret",
        "https://x.org/?page=2",
    ],
    "birth_date": [
        "may twelve people come",
        "two thousand and one nights",
        "May 2019",
        "12 May come",
        "I have been there",
        "04/07/2026",
        "July 1976",
        "in 1976",
        "4 July",
        "4 July 2025",
        "99/99/1999",
        "since 1998 and 2004",
    ],
    "postal_code": ["101325 Pa", "California 90", "room 12A", "ABC 12345", "12345 people", "table 12 AB", "SW1A"],
}

NEAR |= {
    "web": ["ann@example.org", "www.", "a net of it"],
    "license_plate": ["ROOM12 ABC", "HF6 VLR", "AB12 CDEF", "in 20 the", "M25 AND"],
}


@pytest.mark.parametrize("name", KINDS)
def test_true_examples_are_found_and_near_misses_are_not(name):
    rule = whole(name)
    for core in TRUE[name]:
        for text in (core, f"It is {core}.", f"({core})", f"x: {core}, and more", f"{core}\n"):
            assert find_kind(KINDS[name], text), text
            assert not rule.accepts(text), text
    for text in NEAR[name]:
        assert not find_kind(KINDS[name], text), text
        assert rule.accepts(text), text


class Rules:
    """Several rules over plain texts, as one over texts."""

    def __init__(self, rules):
        self.rules = rules

    def accepts(self, text, written=None):
        form = plain(text)
        return all(rule.accepts(form.text, form.ranges(written)) for rule in self.rules)


def without_wider(kind):
    """A kind without the patterns for which automata forbid something wider, so that both read the same."""
    return replace(kind, patterns=tuple(pattern for pattern in kind.patterns if not pattern.forbids))


def own(name):
    return without_wider(KINDS[name])


def whole(kind, allowed=()):
    kind = own(kind) if isinstance(kind, str) else without_wider(kind)
    rules = [pattern_absence(kind.title, pattern) for pattern in kind.patterns]
    return Rules([allowing(rule, tuple(t for t in allowed if not rule.accepts(plain(t).text))) for rule in rules])


def test_each_kind_has_examples():
    assert set(TRUE) == set(NEAR) == set(KINDS)


@pytest.mark.parametrize("name", KINDS)
def test_guards_let_nothing_of_their_kind_pass(name):
    guard = guard_absence((KINDS[name],))
    if guard is None:
        assert KINDS[name].guards == ()
        return
    alphabet = re.compile(r"\d")
    for core in TRUE[name]:
        digits = len(alphabet.findall(core))
        assert not guard.accepts(f"It is {core}.") or digits < 9 or name == "iban", core


def luhn(digits: str) -> bool:
    """Straight from the standard, by another way than the library's: weights 1 and 2 from the right, digit sums."""
    weighted = [int(d) * (2 if n % 2 else 1) for n, d in enumerate(digits[::-1])]
    return sum(sum(map(int, str(value))) for value in weighted) % 10 == 0


@given(st.text("0123456789", min_size=1, max_size=22))
def test_the_luhn_automaton_computes_the_sum(digits):
    assert luhn_valid(digits) == luhn(digits)
    assert card_numbers(BETWEEN).accepts(digits) == (13 <= len(digits) <= 19 and luhn(digits))


def pieces(seed: int, name: str = "phone") -> str:
    """A text made of what personal data is made of, so that hits and near misses are frequent."""
    draw = random.Random(seed)
    atoms = [
        lambda: draw.choice("0123456789"),
        lambda: draw.choice("  .-/:@,()+\n"),
        lambda: draw.choice("abFzZéGB_%"),
        lambda: "".join(draw.choices("0123456789", k=draw.randint(2, 6))),
        lambda: draw.choice(
            ["July", "Mar", "4 May 1976", "1976", "2010-2012", "@x.org", "::", "ab:", "4111 1111 ", "://u:p@", "+44"]
        ),
        lambda: draw.choice(draw.choice([TRUE[name], TRUE[name], NEAR[name], TRUE["phone"], TRUE["email"]])),
    ]
    return "".join(draw.choices(atoms, weights=[4, 4, 2, 3, 1, 1])[0]() for _ in range(draw.randint(1, 14)))


@pytest.mark.parametrize("name", KINDS)
def test_automaton_and_re_agree_on_every_text(name):
    kind, rule = own(name), whole(name)
    hits = 0
    for seed in range(600):
        text = pieces(seed, name)
        found = bool(find_kind(kind, text))
        assert rule.accepts(text) == (not found), text
        hits += found
    assert hits > 10


@pytest.mark.parametrize("name", KINDS)
def test_they_agree_on_which_occurrences_were_written(name):
    kind, rule = own(name), whole(name)
    for seed in range(400):
        text = plain(pieces(seed, name)).text
        draw = random.Random(seed + 1)
        start = draw.randint(0, len(text))
        written = [(start, draw.randint(start, len(text)))]
        places = [place for pattern in kind.patterns for place in find(pattern, text)]
        if touches(places, written):
            assert not rule.accepts(text, written), (text, written)
        elif not places:
            assert rule.accepts(text, written), (text, written)


def test_known_personal_data_is_no_obstacle_but_may_not_be_completed():
    rule = whole("phone")
    text = "Ann 020 7946 0958 is here"
    assert rule.accepts(text, [(18, len(text))])
    assert rule.accepts(text, [(0, 4), (17, 18)])
    assert not rule.accepts(text, [(16, len(text))])  # the last digit was written
    email = whole("email")
    assert email.accepts("bob@x.org is it", [(9, 15)])
    assert not email.accepts("bob@x.org", [(8, 9)])
    assert not email.accepts("bob.smith@x.org", [(0, 4)])


def test_what_may_be_named():
    allowed = ("info@thepub.example", "020 7946 0958")
    rules = [whole(name, allowed) for name in ("email", "phone")]
    for text, free in {
        "Write to info@thepub.example or call 020 7946 0958.": True,
        "Write to INFO@thepub.example": True,
        "Write to info@thepub.example.": True,
        "Write to 'info@thepub.example', please": True,
        "info@thepub.examples": False,
        "Write to my-info@thepub.example": False,  # a longer address that ends in the allowed one
        "Write to my.info@thepub.example": False,
        "info@thepub.example.net": False,
        "xinfo@thepub.example": False,
        "info@thepub.example or ann@thepub.example": False,
        "call 020 7946 0959": False,
        "call +44 020 7946 0958": False,
        "call 0044 (020 7946 0958)": False,
        "call 020 7946 0958 12": False,
        "call 020 7946 0958, 7 days a week": True,
        "call 020 7946 0958, 020 7946 0958": True,
        "call ０２０ ７９４６ ０９５８": True,
        "nothing": True,
    }.items():
        held = not any(breaks(KINDS[name], text, None, Allowances(allowed)) for name in ("email", "phone"))
        assert held is free, text
        assert all(rule.accepts(text) for rule in rules) is free, text


def test_cards_of_any_sum():
    rule = whole(ANY_CARD)
    assert not rule.accepts("4111 1111 1111 1112")
    assert not rule.accepts("12 4111 1111 1111 1112 34")
    assert rule.accepts("4111 1111 1111")
    assert find_kind(ANY_CARD, "4111-1111-1111-1112")


def test_an_automaton_of_occurrences_is_what_its_definition_says():
    item = Occurrence(regex("ab+"), ~regex(r"(?:.|\n)*x"), ~regex(r"y(?:.|\n)*"))
    rule = absence("ab", [item])
    seeker = re.compile("(?<!x)ab+(?!y)")
    for number in range(4**6):
        text = "".join("abxy"[number // 4**k % 4] for k in range(6))
        hits = [
            (m.start(), end)
            for p in range(6)
            for end in range(p + 2, 7)
            if (m := re.compile("(?<!x)ab+(?!y)").fullmatch(text, p, end))
            and text[end : end + 1] != "y"
            and text[p - 1 : p] != "x"
        ]
        assert rule.accepts(text) == (not hits)
        for written in ([(0, 2)], [(3, 4)], [(2, 2)]):
            assert rule.accepts(text, written) == (not touches(hits, written)), (text, written)
    assert seeker.search("ab")


def test_a_core_may_not_be_empty():
    with pytest.raises(ValueError, match="empty text"):
        absence("nothing", [Occurrence(regex("a*"))])


def test_public_search():
    assert find_personal_data("Write to ann@example.org or 020 7946 0958.") == [("email", 9, 24), ("phone", 28, 41)]
    assert find_personal_data("A lovely pub.") == []


def test_patterns_are_made_once():
    pattern = KINDS["email"].patterns[0]
    assert pattern_absence("x", pattern) is pattern_absence("x", pattern)


@pytest.mark.parametrize("name", KINDS)
def test_no_text_of_a_kind_lacks_its_signs(name):
    kind = KINDS[name]
    with_sign = regex(kind.signs, "contains")
    for pattern in kind.patterns:
        core = regex(pattern.core, flags=pattern.flags)
        for harmless in pattern.unless if name in ("mac", "card") and not pattern.luhn else ():
            core = core - regex(harmless, flags=pattern.flags)
        rest = core - with_sign
        assert rest.is_empty(), (pattern.core, rest.shortest())
