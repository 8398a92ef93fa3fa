"""Faults that were reported, each as the kind of which it was an example."""

import json
import pickle

import pytest

from diffusionlm.guidance import PII, Guidance, Phrases, Regex, UnsatisfiableConstraint
from diffusionlm.guidance.pii.patterns import KINDS
from diffusionlm.guidance.pii.search import find_kind

ZERO_WIDTH = "\u200b\u200c\u2060\ufeff\u00ad"


def refused(text, **settings):
    return [name for name, held in PII(**settings).certify(text, []).items() if not held]


@pytest.mark.parametrize(
    "sign",
    ["_", ",", ".", "\u2212", "\u2010", "\u2014", "\t", "\u00a0", "\n", "\u200b", "·", "*", "~", " - ", " . ", ") ("],
)
def test_a_number_is_seen_whatever_stands_between_its_digits(sign):
    for groups in (
        ["4111", "1111", "1111", "1111"],
        ["020", "7946", "0958"],
        ["123", "45", "6789"],
        ["GB29", "NWBK", "6016", "1331", "9268", "19"],
    ):
        assert refused(f"Note {sign.join(groups)} for me"), (sign, groups)


@pytest.mark.parametrize("zero", [ord(c) for c in "٠۰०০๐０𝟎𝟬"])
def test_digits_of_every_script_are_digits(zero):
    for text in ("4111 1111 1111 1111", "020 7946 0958", "192.168.0.1", "04/07/1976", "4 July 1976"):
        other = "".join(chr(zero + int(c)) if c.isdigit() else c for c in text)
        assert refused(f"Note {other} for me"), other


@pytest.mark.parametrize(
    "text",
    [
        "аnn@ехаmрlе.org",
        "ann＠example．org",
        "ann@exam\u00adple.org",
        "GВ29 NWВК 6016 1331 9268 19",
        "born 4 Мау 1976",
        "ｗｗｗ．example．com",
        "QQ123456С",
        "ann [at] example.org",
        "ann (at) example (dot) org",
        "ann@exa\u0301mple.org",
    ],
)
def test_letters_that_look_alike_are_alike(text):
    assert refused(f"Note {text} for me")


@pytest.mark.parametrize(
    "address",
    [
        "2001:db8::",
        "::1",
        "fe80::1%eth0",
        "fe80::",
        "::ffff:192.0.2.1",
        "2001:db8::1",
        "1:2:3:4:5:6:7:8",
        "192[.]168[.]0[.]1",
    ],
)
def test_short_internet_addresses(address):
    assert "no IP addresses" in refused(f"It came from {address} today.")


@pytest.mark.parametrize(
    "date",
    [
        "12 MARCH 1985",
        "12-Mar-1985",
        "on the 12th day of March, 1985",
        "12/march/1985",
        "March 12th, 1985",
        "the twelfth of March 1985",
        "1985-03-12",
        "12_03_1985",
        "12·03·1985",
        "12 mars 1985",
        "MARCH THE 12TH 1985",
        "the twenty-first of May, nineteen eighty-five",
        "12.3.85",
        "1985 March 12",
        "12th-of-March-1985",
    ],
)
def test_dates_of_birth_in_any_spelling(date):
    assert "no dates of birth" in refused(f"born {date}, I think")


@pytest.mark.parametrize(
    "text",
    [
        "In 2019 London was cheap.",
        "Open 12.00 - 14.00.",
        "Open 12:00-14:30, 18:00-22:00.",
        "Open 0900-1730.",
        "Meals are £15.00 - 20.00.",
        "It seats 1000-1500 people.",
        "It seats 300-1000.",
        "We had 12 decent 1990 wines.",
        "Version 10.0.19045.3803 of it.",
        "Python 3.11.4",
        "Your order number 12345678 is ready.",
        "ISBN 978-3-16-148410-0",
        "ISBN 0-306-40615-2",
        "in 1990, 1995, 2000 and 2005",
        "pi is 3.14159265",
        "10, 20, 30, 40, 50",
        "1, 2, 3, 4, 5, 6, 7, 8",
        "between 1,000,000 and 2,000,000",
        "1 500 000 people",
        "from 1990-2010",
        "2-1, 3-0 and 1-1",
        "Hall B2 2nd floor",
        "Well...okay",
        "std::vector",
        "2021-10-12 14:30:00",
    ],
)
def test_harmless_numbers_are_left_alone(text):
    assert refused(text) == []


def test_the_certificate_of_a_kind_does_not_hang_on_what_stands_elsewhere():
    for text in ("Visit it .../...com", "Look at a.b/com", "Say hello", "Meet ann at ten"):
        assert refused(text) == refused(text.replace(" ", " 5 ", 1)), text


