"""RoPE with its scaling variants, and ALiBi."""

import pytest
import torch

from diffusionlm.denoiser import DenoiserConfig, SpanDenoiser
from diffusionlm.denoiser.positions import AlibiBias, RotaryEmbedding, alibi_slopes

GAMMA = torch.tensor([0.5, -1.0])
HALF = 8  # frequencies of a head of 16
VARIANTS = {
    "default": {},
    "linear": {"factor": 2.0},
    "dynamic": {"factor": 2.0},
    "yarn": {"factor": 4.0, "original_max_position_embeddings": 32},
    "llama3": {
        "factor": 4.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32,
    },
    "longrope": {
        "factor": 4.0,
        "short_factor": [1.0] * HALF,
        "long_factor": [2.0] * HALF,
        "original_max_position_embeddings": 32,
    },
}


def parameters(rope_type, **changes):
    return {"rope_type": rope_type, "rope_theta": 10_000.0, **VARIANTS[rope_type], **changes}


def denoise(model, known_positions, span_positions, z, known):
    memory = model.encode_context(known, position_ids=known_positions)
    return model(z, GAMMA, memory, z, position_ids=span_positions).logits


@pytest.fixture
def canvas():
    known_positions = torch.tensor([[0, 1, 5, 6]]).expand(2, -1)
    return known_positions, torch.tensor([[2, 3, 4]]).expand(2, -1), torch.randn(2, 3, 8), torch.randint(0, 24, (2, 4))


@pytest.mark.parametrize("rope_type", VARIANTS)
def test_every_scaling_variant_runs_and_is_relative(tiny, canvas, rope_type):
    model = tiny(rope_parameters=parameters(rope_type))
    known, spans, *rest = canvas
    here = denoise(model, known, spans, *rest)
    assert here.isfinite().all()
    for shift in (40, -300, 0.5):
        torch.testing.assert_close(denoise(model, known + shift, spans + shift, *rest), here, rtol=1e-3, atol=1e-3)
    assert (denoise(model, known, spans.flip(1), *rest) - here).abs().max() > 1e-3


@pytest.mark.parametrize("rope_type", ["linear", "yarn", "llama3"])
def test_scaling_changes_the_frequencies(tiny, rope_type):
    plain, scaled = tiny().rotary, tiny(rope_parameters=parameters(rope_type)).rotary
    assert scaled.inverse_frequency.shape == plain.inverse_frequency.shape
    assert (scaled.inverse_frequency <= plain.inverse_frequency * (1 + 1e-6)).all()
    assert (scaled.inverse_frequency < plain.inverse_frequency * 0.9).any()


def test_rope_turns_by_position_times_frequency():
    config = DenoiserConfig(hidden_size=32, num_attention_heads=2)
    cos, sin = RotaryEmbedding(config)(torch.tensor([[-2, 0, 7]]))
    frequency = 10_000.0 ** -(torch.arange(8) / 8)
    torch.testing.assert_close(cos[0, 0, 2, :8], (7 * frequency).cos())
    torch.testing.assert_close(sin[0, 0, 0, 8:], (-2 * frequency).sin())


def test_dynamic_scaling_needs_to_know_how_long_the_text_is(tiny):
    model = tiny(rope_parameters=parameters("dynamic"), max_position_embeddings=16)
    trained = model.rotary.inverse_frequency.clone()
    z, known = torch.randn(2, 20, 8), torch.randint(0, 24, (2, 4))
    with pytest.raises(ValueError, match=r"spans 20 positions, RoPE of type 'dynamic' is fitted to 16: call set_"):
        model(z, GAMMA)
    model(z, GAMMA, span_mask=(torch.arange(20) < 16).expand(2, -1))  # padding does not count

    stale = model.encode_context(known)
    model.set_sequence_length(32)
    assert (model.rotary.inverse_frequency[1:] < trained[1:]).all()
    assert model(z, GAMMA).logits.isfinite().all()
    with pytest.raises(ValueError, match="encoded with RoPE fitted to None tokens, now it is fitted to 32: encode"):
        model(z, GAMMA, stale)
    assert model(z, GAMMA, model.encode_context(known)).logits.isfinite().all()

    model.set_sequence_length(16)
    torch.testing.assert_close(model.rotary.inverse_frequency, trained)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        model.set_sequence_length(0)


def test_longrope_takes_its_long_factors_beyond_the_trained_length(tiny):
    model = tiny(rope_parameters=parameters("longrope"))
    short = model.rotary.inverse_frequency.clone()
    model.set_sequence_length(33)
    torch.testing.assert_close(model.rotary.inverse_frequency, short / 2)


