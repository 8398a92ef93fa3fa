"""torch.compile takes a whole denoising step, without graph breaks."""

import pytest
import torch

from diffusionlm.denoiser import CANVAS, PROMPT, ContextMemory

GAMMA = torch.tensor([0.5, -1.0])


def step_inputs(model):
    z, ids = torch.randn(2, 3, 8), torch.randint(0, 24, (2, 4))
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]], dtype=torch.bool)
    sources = [model.encode_context(ids, mask=mask, segment=segment) for segment in (CANVAS, PROMPT)]
    span_mask = torch.tensor([[1, 1, 1], [1, 1, 0]], dtype=torch.bool)
    positions = torch.arange(3).expand(2, -1)
    return z, GAMMA, ContextMemory.concat(sources), z, span_mask, positions, span_mask


@pytest.fixture
def compiled():
    """Compiles with ``fullgraph=True`` (a graph break raises), and forgets it all afterwards."""
    yield lambda function, **settings: torch.compile(function, fullgraph=True, **settings)
    torch.compiler.reset()


@pytest.mark.parametrize(
    ("settings", "gradients"),
    [
        ({}, False),
        ({}, True),
        ({"position_kind": "alibi"}, False),
        ({"num_experts": 3}, False),
        ({"num_experts": 3}, True),
        ({"num_latents": 2}, False),
        ({"attn_implementation": "eager"}, False),
    ],
    ids=["rope", "rope training", "alibi", "experts", "experts training", "latents", "eager attention"],
)
def test_a_step_is_one_graph(tiny, compiled, settings, gradients):
    model = tiny(**settings, num_hidden_layers=1)
    with torch.set_grad_enabled(gradients):
        inputs = step_inputs(model)
        plain = model(*inputs).logits
        # traced, differentiated and decomposed, but run by PyTorch's own kernels: generating code takes a minute
        graph = compiled(model, backend="aot_eager")(*inputs).logits
    assert graph.requires_grad == gradients
    torch.testing.assert_close(graph, plain, rtol=1e-4, atol=1e-4)
    if gradients:
        graph.logsumexp(-1).sum().backward()
        assert model.blocks[0].attention.k_proj.weight.grad.abs().max() > 0


def test_encoding_the_context_is_one_graph(tiny, compiled):
    model, ids = tiny(num_latents=2), torch.randint(0, 24, (2, 4))
    memory = compiled(model.encode_context, backend="eager")(ids)
    torch.testing.assert_close(memory.keys, model.encode_context(ids).keys)