@pytest.mark.parametrize(
    ("text", "allow", "free"),
    [
        ("lee@example.org", "lee@example.org", True),
        ("(lee@example.org)", "lee@example.org", True),
        ("ann.lee@example.org", "lee@example.org", False),
        ("ann-lee@example.org", "lee@example.org", False),
        ("ann+lee@example.org", "lee@example.org", False),
        ("lee@example.org.uk", "lee@example.org", False),
        ("+1 212 555-0199", "555-0199", False),
        ("212\u2212555-0199", "555-0199", False),
        ("(212)555-0199", "555-0199", False),
        ("555-0199", "555-0199", True),
        ("555-0199 7", "555-0199", False),
        ("555-0199, 7 days a week", "555-0199", True),
        ("https://x:y@www.thepub.com", "www.thepub.com", False),
        ("www.thepub.com", "www.thepub.com", True),
        ("jo!lee@example.org", "lee@example.org", False),
        ("jo'lee@example.org", "lee@example.org", False),
        ("jo{lee@example.org", "lee@example.org", False),
        ("'lee@example.org'", "lee@example.org", True),
        ("thepub.com?x=1", "thepub.com", False),
        ("12 March 1985", "March 1985", False),
        ("12 March 1985", "1985", False),
        ("12 March 1985", "12 March 1985", True),
        ("CA 90210", "CA", False),
        ("10115 Berlin", "Berlin", False),
        ("GB29 NWBK 6016 1331 9268 19", "GB", False),
    ],
)
def test_an_allowed_text_does_not_let_a_longer_one_out(text, allow, free):
    assert (refused(f"It is {text}.", allow=[allow]) == []) is free
    plugin = PII(allow=[allow])
    names = [
        name for name in plugin.structured if find_kind(plugin.structured[name], f"It is {text}.", plugin._allowed)
    ]
    assert (names == []) is free


@pytest.mark.parametrize(
    ("secret", "text"),
    [
        ("Straße 5", "STRASSE 5"),
        ("Project Bluebird", "Project... Bluebird"),
        ("hunter2", "_hunter2_"),
        ("café noir", "CAFE\u0301 — NOIR"),
        ("Project Bluebird", "ｐｒｏｊｅｃｔ ｂｌｕｅｂｉｒｄ"),
        ("hunter2", "hun\u200bter2"),
        ("Project Bluebird", "рrоjесt_bluеbird"),
        ("12-34-56", "１２３４５６"),
        ("ﬁne secret", "FINE SECRET"),
        ("İstanbul 12", "istanbul/12"),
        ("σίσυφος", "ΣΊΣΥΦΟΣ"),
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),
        ("ΥΗΝΖΒΜ", "υηνζβμ"),
        ("ГОРОД 7", "город-7"),
        ("日本の鍵", "これは日本の鍵です"),
        ("key123", "鍵はkey123です"),
        ("กุญแจ", "นี่คือกุญแจครับ"),
    ],
)
def test_secrets_are_seen_in_every_spelling(secret, text):
    said = PII(kinds=[], secrets=[secret]).certify(f"It is: {text}.", [])
    assert said == {"no secrets": False}
    assert PII(kinds=[], secrets=[secret]).certify("It is: nothing of the sort.", []) == {"no secrets": True}


def test_secrets_in_their_own_letters_are_automata_too():
    from diffusionlm.guidance.pii.folding import plain
    from diffusionlm.guidance.pii.secrets import own_character, secret_absence, secret_character

    for secret, text, character in (
        ("σίσυφος", "Ο ΣΊΣΥΦΟΣ!", own_character),
        ("日本の鍵", "これは日本の鍵です", secret_character),
        ("key123", "鍵はkey123です", secret_character),
    ):
        assert not secret_absence(secret, character).accepts(plain(text, character).text)
        assert secret_absence(secret, character).accepts(plain("nothing of the sort", character).text)
    assert PII(kinds=[], secrets=["σίσυφος"]).broken("Ο ΣΊΣΥΦΟΣ!", None) == ["secret in its own letters 0"]


def test_a_secret_within_a_longer_word_does_not_count():
    for text in ("Joann Lee", "Ann Leeds", "1ann lee"):
        assert PII(kinds=[], secrets=["Ann Lee"]).certify(text, []) == {"no secrets": True}


def test_secrets_show_themselves_nowhere(pipe):
    secret = "Project Bluebird"
    plugin = PII(secrets=[secret])
    result = pipe("The [SPAN:3].", steps=2, seed=0, guidance=plugin)
    shown = [
        repr(plugin),
        str(plugin),
        str(plugin.secrets),
        f"{plugin.secrets}",
        json.dumps(plugin.to_dict()),
        repr(plugin.settings()),
        json.dumps(result.settings),
        repr(result),
        repr(result.trace),
        repr(plugin._finder),
    ]
    for text in shown:
        assert "bluebird" not in text.lower()
    assert plugin.broken("project bluebird", None) == ["secret 0"]
    assert pickle.loads(pickle.dumps(plugin)).broken("project bluebird", None) == ["secret 0"]
    assert list(plugin.secrets) == [secret]
    with pytest.raises(ValueError, match="leaves out its secrets.*give them again"):
        Guidance.from_dict(json.loads(json.dumps(plugin.to_dict())))
    assert json.loads(json.dumps(PII(secrets=[]).to_dict())) == PII().to_dict()


