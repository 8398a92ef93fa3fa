"""Rows of different requests in one batch: each text is that of its seed, and a row at fault fails alone."""

import pytest

from diffusionlm.serving.plugins import from_key, to_key
from diffusionlm.serving.rows import RowSettings, Written, batches, make_row, write
from diffusionlm.spans import Canvas


def row(pipe, text, seed, prompt="", settings=None, **more):
    canvas = Canvas.parse(text) if text else Canvas.whole(pipe.max_length)
    return make_row(pipe, canvas, prompt, seed, settings or RowSettings(steps=4), **more)


def test_rows_beside_each_other_get_the_texts_of_their_seeds(tiny_pipe) -> None:
    asked = [
        ("The [SPAN:6] pub.", 11, ""),
        ("[SPAN]", 4, "name[The Mill]"),
        (None, 9, ""),
        ("A [SPAN] B [SPAN:2].", 5, ""),
    ]
    results = write(tiny_pipe, [row(tiny_pipe, t, s, p) for t, s, p in asked], from_key)
    for (text, seed, prompt), result in zip(asked, results, strict=True):
        assert isinstance(result, Written)
        assert result.sample.text == tiny_pipe(text, prompt=prompt, seed=seed, steps=4).texts[0]
        assert result.sample.seed == seed


def test_a_row_at_fault_fails_alone(tiny_pipe) -> None:
    settings = RowSettings(steps=2, guidance=to_key([{"name": "length", "tokens": [3, 4]}]))
    texts = ["[SPAN:4]", "[SPAN:1]", "[SPAN:3]", "[SPAN:2]", "[SPAN:4]"]
    results = write(tiny_pipe, [row(tiny_pipe, text, 3, settings=settings) for text in texts], from_key)
    assert [isinstance(result, Written) for result in results] == [True, False, True, False, True]
    assert "cannot be satisfied" in str(results[1])


def test_steps_tell_whose_they_are(tiny_pipe) -> None:
    seen = []
    rows = [row(tiny_pipe, "The [SPAN:2]", seed) for seed in (1, 2, 3)]
    write(tiny_pipe, rows, from_key, lambda state, places: seen.append((state.step, list(places))))
    assert seen == [(step, [0, 1, 2]) for step in range(4)]


def test_batches_hold_rows_of_equal_settings_and_about_equal_length(tiny_pipe) -> None:
    other = RowSettings(steps=5)
    rows = [row(tiny_pipe, f"[SPAN:{n}]", 0) for n in (2, 40, 3, 16, 17)] + [
        row(tiny_pipe, "[SPAN:2]", 0, settings=other)
    ]
    assert batches(rows, 2) == [[0, 2], [3], [1], [4], [5]]
    assert batches(rows, 9) == [[0, 2, 3], [1], [4], [5]]


def test_what_does_not_fit_is_refused_before_it_waits(tiny_pipe) -> None:
    with pytest.raises(ValueError, match="the model takes 64"):
        row(tiny_pipe, "[SPAN:65]", 0)
    with pytest.raises(ValueError, match="at most 128 are allowed"):
        row(tiny_pipe, "[SPAN]", 0, prompt="x" * 500)
    with pytest.raises(ValueError, match="steps"):
        RowSettings(steps=0)
    with pytest.raises(ValueError, match="sampler"):
        RowSettings(sampler="eulr")


def test_spans_get_the_length_that_the_pipeline_would_give_them(tiny_pipe) -> None:
    assert [span.length for span in row(tiny_pipe, "a [SPAN] b [SPAN:3]", 0).canvas.spans] == [6, 3]
    assert [span.length for span in row(tiny_pipe, "a [SPAN]", 0, max_span_length=9).canvas.spans] == [9]
