"""Words that make a number harmless ("order", "version") count as words only, not as the end of a longer one."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffusionlm.guidance.pii.automaton import pattern_absence
from diffusionlm.guidance.pii.folding import plain
from diffusionlm.guidance.pii.harmless import ORDER_WORDS
from diffusionlm.guidance.pii.patterns import KINDS
from diffusionlm.guidance.pii.search import find, find_personal_data

NUMBERS = {  # lifting words, with what joins them to a datum of the kind
    "phone": ([f"{word} " for word in ORDER_WORDS] + ["isbn: ", "order number: ", "v", "v. "], "4525454234"),
    "national_id": ([f"{word}#" for word in ORDER_WORDS] + ["Ref no. ", "V "], "052545423"),
    "ip": (["version ", "release ", "v", "build "], "10.2.30.4"),
    "birth_date": (["version ", "Version.", "v"], "12.03.1980"),
    "postal_code": (["in ", "of ", "by ", "since ", "For ", "the "], "1011 Mitte"),
}
LETTER = st.sampled_from("abcxyzABZ019_éßаЖ\u00ad")  # in plain form all of them are of words, or nothing


def seen(name, text):
    """Whether reader and automaton, which agree, find a datum by an expression that words may lift."""
    form, patterns = plain(text).text, [pattern for pattern in KINDS[name].patterns if pattern.not_led_by]
    found = [any(find(pattern, form)) for pattern in patterns]
    assert found == [not pattern_absence(name, pattern).accepts(form) for pattern in patterns], text
    return any(found)


@pytest.mark.parametrize("name", NUMBERS)
@settings(max_examples=25, deadline=None)
@given(data=st.data(), before=st.sampled_from(["", "It was ", "a-"]), stem=st.text(LETTER, min_size=1, max_size=40))
def test_a_longer_word_that_ends_in_a_lifting_word_lifts_nothing(name, data, before, stem):
    leads, number = NUMBERS[name]
    lead = data.draw(st.sampled_from(leads))
    assert seen(name, f"{before}x{stem}{lead}{number}")
    assert not seen(name, f"{before}{lead}{number}")


@pytest.mark.parametrize(
    "text",
    [
        "apart 4525454234",
        "recorder: 4525454234",
        "Call Hubert, counterpart 4525454234",
        "Berlin 1011 Mitte",
        "subversion 10.2.30.4",
    ],
)
def test_no_certificate_behind_such_a_word(text):
    assert find_personal_data(text)


def test_the_second_reader_is_not_misled_either():
    from diffusionlm.guidance.pii.reader import strangers_view

    assert [kind for kind, *_ in strangers_view("See subversion 10.2.30.4")] == ["ip"]
    assert list(strangers_view("See version 10.2.30.4")) == []
