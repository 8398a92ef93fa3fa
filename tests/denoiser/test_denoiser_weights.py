"""Saving and loading: nothing is lost, and damage is found at once."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from diffusionlm.denoiser import SpanDenoiser, check_finite

GAMMA = torch.tensor([0.5, -1.0])


@pytest.fixture
def folder(tiny, tmp_path):
    tiny().save_pretrained(tmp_path)
    return tmp_path


def rewrite(folder, change):
    """Applies ``change`` to the stored tensors."""
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"position_kind": "alibi"},
        {"num_experts": 3},
        {"num_latents": 2},
        {"rope_parameters": {"rope_type": "yarn", "rope_theta": 500.0, "factor": 2.0}},
    ],
    ids=["dense", "alibi", "experts", "latents", "yarn"],
)
def test_a_saved_denoiser_comes_back_the_same(tiny, tmp_path, settings):
    model = tiny(**settings)
    model.save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "model.safetensors"}
    loaded = SpanDenoiser.from_pretrained(tmp_path)
    assert not loaded.training
    assert loaded.config.to_diff_dict() == {**model.config.to_diff_dict(), **_loading(loaded)}
    for name, parameter in model.named_parameters():
        assert torch.equal(loaded.get_parameter(name), parameter)
    for name, buffer in model.named_buffers():  # not in the file: computed again
        assert torch.equal(loaded.get_buffer(name), buffer)
    z, known = torch.randn(2, 3, 8), torch.randint(0, 24, (2, 4))
    results = [m(z, GAMMA, m.encode_context(known), z).logits for m in (model, loaded)]
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-5)


def _loading(model):
    keys = ("_name_or_path", "architectures", "dtype", "transformers_version")
    return {key: value for key, value in model.config.to_diff_dict().items() if key in keys}


def test_half_precision_loads_and_runs(folder, tiny):
    model = SpanDenoiser.from_pretrained(folder, dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    z, known = torch.randn(2, 3, 8), torch.randint(0, 24, (2, 4))
    out = model(z, GAMMA, model.encode_context(known)).logits
    full = tiny()
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, full(z, GAMMA, full.encode_context(known)).logits, rtol=0.05, atol=0.3)


def test_missing_weights_are_named_unless_allowed(folder):
    rewrite(folder, lambda tensors: tensors.pop("blocks.1.attention.q_proj.weight"))
    with pytest.raises(ValueError, match=r"lacks 1 parameters .*\(blocks\.1\.attention\.q_proj\.weight\).*allow_mi"):
        SpanDenoiser.from_pretrained(folder)
    model = SpanDenoiser.from_pretrained(folder, allow_missing=True)
    assert 0 < model.blocks[1].attention.q_proj.weight.std() < 1


def test_a_network_may_grow_from_a_checkpoint(folder, tiny):
    model, info = SpanDenoiser.from_pretrained(folder, num_latents=4, allow_missing=True, output_loading_info=True)
    assert all(name.startswith("resampler.") for name in info["missing_keys"])
    assert torch.equal(model.head.weight, tiny().head.weight)
    memory = model.encode_context(torch.randint(0, 24, (2, 9)))
    assert model(torch.randn(2, 3, 8), GAMMA, memory).logits.isfinite().all()


def test_unknown_weights_are_named(folder):
    rewrite(folder, lambda tensors: tensors.update({"blocks.9.extra": torch.zeros(2)}))
    with pytest.raises(ValueError, match=r"holds 1 parameters that this configuration does not know \(blocks\.9\.ext"):
        SpanDenoiser.from_pretrained(folder)


def test_weights_of_another_shape_are_refused(folder):
    rewrite(folder, lambda tensors: tensors.update({"head.bias": torch.zeros(7)}))
    with pytest.raises(ValueError, match=r"does not fit its configuration \(head\.bias \(7,\), not \(24,\)\): check"):
        SpanDenoiser.from_pretrained(folder)
    loaded = SpanDenoiser.from_pretrained(folder, ignore_mismatched_sizes=True)
    assert loaded.head.bias.shape == (24,)


@pytest.mark.parametrize("keep", [5, 500, -8])
def test_a_truncated_file_is_refused(folder, keep):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(OSError, match=r"are cut off or altered .*copy or download the checkpoint again"):
        SpanDenoiser.from_pretrained(folder)


def test_missing_files_are_named(folder, tmp_path):
    (folder / "model.safetensors").unlink()
    with pytest.raises(OSError, match=r"model\.safetensors"):
        SpanDenoiser.from_pretrained(folder)
    with pytest.raises(OSError, match="nowhere"):
        SpanDenoiser.from_pretrained(tmp_path / "nowhere")


def test_a_configuration_of_a_later_version_is_refused(folder):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "config_version": 99}))
    with pytest.raises(ValueError, match="config version 99, this library reads up to 1: upgrade diffusionlm"):
        SpanDenoiser.from_pretrained(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_check_finite_names_the_damaged_parameter(tiny, value):
    model = tiny()
    check_finite(model)
    with torch.no_grad():
        model.blocks[1].attention.v_proj.weight[3, 4] = value
        model.blocks[1].attention.v_proj.weight[0, 0] = -value
    with pytest.raises(ValueError, match=r"2 of 1024 values of 'blocks\.1\.attention\.v_proj\.weight' are NaN or in"):
        check_finite(model)
