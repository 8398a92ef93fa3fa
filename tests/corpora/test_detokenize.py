"""Tokenised text becomes natural text, and natural text stays as it is."""

import pytest

from diffusionlm.corpora.detokenize import detokenize, detokenize_lines
from diffusionlm.corpora.e2e import format_condition, read_e2e

EXAMPLES = [
    ("Prices start at £ 30 . ", "Prices start at £30."),
    (
        "It is family - friendly , and non - family - friendly too .",
        "It is family-friendly, and non-family-friendly too.",
    ),
    ("a price range of £ 20 - 25 .", "a price range of £20-25."),
    ("between £ 20 - £ 25 .", "between £20-£25."),
    ("between £ 20- £ 25 .", "between £20-£25."),
    ("from 20 £ -30 £ .", "from 20£-30£."),
    ("It isn 't cheap ; you 'll pay .", "It isn't cheap; you'll pay."),
    ("I do n't think it 's Tom 's .", "I don't think it's Tom's."),
    ("It ' s here .", "It's here."),
    ("near ' Raja Indian Cuisine ' .", "near 'Raja Indian Cuisine'."),
    ("The venue 'The Mill ' is cheap .", "The venue 'The Mill' is cheap."),
    ("The Mill ' is near ' The Eagle ' .", "The Mill' is near 'The Eagle'."),
    ("its customers ' taste .", "its customers' taste."),
    ('He said " yes " , then " no . "', 'He said "yes", then "no."'),
    ("The Mill - it is a pub .", "The Mill - it is a pub."),
    ("an all - you - can - eat place .", "an all-you-can-eat place."),
    ("an adults - only pub .", "an adults-only pub."),
    ("Rated 3 / 5 ( by 90 % of guests ) .", "Rated 3/5 (by 90% of guests)."),
    ("adults -- moderate .", "adults -- moderate."),
    ("hors d 'oeuvres ! !", "hors d'oeuvres!!"),
    ("Price range : £ 20 . Fish & chips ?", "Price range: £20. Fish & chips?"),
    ("family - friendly pub", "family-friendly pub"),
]

NATURAL = [
    "He left - too late - for the 5 o'clock train, 'alone'.",
    "The customers' taste isn't £20-25 (90%).",
    '"Why?" she asked: it\'s a family-friendly, all-you-can-eat place!',
    "Hello",
    "",
]


@pytest.mark.parametrize(("tokenised", "natural"), EXAMPLES)
def test_tokenised_text_becomes_natural_and_then_stays(tokenised: str, natural: str) -> None:
    assert detokenize(tokenised) == natural
    assert detokenize(natural) == natural


@pytest.mark.parametrize("text", NATURAL)
def test_natural_text_is_left_alone(text: str) -> None:
    assert detokenize(text) == text


def test_lines_keep_their_order() -> None:
    assert detokenize_lines(["a .", "b ."]) == ["a.", "b."]


def test_e2e_lines_become_conditions_and_sentences(tmp_path) -> None:
    file = tmp_path / "e2e.txt"
    file.write_text(
        "name : The Mill | Type : pub | price : £ 20 - 25 | customer rating : 5 out of 5||The Mill is a pub . \n\n"
        "name : Café Rouge||There ' s Café Rouge . \n",
        encoding="utf-8",
    )
    assert read_e2e(file) == [
        ("name[The Mill], type[pub], price[£20-25], customer rating[5 out of 5]", "The Mill is a pub."),
        ("name[Café Rouge]", "There's Café Rouge."),
    ]
    assert format_condition({"Type": "pub", "price": "more than £ 30"}) == "type[pub], price[more than £30]"


@pytest.mark.parametrize("line", ["no separator", "name : The Mill||", "name The Mill||text .", "name : ||text ."])
def test_a_malformed_e2e_line_is_named(tmp_path, line: str) -> None:
    file = tmp_path / "bad.txt"
    file.write_text(f"name : The Mill||Good .\n{line}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"bad\.txt, line 2: expected"):
        read_e2e(file)


def test_a_missing_e2e_file_is_named(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="absent.txt"):
        read_e2e(tmp_path / "absent.txt")