def test_a_length_changes_nothing_for_static_variants(tiny):
    model = tiny(rope_parameters=parameters("yarn"))
    before = model.rotary.inverse_frequency.clone()
    model.set_sequence_length(4096)
    assert torch.equal(model.rotary.inverse_frequency, before)
    assert model(torch.randn(2, 200, 8), GAMMA).logits.isfinite().all()


def test_the_base_may_be_changed_at_load_time(tiny, tmp_path):
    tiny().save_pretrained(tmp_path)
    changed = {"rope_type": "default", "rope_theta": 500_000.0}
    model = SpanDenoiser.from_pretrained(tmp_path, rope_parameters=changed)
    torch.testing.assert_close(model.rotary.inverse_frequency, 500_000.0 ** -(torch.arange(8) / 8))
    for rope_type in ("linear", "yarn", "dynamic"):
        SpanDenoiser.from_pretrained(tmp_path, rope_parameters=parameters(rope_type))
    with pytest.raises(ValueError, match="need 'rope_theta', the base of RoPE"):
        SpanDenoiser.from_pretrained(tmp_path, rope_parameters={"rope_type": "linear", "factor": 2.0})
    with pytest.raises(ValueError, match="rope_type 'yarn' needs 'factor' in rope_parameters"):
        SpanDenoiser.from_pretrained(tmp_path, rope_parameters={"rope_type": "yarn", "rope_theta": 1e4})


def test_parameters_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="Missing required keys in `rope_parameters` for 'rope_type'='linear'"):
        DenoiserConfig(rope_parameters={"rope_type": "linear"})
    with pytest.raises(ValueError, match=r"rope_type must be one of \['default', 'dynamic'.*got 'spiral'"):
        SpanDenoiser(DenoiserConfig(rope_parameters={"rope_type": "spiral"}))
    with pytest.raises(ValueError, match="all 64 dimensions of a head, rope_parameters ask for 32"):
        SpanDenoiser(DenoiserConfig(rope_parameters={**parameters("linear"), "partial_rotary_factor": 0.5}))
    with pytest.raises(ValueError, match=r"position_kind must be one of \('rope', 'alibi'\), got 'sinus'"):
        DenoiserConfig(position_kind="sinus")


@pytest.mark.parametrize(
    ("heads", "slopes"),
    [
        (8, [2.0**-i for i in range(1, 9)]),  # Press et al. 2022, section 3
        (4, [2.0**-2, 2.0**-4, 2.0**-6, 2.0**-8]),
        (6, [2.0**-2, 2.0**-4, 2.0**-6, 2.0**-8, 2.0**-1, 2.0**-3]),  # the authors' code for other numbers
        (16, [2.0 ** -(i / 2) for i in range(1, 17)]),
    ],
)
def test_alibi_slopes_are_those_of_the_paper(heads, slopes):
    torch.testing.assert_close(alibi_slopes(heads), torch.tensor(slopes))


def test_the_bias_is_symmetric_and_falls_with_the_distance():
    positions = torch.tensor([[-3, 0, 2, 2.5]])
    bias = AlibiBias(2)(positions, positions)
    assert torch.equal(bias, bias.transpose(2, 3))
    assert (bias.diagonal(dim1=2, dim2=3) == 0).all()
    torch.testing.assert_close(bias[0, 0, 0], -torch.tensor([0, 3, 5, 5.5]) * 2.0**-4)


def test_alibi_is_relative_and_knows_order(tiny, canvas):
    model = tiny(position_kind="alibi")
    assert model.rotary is None
    known, spans, *rest = canvas
    here = denoise(model, known, spans, *rest)
    torch.testing.assert_close(denoise(model, known + 40, spans + 40, *rest), here, rtol=1e-3, atol=1e-4)
    assert (denoise(model, known, spans + 30, *rest) - here).abs().max() > 1e-3


@pytest.mark.parametrize("position_kind", ["rope", "alibi"])
def test_frequencies_stay_in_float32_when_the_model_does_not(tiny, tmp_path, position_kind):
    model = tiny(position_kind=position_kind, num_attention_heads=2)
    wanted = dict(model.named_buffers())
    assert len(wanted) == 2
    wanted = {name: buffer.clone() for name, buffer in wanted.items()}
    model.save_pretrained(tmp_path)
    loaded = SpanDenoiser.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert loaded.head.weight.dtype == torch.bfloat16
    for half in (loaded, model.to(torch.bfloat16), tiny(position_kind=position_kind).half()):
        for name, buffer in half.named_buffers():
            assert buffer.dtype == torch.float32
            assert torch.equal(buffer, wanted[name])
