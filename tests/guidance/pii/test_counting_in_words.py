"""Counting in words is harmless; digits read out are not, whatever stands beside them."""

import pytest

from diffusionlm.guidance import PII


def refused(text, kinds=("phone", "national_id")):
    return [name for name, held in PII(list(kinds)).certify(text, []).items() if not held]


@pytest.mark.parametrize(
    "text",
    [
        "one two three four five six seven",
        "One, two, three, four, five, six, seven, eight.",
        "zero one two three four five six seven eight nine ten",
        "ten nine eight seven six five four three two one",
        "three four five six seven eight nine",
    ],
)
def test_whoever_counts_says_no_number(text):
    assert not refused(text, ["phone"])


@pytest.mark.parametrize(
    "text",
    [
        "call me on one two three four five six seven",
        "my number is two three four five six seven eight",
        "phone: nine eight seven six five four three",
        "five one two three four five six seven",
        "one two three four five six seven nine",
        "one two three four five six seven seven",
        "three two one two three four five six",
        "oh two oh seven nine four six oh nine five eight",
        "one two three four five six seven eight two",
    ],
)
def test_digits_read_out_are_refused(text):
    assert refused(text)
