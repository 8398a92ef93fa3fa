"""Mixture of experts: implementations agree, the router's figures are what the papers define."""

import math

import pytest
import torch

from diffusionlm.denoiser import DenoiserConfig, SpanDenoiser
from diffusionlm.denoiser.experts import Experts, MixtureOfExperts, Router, SwiGLU

IMPLEMENTATIONS = ("eager", "batched_mm", "grouped_mm")
GAMMA = torch.tensor([0.5, -1.0])
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2}


def config(**settings):
    small = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 48}
    return DenoiserConfig(**{**small, **EXPERTS, **settings})


def layer(kind, **settings):
    module = kind(config(**settings))
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return module


def test_all_implementations_give_the_same_values_and_gradients(tiny):
    model = tiny(**EXPERTS)
    z, known = torch.randn(2, 5, 8), torch.randint(0, 24, (2, 4))
    results, gradients = [], []
    for implementation in IMPLEMENTATIONS:
        model.set_experts_implementation(implementation)
        assert model.config._experts_implementation == implementation
        model.zero_grad()
        out = model(z, GAMMA, model.encode_context(known), z)
        (out.logits.logsumexp(-1).sum() + sum(r.load_balancing_loss + r.z_loss for r in out.routers)).backward()
        results.append(out.logits.detach())
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    for result, gradient in zip(results[1:], gradients[1:], strict=True):
        torch.testing.assert_close(result, results[0], rtol=1e-4, atol=1e-4)
        assert gradient.keys() == gradients[0].keys()
        for name, value in gradient.items():
            torch.testing.assert_close(value, gradients[0][name], rtol=1e-3, atol=1e-4, msg=lambda m, n=name: n + m)


def test_the_implementation_is_a_setting_and_grouped_by_default(tiny, tmp_path):
    assert tiny(**EXPERTS).config._experts_implementation == "grouped_mm"
    assert tiny(**EXPERTS, experts_implementation="eager").config._experts_implementation == "eager"
    tiny(**EXPERTS).save_pretrained(tmp_path)
    loaded = SpanDenoiser.from_pretrained(tmp_path, experts_implementation="batched_mm")
    assert loaded.config._experts_implementation == "batched_mm"
    with pytest.raises(ValueError, match='experts_implementation="eagre".*is not supported'):
        loaded.set_experts_implementation("eagre")


def test_an_expert_layer_is_the_weighted_sum_of_swiglus():
    mixture = layer(MixtureOfExperts, experts_implementation="eager")
    hidden = torch.randn(2, 3, 32)
    out, _ = mixture(hidden)
    dense = SwiGLU(config(intermediate_size=24))
    tokens = hidden.flatten(0, 1)
    index, weights, _ = mixture.router(tokens, None)
    for token in range(6):
        total = torch.zeros(32)
        for expert, weight in zip(index[token].tolist(), weights[token], strict=True):
            dense.gate_up_proj.weight.data = mixture.experts.gate_up_proj[expert].data
            dense.down_proj.weight.data = mixture.experts.down_proj[expert].data
            total = total + weight * dense(tokens[token])[0]
        torch.testing.assert_close(out.flatten(0, 1)[token], total, rtol=1e-4, atol=1e-5)


def test_the_router_takes_the_best_and_its_weights_sum_to_one():
    router, tokens = layer(Router), torch.randn(50, 32)
    index, weights, _ = router(tokens, None)
    logits = tokens @ router.weight.t()
    torch.testing.assert_close(weights.sum(-1), torch.ones(50))
    assert torch.equal(index, logits.topk(2, -1).indices)
    torch.testing.assert_close(weights, logits.topk(2, -1).values.softmax(-1))


def test_uniform_routing_costs_one_and_collapse_costs_more():
    router = layer(Router, num_experts_per_tok=1)
    with torch.no_grad():
        router.weight.copy_(torch.eye(4, 32) * 30)
    balanced = router(torch.eye(4, 32).repeat(5, 1), None)[2]
    assert balanced.load.tolist() == [0.25] * 4
    torch.testing.assert_close(balanced.load_balancing_loss, torch.tensor(1.0))
    collapsed = router(torch.eye(4, 32)[:1].repeat(20, 1), None)[2]
    assert collapsed.load.tolist() == [1, 0, 0, 0]
    torch.testing.assert_close(collapsed.load_balancing_loss, torch.tensor(4.0))


def test_z_loss_and_entropy_of_a_router_that_knows_nothing():
    router = layer(Router)
    with torch.no_grad():
        router.weight.zero_()
    statistics = router(torch.randn(7, 32), None)[2]
    torch.testing.assert_close(statistics.z_loss, torch.tensor(math.log(4) ** 2))  # Zoph et al. 2022, eq. 5
    torch.testing.assert_close(statistics.entropy, torch.tensor(math.log(4)))
    torch.testing.assert_close(statistics.load_balancing_loss, torch.tensor(1.0))


def test_masked_tokens_do_not_count():
    router, tokens = layer(Router), torch.randn(9, 32)
    mask = torch.arange(9) < 4
    some, masked = router(tokens[:4], None)[2], router(tokens, mask)[2]
    for name in ("load_balancing_loss", "z_loss", "load", "entropy"):
        torch.testing.assert_close(getattr(masked, name), getattr(some, name))


def test_routing_is_decided_in_float32_also_under_autocast():
    router, tokens = layer(Router), torch.randn(200, 32)
    exact = router(tokens, None)
    with torch.autocast("cpu", torch.bfloat16):
        index, weights, statistics = router(tokens, None)
    assert torch.equal(index, exact[0])
    assert torch.equal(weights, exact[1])
    assert statistics.z_loss.dtype == torch.float32


def test_an_idle_expert_gets_no_gradient_and_changes_nothing():
    experts = layer(Experts, experts_implementation="eager")
    tokens, index, weights = torch.randn(5, 32), torch.tensor([[0, 2]] * 5), torch.full((5, 2), 0.5)
    before = experts(tokens, index, weights)
    before.sum().backward()
    assert experts.gate_up_proj.grad[1].abs().max() == 0
    assert experts.gate_up_proj.grad[2].abs().max() > 0
    with torch.no_grad():
        experts.down_proj[3] += 1
    assert torch.equal(experts(tokens, index, weights), before)


def test_the_context_counts_in_the_load_balance_too(tiny):
    model = tiny(**EXPERTS)
    memory = model.encode_context(torch.randint(0, 24, (2, 4)))
    assert len(memory.routers) == 2
    assert len(model(torch.randn(2, 3, 8), GAMMA).routers) == 2
    assert len(model(torch.randn(2, 3, 8), GAMMA, memory).routers) == 4
    assert tiny()(torch.randn(2, 3, 8), GAMMA).routers is None


def test_active_parameters_are_those_of_the_dense_layer():
    dense, mixture = SwiGLU(config()), Experts(config(num_experts=8))
    count = sum(p.numel() for p in dense.parameters())
    assert sum(p.numel() for p in mixture.parameters()) == 8 // 2 * count


@pytest.mark.parametrize("settings", [{"num_experts": 2, "num_experts_per_tok": 3}, {"num_experts": -1}])
def test_impossible_numbers_of_experts_are_refused(settings):
    with pytest.raises(ValueError, match="num_experts"):
        DenoiserConfig(**settings)
