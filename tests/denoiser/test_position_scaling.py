"""Positions beyond those of training: what each method does to the frequencies, and what a measurement decides."""

import pytest
import torch

from diffusionlm.denoiser.position_scaling import METHODS, chosen_method, scale_positions, trained_positions

MEASURED = {"64": {"none": 3.0}, "128": {"none": 5.0, "linear": 4.5, "base": 4.0}, "256": {"linear": 4.2, "base": 4.4}}


def test_frequencies_are_divided_as_each_method_says(tiny):
    model = tiny(max_position_embeddings=32)
    plain = model.rotary.inverse_frequency.clone()
    found = {}
    for method in METHODS:
        scale_positions(model, method, 128)  # always from the training, not from the last call
        found[method] = model.rotary.inverse_frequency / plain
        assert model.config.max_position_embeddings == 128
    assert torch.equal(found["none"], torch.ones_like(plain))
    assert torch.allclose(found["linear"], torch.full_like(plain, 0.25))
    for method in ("base", "yarn"):
        assert torch.isclose(found[method][0], torch.tensor(1.0))
        assert torch.isclose(found[method][-1], torch.tensor(0.25))
    assert trained_positions(model) == (32, {"rope_type": "default", "rope_theta": 10000.0})
    scale_positions(model, "base", 32)
    assert torch.equal(model.rotary.inverse_frequency, plain)


def test_yarn_counts_positions_of_the_trunk_where_tokens_are_in_patches(tiny):
    scaled = {}
    for size, trained in ((1, 32), (4, 128)):  # the same positions of the trunk
        model = tiny(max_position_embeddings=trained, patch_size=size)
        scale_positions(model, "yarn", 4 * trained)
        scaled[size] = model.rotary.inverse_frequency
    assert torch.equal(scaled[1], scaled[4])


@pytest.mark.parametrize(
    ("settings", "method", "length", "words"),
    [
        ({}, "ntk", 64, "method must be one of none, linear, base, yarn"),
        ({}, "base", 16, "trained on texts of 32 positions"),
        ({"position_kind": "alibi"}, "yarn", 64, "this model has ALiBi: use method='none'"),
        (
            {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}},
            "base",
            64,
            "of type 'linear'",
        ),
    ],
)
def test_what_does_not_suit_is_refused_and_changes_nothing(tiny, settings, method, length, words):
    model = tiny(max_position_embeddings=32, **settings)
    before = dict(model.config.rope_parameters)
    with pytest.raises(ValueError, match=words):
        scale_positions(model, method, length)
    assert (model.config.rope_parameters, model.config.max_position_embeddings) == (before, 32)


def test_a_measurement_decides_and_what_lies_beyond_it_is_warned_of(recwarn):
    assert chosen_method(MEASURED, 100) == "base"
    assert chosen_method(MEASURED, 200) == "linear"
    assert not recwarn.list
    with pytest.warns(UserWarning, match=r"4\.00 nats a token at best \(base\), and 3\.10 in blocks"):
        assert chosen_method({"128": {"none": 5.0, "base": 4.0, "blocks": 3.1}}, 128) == "base"
    with pytest.warns(UserWarning, match="measured up to 256 positions, not at 512"):
        assert chosen_method(MEASURED, 512) == "linear"
    with pytest.warns(UserWarning, match="Nothing is measured about these weights at 128"):
        assert chosen_method(None, 128) == "base"
    with pytest.warns(UserWarning, match="by the method 'none'"):
        assert chosen_method({}, 128, "alibi") == "none"


def test_a_length_below_that_of_training_is_refused_before_anything_is_said(tiny_pipe, recwarn):
    with pytest.raises(ValueError, match="trained on texts of 64 positions"):
        tiny_pipe.scale_positions(32)
    assert not recwarn.list


def test_the_pipeline_writes_more_at_once(tiny_pipe):
    with pytest.raises(ValueError, match="length must be an integer"):
        tiny_pipe.scale_positions(0)
    tiny_pipe.card = {"positions": MEASURED}
    layers = []
    before = tiny_pipe.denoiser.rotary
    try:
        assert tiny_pipe.scale_positions(96) == "base"
        for state in tiny_pipe.stream("[SPAN:80]", steps=1, seed=0):
            layers += [layout.length for layout in getattr(state, "layouts", [])]
    finally:
        scale_positions(tiny_pipe.denoiser, "none", 64)
        tiny_pipe.denoiser.rotary = before  # the denoiser belongs to all tests
    assert layers == [80]
