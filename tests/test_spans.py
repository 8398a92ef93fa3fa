"""Canvases: markers and ranges become spans, known text is never touched, and tokens fit together at the borders."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffusionlm.spans import Canvas, Span


def test_markers_become_spans() -> None:
    canvas = Canvas.parse("The [SPAN:5] is a pub near [SPAN].")
    assert canvas.spans == (Span(5, open=False), Span())
    assert canvas.literals == ("The ", " is a pub near ", ".")


def test_a_backslash_keeps_a_marker_literal() -> None:
    canvas = Canvas.parse(r"write \[SPAN] for [SPAN]")
    assert canvas.literals == ("write [SPAN] for ", "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("no gap here", "no span"),
        ("near [span]", r"'\[span\]' is no span"),
        ("near [SPAN: 5]", r"'\[SPAN: 5\]' is no span"),
        ("[SPAN] and [SPAN:x]", r"'\[SPAN:x\]' is no span"),
        ("a [SPAN:0]", "at least 1 token"),
    ],
)
def test_what_cannot_be_read_is_explained(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Canvas.parse(text)


def test_character_ranges_become_spans() -> None:
    canvas = Canvas.from_ranges("abcdef", [(1, 3), (5, 6)], length=4)
    assert canvas.literals == ("a", "de", "")
    assert canvas.spans == (Span(4), Span(4))


@pytest.mark.parametrize("ranges", [[(3, 1)], [(0, 9)], [(2, 4), (3, 5)], [(-1, 2)]])
def test_ranges_that_do_not_fit_are_refused(ranges: list[tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match="range"):
        Canvas.from_ranges("abcdef", ranges)


def test_layout_of_positions(tiny_tokenizer) -> None:
    layout = Canvas.parse("The [SPAN:2] is [SPAN].").lay_out(tiny_tokenizer, default_length=3)
    positions = sorted(layout.known_positions.tolist() + layout.span_positions.tolist())
    assert positions == list(range(layout.total))
    assert layout.span_index.tolist() == [0, 0, 1, 1, 1]
    assert layout.open_mask.tolist() == [False, False, True, True, True]
    assert layout.first_mask.tolist() == [True, False, True, False, False]
    assert layout.space_mask.tolist() == [True, False, True, False, False]


def test_pad_only_where_an_open_span_may_end(tiny_tokenizer) -> None:
    layout = Canvas.parse("The [SPAN:2] is [SPAN].").lay_out(tiny_tokenizer, default_length=3)
    allowed = layout.allowed(tiny_tokenizer.vocabulary)
    assert allowed[:, tiny_tokenizer.pad_id].tolist() == [False, False, False, True, True]
    starts = tiny_tokenizer.vocabulary.starts_with_space
    assert not bool(allowed[0][~starts].any())
    assert bool(allowed[1][~starts].any())


literal = st.text(st.characters(codec="utf-8", exclude_characters="[]\\"), max_size=12)


@settings(max_examples=200, deadline=None)
@given(pieces=st.lists(literal, min_size=2, max_size=4), data=st.data())
def test_known_text_comes_back_byte_for_byte(tiny_tokenizer, pieces: list[str], data) -> None:
    layout = Canvas.parse("[SPAN:3]".join(pieces)).lay_out(tiny_tokenizer, default_length=3)
    ids = data.draw(
        st.lists(st.integers(0, tiny_tokenizer.vocab_size - 1), min_size=layout.length, max_size=layout.length)
    )
    text, spans = layout.assemble(ids, tiny_tokenizer.vocabulary)
    expected = pieces[0] + "".join(span + piece for span, piece in zip(spans, pieces[1:], strict=True))
    assert text == expected


def test_written_tokens_rejoin_a_tokenised_text(tiny_tokenizer) -> None:
    """Cutting words out of a text and writing their own tokens back gives the text."""
    text = "The Mill is a cheap pub near the river."
    for start, end in [(0, 8), (4, 8), (9, 19), (29, 38), (0, len(text))]:
        inner = text[start:end]
        spaced = start == 0 or text[start - 1] == " "
        ids = tiny_tokenizer.encode(inner, continues=not spaced)
        canvas = Canvas((text[:start], Span(len(ids), open=False), text[end:]))
        layout = canvas.lay_out(tiny_tokenizer, 1)
        assert layout.assemble(ids, tiny_tokenizer.vocabulary) == (text, [inner])
        if spaced:
            known = layout.known_ids.tolist()
            whole = tiny_tokenizer.encode(text)
            first = int(layout.span_positions[0])
            assert known[:first] + ids + known[first:] == whole


def test_a_span_ends_at_its_first_pad(tiny_tokenizer) -> None:
    layout = Canvas.whole(4).lay_out(tiny_tokenizer, 4)
    a = tiny_tokenizer.encode("The")[0]
    assert layout.span_ids([a, tiny_tokenizer.pad_id, a, a], tiny_tokenizer.pad_id) == [[a]]


def test_a_choice_is_a_span_with_options():
    from diffusionlm.spans import Canvas, Span

    canvas = Canvas.parse(r"A [CHOICE:pub| coffee shop ] or \[CHOICE:a|b] or [SPAN:2].")
    assert canvas.spans == (Span(options=("pub", "coffee shop")), Span(2, open=False))
    assert canvas.literals[1] == " or [CHOICE:a|b] or "


def test_choices_that_are_misspelt_are_refused():
    from diffusionlm.spans import Canvas

    for text in ("[CHOICE]", "[choice:a|b]", "[CHOICE:]", "[CHOICE:a|]", "[CHOICE:a|a]"):
        with pytest.raises(ValueError, match="CHOICE:a|options of a choice"):
            Canvas.parse(text)


def test_a_choice_has_room_for_its_longest_option(tiny_tokenizer):
    from diffusionlm.spans import Canvas

    layout = Canvas.parse("It is a [CHOICE:pub|cheap coffee shop].").lay_out(tiny_tokenizer, 16)
    assert layout.length == len(tiny_tokenizer.encode("cheap coffee shop"))
    assert bool(layout.open_mask.all())


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("[SPAN] is [SPAN:12", 10, "not closed"),
        ("[SPAN is a pub near [SPAN].", 0, "not closed"),
        ("near [SPAN:12) or [SPAN]", 5, "not closed"),
        ("[SPAN] is a [CHOICE:pub|bar", 12, "not closed"),
        ("[SPAN] is a [choice: pub|bar", 12, "not closed"),
        ("[CONCEPT:house-style The [SPAN]", 0, "not closed"),
        ("The [CONCEPT:house] [SPAN]", 4, "beginning of a text"),
        ("[SPAN] is near SPAN:3].", 15, "lacks its first bracket"),
        ("CHOICE:a|b] or [SPAN]", 0, "lacks its first bracket"),
    ],
)
def test_a_marker_that_lacks_a_bracket_is_refused_with_its_place(text: str, place: int, words: str) -> None:
    with pytest.raises(ValueError, match=words) as refusal:
        Canvas.parse(text)
    assert f"character {place}" in str(refusal.value)
    assert "To keep it as text" in str(refusal.value)


@pytest.mark.parametrize(
    "known",
    [
        "name[The Mill], food[Italian] ",
        "as in [1], [sic] and [ (",
        "a] b[ [span of time] [Choice words] [the SPAN] [spanish ",
        "[[x] ",
        "SPAN CHOICE:a|b ",
    ],
)
def test_other_brackets_are_text(known: str) -> None:
    assert Canvas.parse(known + "[SPAN]").literals == (known, "")


@pytest.mark.parametrize(
    "marker", ["[SPAN:12", "[SPAN", "[CHOICE:a|b", "[SPAN]", "[choice:a]", "[ span ]", "[CONCEPT:x", "[SPAN:x]"]
)
def test_a_backslash_keeps_what_looks_like_a_marker(marker: str) -> None:
    assert Canvas.parse(f"a \\{marker} or [SPAN]").literals == (f"a {marker} or ", "")


def test_a_condition_in_place_of_a_text_is_told_where_it_goes() -> None:
    for text in ("name[The Mill], food[Italian]", "name[The Mill"):
        with pytest.raises(ValueError, match="A condition goes to prompt="):
            Canvas.parse(text)
