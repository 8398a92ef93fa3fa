"""Perceiver latents: a memory of fixed length, whatever the context's."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

GAMMA = torch.tensor([0.5, -1.0])


def flops(function):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        function()
    return counter.get_total_flops()


@pytest.fixture(params=["rope", "alibi"])
def model(request, tiny):
    return tiny(num_latents=3, position_kind=request.param)


def test_the_cost_of_a_step_does_not_depend_on_the_length_of_the_context(model, tiny):
    z, ids = torch.randn(2, 4, 8), torch.randint(0, 24, (2, 96))
    model.set_attn_implementation("eager")  # its operations are all counted
    short, long = model.encode_context(ids[:, :6]), model.encode_context(ids)
    assert short.length == long.length == 3
    assert flops(lambda: model(z, GAMMA, short)) == flops(lambda: model(z, GAMMA, long))
    plain = tiny(attn_implementation="eager")
    short, long = plain.encode_context(ids[:, :6]), plain.encode_context(ids)
    assert flops(lambda: plain(z, GAMMA, short)) < flops(lambda: plain(z, GAMMA, long))


def test_padding_of_the_context_does_not_matter_and_its_content_does(model):
    z, ids = torch.randn(2, 4, 8), torch.randint(0, 24, (2, 5))
    mask = (torch.arange(9) < 5).expand(2, -1)
    padded = torch.cat((ids, torch.randint(0, 24, (2, 4))), 1)
    plain = model(z, GAMMA, model.encode_context(ids)).logits
    torch.testing.assert_close(
        model(z, GAMMA, model.encode_context(padded, mask=mask)).logits, plain, rtol=1e-4, atol=1e-5
    )
    other = ids.clone()
    other[:, 2] = (other[:, 2] + 1) % 24
    assert (model(z, GAMMA, model.encode_context(other)).logits - plain).abs().max() > 1e-4


def test_latents_know_the_order_of_the_context(model):
    z, ids = torch.randn(2, 4, 8), torch.arange(10).view(2, 5)
    there, back = model.encode_context(ids), model.encode_context(ids.flip(1))
    assert (model(z, GAMMA, there).logits - model(z, GAMMA, back).logits).abs().max() > 1e-4


def test_latents_stand_evenly_among_the_positions_in_use(model):
    positions = torch.tensor([[10, 13, 16, 0], [-4, 0, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0]], dtype=torch.bool)
    memory = model.encode_context(torch.randint(0, 24, (2, 4)), mask=mask, position_ids=positions)
    torch.testing.assert_close(memory.position_ids, torch.tensor([[11.0, 13.0, 15.0], [-4.0, -4.0, -4.0]]))


def test_a_row_without_context_is_as_if_there_were_no_memory(model):
    z, ids = torch.randn(2, 4, 8), torch.randint(0, 24, (2, 5))
    mask = torch.tensor([[1, 1, 1, 1, 1], [0, 0, 0, 0, 0]], dtype=torch.bool)
    memory = model.encode_context(ids, mask=mask)
    assert memory.mask.tolist() == [[True] * 3, [False] * 3]
    out = model(z, GAMMA, memory).logits
    torch.testing.assert_close(out[1], model(z, GAMMA).logits[1], rtol=1e-4, atol=1e-5)
    out.logsumexp(-1).sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_gradients_reach_latents_and_context(model):
    embeds = torch.randn(2, 5, 8, requires_grad=True)
    out = model(torch.randn(2, 4, 8), GAMMA, model.encode_context(inputs_embeds=embeds)).logits
    out.square().mean().backward()
    for name, parameter in model.resampler.named_parameters():
        assert parameter.grad.abs().max() > 0, name
    assert (embeds.grad.abs().amax(-1) > 0).all()
