"""How a text is laid out for training: what is known, what is to be written, and where."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffusionlm.training.tasks import draw_infill, draw_prefix, draw_whole, lay_out

PAD = 0
texts = st.lists(st.integers(1, 9), min_size=1, max_size=40).map(lambda ids: np.array(ids, dtype=np.int32))
shares = st.floats(0.01, 0.99)
seeds = st.integers(0, 2**32 - 1)


@st.composite
def layouts(draw):
    ids, share, slack = draw(texts), draw(shares), draw(st.integers(0, 12))
    kind = draw(st.sampled_from(["whole", "prefix", "infill"]))
    if kind == "whole":
        return ids, draw_whole(ids, len(ids) + slack, PAD)
    if kind == "prefix":
        return ids, draw_prefix(ids, len(ids) + slack, share, PAD)
    return ids, draw_infill(ids, share, PAD, np.random.default_rng(draw(seeds)))


@given(layouts())
def test_known_and_written_tokens_in_order_of_their_positions_are_the_text(case):
    ids, layout = case
    tokens = np.concatenate((layout.known_ids, layout.span_ids))
    positions = np.concatenate((layout.known_positions, layout.span_positions))
    in_order = tokens[np.argsort(positions)]
    np.testing.assert_array_equal(in_order[in_order != PAD], ids)


@given(layouts())
def test_positions_are_unique_increasing_and_without_holes(case):
    _, layout = case
    assert (np.diff(layout.known_positions) > 0).all()
    assert (np.diff(layout.span_positions) > 0).all()
    everything = np.sort(np.concatenate((layout.known_positions, layout.span_positions)))
    np.testing.assert_array_equal(everything, np.arange(len(everything)))


@given(layouts())
def test_pads_are_never_known_and_stand_in_open_spans_only(case):
    _, layout = case
    assert PAD not in layout.known_ids
    assert layout.open_mask[layout.span_ids == PAD].all()


@given(texts, st.data())
def test_a_span_is_its_stretch_of_the_text_and_an_open_one_then_has_its_pads(ids, data):
    borders = sorted(data.draw(st.lists(st.integers(0, len(ids)), min_size=2, max_size=8, unique=True)))
    spans = [
        (start, end, data.draw(st.integers(-1, 5))) for start, end in zip(borders[::2], borders[1::2], strict=False)
    ]
    layout, cursor = lay_out(ids, spans, PAD), 0
    for start, end, slack in spans:
        written = layout.span_ids[cursor : cursor + end - start + max(slack, 0)]
        assert written.tolist() == ids[start:end].tolist() + [PAD] * max(slack, 0)
        assert (layout.open_mask[cursor : cursor + len(written)] == (slack >= 0)).all()
        cursor += len(written)
    assert cursor == len(layout.span_ids)


@given(layouts())
def test_something_is_always_to_be_written(case):
    _, layout = case
    assert len(layout.span_ids) >= 1
    assert len(layout.span_ids) == len(layout.span_positions) == len(layout.open_mask)


@given(texts, st.integers(0, 30))
def test_a_whole_text_uses_all_positions_of_its_limit_whatever_its_length(ids, slack):
    layout = draw_whole(ids, len(ids) + slack, PAD)
    assert len(layout.span_ids) == len(ids) + slack
    assert layout.open_mask.all()
    assert len(layout.known_ids) == 0
    assert (layout.span_ids[len(ids) :] == PAD).all()


@given(texts, st.integers(0, 30), shares)
def test_a_continuation_ends_at_the_limit_whatever_the_length_of_the_text(ids, slack, share):
    limit = len(ids) + slack
    layout = draw_prefix(ids, limit, share, PAD)
    assert layout.span_positions[-1] == limit - 1
    assert layout.open_mask.all()
    np.testing.assert_array_equal(layout.known_ids, ids[: len(layout.known_ids)])
    assert len(layout.known_ids) >= 1 or len(ids) == 1


@given(texts, shares, seeds)
def test_gaps_take_the_share_that_was_asked_for(ids, share, seed):
    layout = draw_infill(ids, share, PAD, np.random.default_rng(seed))
    assert int((layout.span_ids != PAD).sum()) == int(np.clip(round(share * len(ids)), 1, len(ids)))


@given(texts, shares, seeds)
def test_the_slack_of_open_gaps_tells_nothing_of_what_was_cut_out(ids, share, seed):
    same = np.random.default_rng(seed), np.random.default_rng(seed)
    changed = (ids % 9 + 1).astype(ids.dtype)
    one, other = draw_infill(ids, share, PAD, same[0]), draw_infill(changed, share, PAD, same[1])
    np.testing.assert_array_equal(one.span_ids == PAD, other.span_ids == PAD)
    np.testing.assert_array_equal(one.span_positions, other.span_positions)


def test_gaps_are_open_and_closed_and_one_to_four():
    rng, ids = np.random.default_rng(0), np.arange(1, 31, dtype=np.int32)
    drawn = [draw_infill(ids, 0.4, PAD, rng) for _ in range(300)]
    counts = {1 + int((np.diff(layout.span_positions) > 1).sum()) for layout in drawn}
    assert counts == {1, 2, 3, 4}
    open_share = np.mean([layout.open_mask.any() for layout in drawn])
    assert 0.3 < open_share < 0.8


def test_an_example():
    layout = lay_out(np.array([11, 12, 13, 14, 15]), [(1, 2, -1), (3, 4, 2)], PAD)
    assert layout.known_ids.tolist() == [11, 13, 15]
    assert layout.known_positions.tolist() == [0, 2, 6]
    assert layout.span_ids.tolist() == [12, 14, PAD, PAD]
    assert layout.span_positions.tolist() == [1, 3, 4, 5]
    assert layout.open_mask.tolist() == [False, True, True, True]


@pytest.mark.parametrize("share", [0.01, 0.99])
def test_a_text_of_one_token_is_written_whole(share):
    ids = np.array([7], dtype=np.int32)
    for layout in (draw_infill(ids, share, PAD, np.random.default_rng(0)), draw_prefix(ids, 1, share, PAD)):
        assert 7 in np.concatenate((layout.known_ids, layout.span_ids))
