"""LangFlow behind our mathematics: logits recomputed by hand, its place in the contract, gradients for every strategy."""

import math

import pytest
import torch
from test_token_models import context_of, draws_of, places_of
from torch.nn import functional as F

from diffusionlm.diffusion import NoisyEmbeddings, Posterior
from diffusionlm.families.tiny import tiny_loaded
from diffusionlm.spans import Canvas


@pytest.fixture(scope="module")
def loaded():
    return tiny_loaded("langflow")


def logits_by_hand(weights, z, gamma, estimate, heads):
    """The published computation, position by position and head by head, in float64 from the named weights alone."""
    w = {name: value.double() for name, value in weights.items()}
    table = w["vocab_embed.embedding"]
    size = table.shape[1]
    unit = table / table.norm(dim=-1, keepdim=True) * math.sqrt(size)
    z = z.double()
    estimate = torch.zeros_like(z) if estimate is None else estimate.double()
    hidden = z + torch.cat([z, estimate], -1) @ w["self_cond_proj.weight"].T
    angles = gamma * torch.tensor([math.exp(-math.log(10_000) * k / 128) for k in range(128)], dtype=torch.float64)
    waves = torch.cat([angles.cos(), angles.sin()])
    first = w["sigma_map.mlp.0.weight"] @ waves + w["sigma_map.mlp.0.bias"]
    told = w["sigma_map.mlp.2.weight"] @ (first * torch.sigmoid(first)) + w["sigma_map.mlp.2.bias"]
    told = told * torch.sigmoid(told)

    def norm(x, scale):
        mean, variance = x.mean(-1, keepdim=True), x.var(-1, unbiased=False, keepdim=True)
        return (x - mean) / (variance + 1e-5).sqrt() * scale

    def turn(x):
        half = x.shape[-1] // 2
        rates = torch.tensor([10_000.0 ** (-2 * k / x.shape[-1]) for k in range(half)], dtype=torch.float64)
        out = x.clone()
        for place in range(x.shape[1]):
            cos, sin = (place * rates).cos(), (place * rates).sin()
            a, b = x[:, place, :half], x[:, place, half:]
            out[:, place] = torch.cat([a * cos - b * sin, b * cos + a * sin], -1)
        return out

    for n in range(2):
        p = f"blocks.{n}."
        six = w[p + "adaLN_modulation.weight"] @ told + w[p + "adaLN_modulation.bias"]
        shift, scale, gate, shift2, scale2, gate2 = six.chunk(6)
        inner = norm(hidden, w[p + "norm1.weight"]) * (1 + scale) + shift
        q, k, v = (inner @ w[p + "attn_qkv.weight"].T).chunk(3, -1)
        width, parts = size // heads, []
        for head in range(heads):
            at = slice(head * width, (head + 1) * width)
            mixed = (turn(q[..., at]) @ turn(k[..., at]).transpose(1, 2) / math.sqrt(width)).softmax(-1)
            parts.append(mixed @ v[..., at])
        hidden = hidden + gate * (torch.cat(parts, -1) @ w[p + "attn_out.weight"].T)
        inner = norm(hidden, w[p + "norm2.weight"]) * (1 + scale2) + shift2
        up = inner @ w[p + "mlp.0.weight"].T + w[p + "mlp.0.bias"]
        up = 0.5 * up * (1 + torch.tanh(math.sqrt(2 / math.pi) * (up + 0.044715 * up**3)))
        hidden = hidden + gate2 * (up @ w[p + "mlp.2.weight"].T + w[p + "mlp.2.bias"])
    shift, scale = (w["output_layer.adaLN_modulation.weight"] @ told + w["output_layer.adaLN_modulation.bias"]).chunk(2)
    last = norm(hidden, w["output_layer.norm_final.weight"]) * (1 + scale) + shift
    prior = last @ w["output_layer.linear.weight"].T + w["output_layer.linear.bias"]
    noise = 1 / (1 + math.exp(-gamma))
    return prior + math.sqrt(1 - noise) / noise * (z @ unit.T)