def test_a_file_of_secrets_goes_round(tmp_path):
    file = tmp_path / "secrets.txt"
    file.write_text("\ufeffProject Bluebird\n", encoding="utf-8")
    again = Guidance.from_dict(PII(secrets=str(file)).to_dict())
    assert again.broken("project bluebird", None) == ["secret 0"]


@pytest.mark.parametrize("wrong", [["ab"], ["Project Bluebird", 5], "Project Bluebird", ["Bluebird", " "]])
def test_errors_do_not_print_secrets(wrong):
    with pytest.raises((ValueError, OSError)) as caught:
        PII(secrets=wrong)
    assert "Bluebird" not in str(caught.value)
    assert "'ab'" not in str(caught.value)
    assert str(caught.value).startswith(("Secret number", "secrets "))


def test_a_required_address_names_the_rule_that_it_breaks(pipe):
    with pytest.raises(UnsatisfiableConstraint, match="no e-mail addresses"):
        pipe("Write to [SPAN:16]", steps=2, seed=0, guidance=[PII(), Phrases(include=["ann@x.org"])])


def test_a_required_card_number_is_refused(pipe):
    with pytest.raises(UnsatisfiableConstraint, match="no (card|telephone) numbers"):
        pipe("Note: [SPAN:24].", steps=2, seed=0, guidance=[PII(), Regex(require=r"4111_1111_1111_1111")])


def test_kinds_of_ones_own():
    own = {"staff number": r"\bE\d{6}\b"}
    assert refused("It is E123456.", kinds=own) == ["no staff number"]
    assert refused("It is Ｅ１２３４５６.", kinds=own) == ["no staff number"]
    assert refused("It is XE123456 or E1234567.", kinds=own) == []
    assert refused("It is E123456, ann@x.org.", kinds=["email", own]) == ["no e-mail addresses", "no staff number"]
    everything = PII(kinds=["all", {"room": [r"room \d+", r"R\d+"]}])
    assert set(everything.structured) == {*KINDS, "room"}
    again = Guidance.from_dict(json.loads(json.dumps(everything.to_dict())))
    assert again.certify("It is R12", [])["no room"] is False
    assert refused("№5 is free", kinds={"number": "№\\d"}) == ["no number"]


@pytest.mark.parametrize(
    ("kinds", "words"),
    [
        ({"staff number": "E(\\d{6}"}, "kind 'staff number' of PII cannot be used.*not valid"),
        ({"staff number": "E*"}, "empty text"),
        ({"staff number": "^E\\d"}, r"leave them out"),
        ({"staff number": "(?<=x)E"}, "look-ahead or look-behind"),
        ({"staff number": 5}, "needs a regular expression"),
        ({"staff number": []}, "needs a regular expression"),
        ({"email": "x@y"}, "There is a kind 'email' already"),
        ({"": "x"}, "needs a name"),
        (["emial"], "email"),
        (["phone", "staff number"], "A kind of your own is given with an expression"),
        (7, "kinds must be a list"),
    ],
)
def test_a_kind_that_cannot_be_is_refused_in_a_sentence(kinds, words):
    with pytest.raises(ValueError, match=words):
        PII(kinds=kinds)


def test_a_kind_of_ones_own_is_never_written(pipe):
    kinds = {"price": r"£\d+"}
    with pytest.raises(UnsatisfiableConstraint):
        pipe("It costs [SPAN:4].", steps=2, seed=0, guidance=[PII(kinds=kinds, soft=0), Phrases(include=["£20"])])
    result = pipe("It costs [SPAN:4].", steps=2, seed=0, guidance=PII(kinds=kinds, soft=0))
    assert result.certificates[0] == {"no price": True}


def test_the_studio_shows_no_secrets():
    from diffusionlm.studio.order import Order, command, python_code

    settings = {"kinds": ["email"], "secrets": ["Project Bluebird", "hunter2"]}
    order = Order("restaurant", "The [SPAN].", None, 1, 4, 1.0, 0, guidance=(("pii", settings),))
    for shown in (json.dumps(order.to_dict()), python_code(order), command(order)):
        assert "Bluebird" not in shown
        assert "hunter2" not in shown
        assert "secrets 2, not shown" in shown
    assert order.guidance[0][1]["secrets"][0] == "Project Bluebird"
