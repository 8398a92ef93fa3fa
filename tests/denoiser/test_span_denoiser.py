"""The denoiser as a whole: initial state, noise level, self-conditioning, precision, adapters, bad input."""

import math
import warnings

import pytest
import torch
from torch import nn

from diffusionlm.denoiser import DenoiserConfig, SpanDenoiser
from diffusionlm.denoiser.norms import RMSNorm
from diffusionlm.diffusion.process import token_log_likelihood

GAMMA = torch.tensor([0.5, -1.0])


def z_and_ids():
    return torch.randn(2, 3, 8), torch.randint(0, 24, (2, 4))


def fresh(**settings):
    small = {"vocab_size": 24, "embedding_size": 8, "hidden_size": 32, "num_attention_heads": 2}
    return SpanDenoiser(DenoiserConfig(**{**small, **settings}))


def test_an_untrained_denoiser_gives_the_exact_likelihood_and_nothing_else():
    model, (z, ids) = fresh(), z_and_ids()
    logits = model(z, GAMMA, model.encode_context(ids), z).logits
    torch.testing.assert_close(logits, token_log_likelihood(z, model.unit_embeddings(), GAMMA))
    faded = model(z, GAMMA, likelihood_weight=0.0).logits
    assert faded.abs().max() == 0


def test_modulation_starts_as_the_identity_with_gates_of_a_tenth():
    for block in fresh().blocks:
        shift_a, scale_a, gate_a, shift_f, scale_f, gate_f = block.modulation(torch.randn(1, 128)).chunk(6, -1)
        for zero in (shift_a, scale_a, shift_f, scale_f):
            assert (zero == 0).all()
        for gate in (gate_a, gate_f):
            torch.testing.assert_close(gate, torch.full_like(gate, 0.1))


def test_all_embeddings_have_the_length_sqrt_d(tiny):
    model = tiny()
    torch.testing.assert_close(model.unit_embeddings().norm(dim=-1), torch.full((24,), math.sqrt(8)))
    ids = torch.tensor([[3, 5]])
    assert torch.equal(model.embed(ids)[0], model.unit_embeddings()[[3, 5]])
    one_hot = nn.functional.one_hot(ids, 24).float()
    torch.testing.assert_close(model.clean_estimate(one_hot), model.embed(ids))


def test_gamma_may_be_a_scalar_and_matters(tiny):
    model, (z, ids) = tiny(), z_and_ids()
    memory = model.encode_context(ids)
    scalar = model(z, torch.tensor(0.7), memory, likelihood_weight=0.0).logits
    assert torch.equal(scalar, model(z, torch.tensor([0.7, 0.7]), memory, likelihood_weight=0.0).logits)
    assert (scalar - model(z, torch.tensor(2.0), memory, likelihood_weight=0.0).logits).abs().max() > 1e-2


def test_the_noise_level_of_one_sample_does_not_reach_another(tiny):
    model, (z, _) = tiny(), z_and_ids()
    apart, together = model(z, torch.tensor([0.7, -3.0])).logits, model(z, torch.tensor(0.7)).logits
    torch.testing.assert_close(apart[0], together[0])
    assert (apart[1] - together[1]).abs().max() > 1e-2


def test_self_conditioning_and_open_spans_matter(tiny):
    model, (z, _) = tiny(), z_and_ids()
    plain = model(z, GAMMA).logits
    torch.testing.assert_close(model(z, GAMMA, None, torch.zeros_like(z)).logits, plain)
    assert (model(z, GAMMA, None, z).logits - plain).abs().max() > 1e-2
    closed = torch.zeros(2, 3, dtype=torch.bool)
    torch.testing.assert_close(model(z, GAMMA, open_mask=closed).logits, plain)
    opened = model(z, GAMMA, open_mask=~closed).logits
    assert (opened - plain).abs().max() > 1e-4


def test_rms_norm_is_the_textbook_one_and_keeps_the_dtype_of_its_input():
    norm, x = RMSNorm(16, eps=1e-6), torch.randn(5, 16)
    with torch.no_grad():
        norm.weight.normal_()
    torch.testing.assert_close(norm(x), x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() * norm.weight)
    assert norm(x.bfloat16()).dtype == torch.bfloat16
    bare = RMSNorm(16, eps=1e-6, elementwise_affine=False)
    torch.testing.assert_close(bare(x).square().mean(-1), torch.ones(5))


