"""Conditions of fields: their brackets pair, and unknown fields are told of; where a model has no fields, all is text."""

import warnings

import pytest

from diffusionlm.generation.fields import check_fields

KNOWN = ("name", "food")


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("name[The Mill", "character 4 .*'name\\[The Mill', is not closed"),
        ("name[The Mill, food[Italian]", "character 4 .* not closed"),
        ("name[The Mill], food[", "character 20 .* not closed"),
        ("name The Mill], food[Italian]", "character 13 that is not open"),
        ("name[The [old] Mill]", "character 4 .* not closed"),
    ],
)
def test_brackets_that_do_not_pair_are_refused_with_their_place(prompt, words):
    with pytest.raises(ValueError, match=words):
        check_fields([prompt], KNOWN)
    check_fields([prompt], None)  # a text like any other where the model has no fields


def test_what_pairs_is_taken():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_fields(["", "name[The Mill], food[Italian]", "in words"], KNOWN)
    with pytest.warns(UserWarning, match="had the field 'mood'"):
        check_fields(["mood[good]"], KNOWN)
    values = {"food": ["Italian", "Thai"]}
    with pytest.warns(UserWarning, match=r"had food\[Thia\].* are: Italian, Thai. Did you mean 'Thai'"):
        check_fields(["name[The Mill], food[Thia]"], KNOWN, values)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_fields(["name[Thia], food[Thai]"], KNOWN, values)
