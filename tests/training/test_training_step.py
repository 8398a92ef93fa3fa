"""One pass of training: gradients for every weight, routers' figures, no graph breaks."""

import pytest
import torch

from diffusionlm.denoiser import DenoiserConfig, SpanDenoiser
from diffusionlm.training.step import TrainingStep


def make(**changes):
    shape = {"vocab_size": 23, "embedding_size": 8, "hidden_size": 16, "num_hidden_layers": 2}
    shape |= {"num_attention_heads": 2, "intermediate_size": 32, "condition_size": 8}
    torch.manual_seed(0)
    denoiser = SpanDenoiser(DenoiserConfig(**{**shape, **changes}))
    with torch.no_grad():  # the head and the modulation start at zero, which would hide missing gradients behind them
        for parameter in denoiser.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return denoiser, TrainingStep(denoiser)


def inputs(known=5, prompt=3, batch=4, length=8, self_condition=True):
    generator = torch.Generator().manual_seed(1)

    def ids(width):
        return torch.randint(1, 23, (batch, width), generator=generator)

    return {
        "span_ids": ids(length),
        "span_mask": torch.arange(length).expand(batch, -1) < torch.tensor([[8], [6], [7], [3]])[:batch],
        "span_positions": torch.arange(length).expand(batch, -1),
        "open_mask": torch.arange(length).expand(batch, -1) >= 4,
        "known_ids": ids(known),
        "known_mask": torch.ones(batch, known, dtype=torch.bool),
        "known_positions": torch.arange(known).expand(batch, -1) + length,
        "prompt_ids": ids(prompt),
        "prompt_mask": torch.ones(batch, prompt, dtype=torch.bool),
        "prompt_positions": torch.arange(prompt).expand(batch, -1) - prompt,
        "gamma": torch.linspace(-3, 5, batch),
        "noise": torch.randn(batch, length, 8, generator=generator),
        "likelihood_weight": torch.tensor(0.5),
        "self_condition": self_condition,
    }


@pytest.mark.parametrize("half", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("context", [(5, 3), (0, 0)], ids=["with context", "without context"])
def test_every_weight_that_is_used_learns_also_after_the_gradient_free_pass(half, context):
    # casts that autocast makes in the gradient-free pass must not be reused where gradients are needed
    denoiser, step = make()
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        losses, _ = step(**inputs(*context))
    losses.sum().backward()
    only_for_context = {"context_in.weight", "context_condition"}
    without = {name for name, p in denoiser.named_parameters() if p.grad is None or not bool(p.grad.any())}
    assert without == (set() if context[0] else only_for_context)


def test_positions_that_are_not_in_use_do_not_matter():
    _, step = make()
    given = inputs()
    losses, _ = step(**given)
    outside = ~given["span_mask"]
    changed = given | {
        "span_ids": given["span_ids"].masked_fill(outside, 9),
        "noise": given["noise"].masked_fill(outside[..., None], 5.0),
    }
    torch.testing.assert_close(step(**changed)[0], losses)


def test_known_text_and_prompt_are_seen():
    _, step = make()
    losses, _ = step(**inputs())
    for name in ("known_ids", "prompt_ids"):
        changed = inputs()
        changed[name] = changed[name] % 22 + 1
        assert not torch.allclose(step(**changed)[0], losses)


def test_self_conditioning_changes_the_loss_and_passes_no_gradient_back():
    _, step = make()
    with_it, without = step(**inputs())[0], step(**inputs(self_condition=False))[0]
    assert not torch.allclose(with_it, without)


def test_a_dense_network_has_no_figures_and_a_mixture_has_all():
    assert make()[1](**inputs())[1] == {}
    _, figures = make(num_experts=4)[1](**inputs())
    assert set(figures) == {"load_balancing_loss", "router_z_loss", "router_max_load", "router_entropy"}
    assert figures["load_balancing_loss"].requires_grad
    assert figures["router_z_loss"].requires_grad
    assert 0.25 <= float(figures["router_max_load"]) <= 0.5  # 4 experts, 2 a token: a half is the most one can have
    assert 0 < float(figures["router_entropy"]) <= torch.log(torch.tensor(4.0)) + 1e-5


def test_the_routers_that_encode_the_context_are_balanced_too():
    denoiser, step = make(num_experts=4)
    blocks = denoiser.config.num_hidden_layers
    seen = []
    for block in denoiser.blocks:
        block.feed_forward.router.register_forward_hook(lambda *given: seen.append(given[2][2].load_balancing_loss))
    _, figures = step(**inputs(self_condition=False))
    assert len(seen) == 3 * blocks  # prompt, known text, spans
    torch.testing.assert_close(figures["load_balancing_loss"], torch.stack(seen).mean())


def test_the_step_compiles_without_graph_breaks():
    _, step = make()
    compiled = torch.compile(step, dynamic=True, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(**inputs())[0], step(**inputs())[0])
    torch._dynamo.reset()