@pytest.mark.parametrize("settings", [{}, {"position_kind": "alibi"}, {"num_experts": 3}, {"num_latents": 2}])
def test_autocast_runs_without_warnings_and_close_to_float32(tiny, settings):
    model, (z, ids) = tiny(**settings), z_and_ids()
    full = model(z, GAMMA, model.encode_context(ids), z).logits
    with warnings.catch_warnings(), torch.autocast("cpu", torch.bfloat16):
        warnings.simplefilter("error")
        half = model(z, GAMMA, model.encode_context(ids), z).logits
    half.logsumexp(-1).sum().backward()
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, full, rtol=0.05, atol=0.3)


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*is deprecated:FutureWarning")
@pytest.mark.parametrize("settings", [{}, {"num_experts": 3}, {"position_kind": "alibi"}])
def test_gradient_checkpointing_gives_the_same_gradients(tiny, settings):
    model, (z, ids) = tiny(**settings).train(), z_and_ids()
    gradients = []
    for checkpointing in (False, True):
        if checkpointing:
            model.gradient_checkpointing_enable()
        assert model.is_gradient_checkpointing == checkpointing
        model.zero_grad()
        model(z, GAMMA, model.encode_context(ids), z).logits.logsumexp(-1).sum().backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    assert "blocks.0.attention.k_proj.weight" in gradients[0]
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=lambda m, n=name: n + m)


def test_every_parameter_learns(tiny):
    model, (z, ids) = tiny(num_experts=2, num_latents=2), z_and_ids()
    memory = model.encode_context(ids)
    open_mask = torch.ones(2, 3, dtype=torch.bool)
    model(z, GAMMA, memory, z, open_mask=open_mask).logits.square().mean().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_lora_attaches_by_name_and_learns(tiny, tmp_path):
    peft = pytest.importorskip("peft")
    model, (z, ids) = tiny(), z_and_ids()
    with torch.no_grad():
        before = model(z, GAMMA, model.encode_context(ids)).logits
    adapted = peft.get_peft_model(model, peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"]))
    learning = {name for name, p in adapted.named_parameters() if p.requires_grad}
    assert len(learning) == 8  # 2 blocks, 2 maps, 2 factors
    assert all("lora_" in name for name in learning)
    target, losses = torch.randint(0, 24, (2, 3)), []
    optimizer = torch.optim.AdamW([p for p in adapted.parameters() if p.requires_grad], lr=0.02)
    for _ in range(20):
        logits = adapted(latents=z, gamma=GAMMA, memory=adapted.encode_context(ids)).logits
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
    adapted.save_pretrained(tmp_path)
    with torch.no_grad():
        after = adapted(z, GAMMA, adapted.encode_context(ids)).logits
        again = peft.PeftModel.from_pretrained(tiny(), tmp_path)
        torch.testing.assert_close(again(z, GAMMA, again.encode_context(ids)).logits, after)
        with adapted.disable_adapter():
            torch.testing.assert_close(adapted(z, GAMMA, adapted.encode_context(ids)).logits, before)


def test_wrong_shapes_are_named(tiny):
    model, (z, _) = tiny(), z_and_ids()
    with pytest.raises(ValueError, match=r"latents must be \(B, L, 8\), got \(2, 3, 5\)"):
        model(torch.randn(2, 3, 5), GAMMA)
    with pytest.raises(ValueError, match=r"latents must be \(B, L, 8\), got \(2, 0, 8\)"):
        model(torch.randn(2, 0, 8), GAMMA)
    with pytest.raises(ValueError, match=r"gamma must have the shape \(2,\), got \(3,\)"):
        model(z, torch.zeros(3))
    with pytest.raises(ValueError, match=r"clean_estimate must have the shape \(2, 3, 8\), got \(2, 4, 8\)"):
        model(z, GAMMA, None, torch.randn(2, 4, 8))
    for name in ("span_mask", "position_ids", "open_mask"):
        with pytest.raises(ValueError, match=rf"{name} must have the shape \(2, 3\), got \(3,\)"):
            model(z, GAMMA, **{name: torch.ones(3, dtype=torch.bool)})


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"hidden_size": 0}, "hidden_size must be a positive integer, got 0"),
        ({"num_hidden_layers": 2.5}, "num_hidden_layers must be a positive integer, got 2.5"),
        (
            {"hidden_size": 30, "num_attention_heads": 4},
            r"hidden_size \(30\) must be an even multiple of num_attention",
        ),
        ({"pad_token_id": 5000}, r"pad_token_id must lie in 0\.\.1023, got 5000"),
        ({"num_latents": -1}, r"num_latents must be 0 \(none\) or a positive integer, got -1"),
    ],
)
def test_settings_out_of_range_are_named(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        DenoiserConfig(**settings)
