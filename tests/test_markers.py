"""Markers that are nearly ones, and signs within options."""

import pytest

from diffusionlm.markers import Marker, read_markers


def pieces(text):
    return [piece for piece in read_markers(text) if piece]


@pytest.mark.parametrize(
    "near",
    [
        "[SPAN 3]",
        "[SPAN=3]",
        "[SPAN-3]",
        "[SPAN_3]",
        "[SPAN3]",
        "[span 3]",
        "[CHOICES:a|b]",
        "[choice a|b]",
        "[SPAN：3]",
    ],
)
def test_near_markers_are_refused_beside_a_good_one(near):
    with pytest.raises(ValueError, match="is no span"):
        pieces(f"The {near} is [SPAN].")


@pytest.mark.parametrize(
    "text", ["[sic]", "[1]", "[SPANISH]", "[Spanish 3]", "[span of control]", "[a choice | or two]"]
)
def test_brackets_that_are_text(text):
    assert "".join(p for p in pieces(f"{text} [SPAN]") if isinstance(p, str)) == f"{text} "


def test_signs_in_options_behind_a_backslash():
    assert pieces(r"[CHOICE:a\|b|c\]d|\[e|f\g]") == [Marker(options=("a|b", "c]d", "[e", "f\\g"))]


def test_lengths_that_are_no_lengths():
    with pytest.raises(ValueError, match="5000 digits"):
        pieces(f"[SPAN:{'9' * 5000}]")