@pytest.mark.parametrize("gamma", [-1.0, 2.5, 9.0])
@pytest.mark.parametrize("conditioned", [False, True])
def test_logits_are_those_of_the_published_computation(loaded, gamma, conditioned):
    denoiser = loaded.model.denoiser
    generator = torch.Generator().manual_seed(3)
    z, estimate = (torch.randn(2, 7, 32, generator=generator) for _ in range(2))
    with torch.no_grad():
        got = denoiser(z, torch.tensor(gamma), None, estimate if conditioned else None).logits
    expected = logits_by_hand(
        denoiser.backbone.state_dict(), z, gamma, estimate if conditioned else None, heads=4
    ).float()
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=0)
    if conditioned:
        without = denoiser(z, torch.tensor(gamma), None, None).logits
        assert (without - got).abs().max() > 1e-3


def test_known_text_stands_in_its_place_and_is_noised_to_the_level(loaded):
    model = loaded.model
    layout = Canvas.parse("The [SPAN:2] is near").lay_out(loaded.tokenizer, 4)
    places = places_of([layout])
    memory = model.condition(context_of([layout]), places)
    seen = {}
    original = model.denoiser.backbone.forward

    def spy(inputs, level, estimate=None, mask=None, at=None):
        seen.update(inputs=inputs, estimate=estimate)
        return original(inputs, level, estimate, mask, at)

    model.denoiser.backbone.forward = spy
    z, gamma = torch.randn(1, 2, 32), torch.tensor(0.7)
    clean = torch.randn(1, 2, 32)
    model.denoiser(z, gamma, memory, clean, places.span_mask)
    del model.denoiser.backbone.forward
    at = layout.span_positions
    torch.testing.assert_close(seen["inputs"][0, at], z[0])
    torch.testing.assert_close(seen["estimate"][0, at], clean[0])
    known, ids = layout.known_positions, layout.known_ids
    own = model.embeddings()[ids]
    torch.testing.assert_close(seen["estimate"][0, known], own)
    share = torch.sigmoid(gamma)
    expected = (1 - share).sqrt() * own + share.sqrt() * memory.noise[known]
    torch.testing.assert_close(seen["inputs"][0, known], expected, atol=1e-5, rtol=1e-5)


def test_a_row_does_not_depend_on_its_neighbours(loaded):
    layouts = [
        Canvas.parse(text).lay_out(loaded.tokenizer, 8) for text in ("The [SPAN:3] pub", "A [SPAN:5] near the river.")
    ]
    model, places = loaded.model, places_of(layouts)
    start = model.start(places, draws_of(layouts))
    gamma = torch.tensor(1.0)
    both = model.log_posterior(start, gamma, model.condition(context_of(layouts), places), places, None)
    own = places_of(layouts[:1])
    alone = NoisyEmbeddings(start.z[:1, :3], own.span_mask)
    one = model.log_posterior(alone, gamma, model.condition(context_of(layouts[:1]), own), own, None)
    finite = torch.isfinite(one)
    torch.testing.assert_close(both[:1, :3][finite], one[finite], atol=1e-4, rtol=1e-4)


def test_gradients_reach_the_latents_and_the_clean_estimate_follows_the_posterior(loaded):
    model = loaded.model
    layout = Canvas.parse("The [SPAN:3] pub").lay_out(loaded.tokenizer, 8)
    places = places_of([layout])
    condition = model.condition(context_of([layout]), places)
    z = model.start(places, draws_of([layout])).z.requires_grad_()
    logits = model.log_posterior(NoisyEmbeddings(z, places.span_mask), torch.tensor(2.0), condition, places, None)
    posterior = Posterior(logits.log_softmax(-1), model.embeddings())
    posterior.probs[..., 40].sum().backward()
    assert z.grad.abs().max() > 0
    torch.testing.assert_close(posterior.clean, posterior.probs @ F.normalize(model.embeddings(), dim=-1) * 32**0.5)
    special = sorted(loaded.tokenizer.vocabulary.special_ids - {loaded.tokenizer.pad_id})
    assert torch.isneginf(logits[..., special]).all()


def test_shapes_that_do_not_fit_are_refused(loaded):
    with pytest.raises(ValueError, match="latents must be"):
        loaded.model.denoiser(torch.zeros(1, 2, 7), torch.tensor(0.0))
