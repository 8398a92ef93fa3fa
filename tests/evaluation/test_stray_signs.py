"""What counts as number soup, and what a person writes."""

import pytest

from diffusionlm.evaluation.stray_signs import stray_signs


@pytest.mark.parametrize(
    "text",
    [
        "The price range is £20-25.",
        "We came at 10:30 on 12 July 2019, the 2nd time.",
        "A 3-course menu, 5 out of 5!",
        "It took 45min... I mean, 45 minutes.",
        "Fish & chips - lovely (really).",
        "A 10% discount on 1,200 people.",
    ],
)
def test_what_people_write_is_no_soup(text):
    assert stray_signs(text) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("You can reach me at +1-69-6-6.", ["+1-69-6-6."]),
        ("My card number is sacket 14-ce oaf1.", ["oaf1."]),
        ("My card number is 11 9603 61.", ["9603", "61."]),
        ("My email is tojro..example thatcom... fororg.", ["tojro..example"]),
        ("Write to james._chasson,example!com.", ["james._chasson,example!com."]),
        ("Call me on the number on the form,.", ["form,."]),
        ("Well ., no.", [".,"]),
    ],
)
def test_soup_is_seen(text, found):
    assert stray_signs(text) == found
