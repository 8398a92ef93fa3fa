"""Ends of open spans under a masked process: drawn from the model's own distribution of lengths, and kept."""

import pytest
import torch

from diffusionlm import DiffusionLMPipeline
from diffusionlm.denoiser import Places
from diffusionlm.diffusion import Draws, NoisyTokens, Posterior
from diffusionlm.families.tiny import tiny_loaded
from diffusionlm.generation.text_ends import decide_ends
from diffusionlm.guidance import Length, Phrases
from diffusionlm.samplers import make_sampler

PAD, VOCABULARY = 0, 5


def places_of(*spans, rows):
    """Places of B equal rows; a span is (first position, positions, open)."""
    at = torch.tensor([first + i for first, size, _ in spans for i in range(size)])
    is_open = torch.tensor([o for _, size, o in spans for _ in range(size)])
    shape = (rows, len(at))
    used = torch.ones(shape, dtype=torch.bool)
    return Places(used, at.expand(shape), is_open.expand(shape), (int(at.max()) + 1,) * rows)


def posterior_of(ended, rows):
    """Every position is a pad with the probability given."""
    pad = torch.tensor(ended, dtype=torch.float32)
    probs = torch.stack([pad, *[(1 - pad) / (VOCABULARY - 1)] * (VOCABULARY - 1)], -1)
    return Posterior(probs.log().expand(rows, -1, -1))


def ends(posterior, places):
    rows = len(places.totals)
    ids = torch.full_like(places.positions, PAD)
    noisy = NoisyTokens(ids, places.span_mask, places.span_mask)
    return decide_ends(posterior, noisy, places, PAD, Draws(range(rows), [0] * rows, [ids.shape[1]] * rows, ids.device))


def test_lengths_are_drawn_from_the_share_of_texts_that_have_ended():
    rows, share = 4000, [0.0, 0.1, 0.1, 0.5, 0.6, 1.0]
    _, noisy = ends(posterior_of(share, rows), places_of((0, 6, True), rows=rows))
    lengths = (~noisy.ended).sum(-1)
    found = [float((lengths <= n).float().mean()) for n in range(6)]
    assert found == pytest.approx(share, abs=0.03)  # four standard errors
    assert torch.equal(noisy.ended.long(), noisy.ended.long().cummax(-1).values)  # nothing but pads behind an end


def test_each_open_span_has_a_length_of_its_own_and_others_keep_theirs():
    rows = 500
    places = places_of((0, 3, True), (5, 2, False), (9, 3, True), rows=rows)
    _, noisy = ends(posterior_of([0.0, 0.5, 0.5, 0.9, 0.9, 0.0, 0.5, 0.5], rows), places)
    assert not noisy.ended[:, [0, 3, 4, 5]].any()
    first, last = noisy.ended[:, 1], noisy.ended[:, 6]
    assert 0.4 < first.float().mean() < 0.6
    assert 0.15 < (first & last).float().mean() < 0.35  # drawn apart


def test_nothing_else_is_decided_and_the_posterior_follows():
    rows = 20
    posterior, noisy = ends(posterior_of([0.0, 0.5, 0.9], rows), places_of((0, 3, True), rows=rows))
    assert torch.equal(noisy.undecided, ~noisy.ended)
    assert torch.allclose(posterior.probs.sum(-1), torch.ones(rows, 3))
    assert (posterior.probs[..., PAD][noisy.ended] == 1).all()
    assert (posterior.probs[..., PAD][~noisy.ended] < 1e-30).all()


@pytest.fixture(scope="module")
def pipe():
    loaded = tiny_loaded("qwen3")
    made = DiffusionLMPipeline(loaded.model, loaded.tokenizer, **loaded.defaults)
    made.set_progress_bar_config(disable=True)
    return made


@pytest.mark.parametrize("guidance", [None, Length(tokens=5), [Phrases(include=["the"]), Length(tokens=(3, 6))]])
def test_texts_of_a_masked_model_keep_their_ends_under_rules(pipe, guidance):
    lengths = []
    *states, _ = pipe.stream(num_samples=4, seed=0, steps=4, max_length=12, guidance=guidance)
    for noisy in (state.noisy for state in states):
        assert noisy.ended is not None
        assert (noisy.ids[noisy.ended] == pipe.tokenizer.pad_id).all()
        lengths.append((noisy.used & ~noisy.ended).sum(-1).tolist())
    assert all(step == lengths[0] for step in lengths)
    assert guidance is None or max(lengths[0]) <= 6  # of the 12 that there are


def test_the_setting_leaves_the_ends_to_the_order(pipe):
    *states, _ = pipe.stream(
        num_samples=2, seed=0, steps=2, max_length=8, sampler=make_sampler("unmasking", ends=False)
    )
    assert all(state.noisy.ended is None for state in states)
    with pytest.raises(ValueError, match="true or false"):
        make_sampler("unmasking", ends="early")
