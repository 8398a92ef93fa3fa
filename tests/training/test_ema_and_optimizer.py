"""The average of the weights, the learning-rate curve, and which optimiser moves which parameter."""

import math

import pytest
import torch
from torch import nn

from diffusionlm.denoiser import DenoiserConfig, SpanDenoiser
from diffusionlm.training.ema import WeightAverage
from diffusionlm.training.muon import Muon, orthogonalised
from diffusionlm.training.optimizer import build_optimizers, learning_rate_scale, set_learning_rate


def walk(decay, steps):
    """A parameter that walks 1, 2, ..., and its average."""
    model = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(0.0)
    average = WeightAverage(model, decay)
    for step in range(steps):
        with torch.no_grad():
            model.weight.fill_(step + 1.0)
        average.update(model, step)
    return average.state_dict()["weight"].item()


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("steps", [1, 7, 60])
def test_the_average_is_its_closed_form(decay, steps):
    decays = [min(decay, (1 + step) / (10 + step)) for step in range(steps)]
    closed = sum((1 - decays[i]) * math.prod(decays[i + 1 :]) * (i + 1.0) for i in range(steps))
    assert walk(decay, steps) == pytest.approx(closed, rel=1e-5)


def test_the_average_carries_float32_for_half_precision_weights():
    model = nn.Linear(1, 1, bias=False).to(torch.bfloat16)
    average = WeightAverage(model, 0.999)
    for step in range(3):
        with torch.no_grad():
            model.weight.add_(1)
        average.update(model, step + 10_000)
    assert average.state_dict()["weight"].dtype == torch.float32
    assert average.state_dict()["weight"].item() != model.weight.item()


def test_averages_are_in_place_inside_the_block_only_even_if_it_raises():
    model = nn.Linear(2, 2)
    average = WeightAverage(model, 0.9)
    before = model.weight.detach().clone()
    with torch.no_grad():
        model.weight.add_(1.0)
    with pytest.raises(KeyError), average.applied(model):  # noqa: PT012
        assert torch.equal(model.weight, before)
        raise KeyError
    assert torch.equal(model.weight, before + 1.0)


def test_the_state_comes_back_and_one_that_does_not_fit_changes_nothing():
    model, other = nn.Linear(2, 2), nn.Linear(2, 2)
    average, again = WeightAverage(model), WeightAverage(other)
    again.load_state_dict(average.state_dict())
    assert all(torch.equal(one, two) for one, two in zip(again.average, average.average, strict=True))
    narrow = WeightAverage(nn.Linear(3, 2))
    before = [value.clone() for value in narrow.average]
    with pytest.raises(ValueError, match=r"weight has shape \(2, 2\), not \(2, 3\)"):
        narrow.load_state_dict(average.state_dict())
    assert all(torch.equal(one, two) for one, two in zip(narrow.average, before, strict=True))


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_a_decay_outside_its_range_is_refused(decay):
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\)"):
        WeightAverage(nn.Linear(1, 1), decay)


def test_the_learning_rate_rises_stays_and_falls_to_zero():
    curve = [learning_rate_scale(step, 4, 8, 12) for step in range(13)]
    assert curve == [0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0]
    assert [learning_rate_scale(step, 0, 12, 12) for step in range(12)] == [1.0] * 12


def test_every_group_follows_the_curve_from_its_own_rate():
    model = SpanDenoiser(tiny())
    optimizers = build_optimizers(model, "muon", learning_rate=2e-3, matrix_learning_rate=6e-3)
    set_learning_rate(optimizers, 0.5)
    set_learning_rate(optimizers, 0.25)
    rates = [[group["lr"] for group in optimizer.param_groups] for optimizer in optimizers]
    assert rates == [[5e-4, 5e-4], [1.5e-3]]


def tiny(**changes):
    shape = {"vocab_size": 11, "embedding_size": 8, "hidden_size": 16, "num_hidden_layers": 2}
    shape |= {"num_attention_heads": 2, "intermediate_size": 32, "condition_size": 8}
    return DenoiserConfig(**shape, **changes)


def names_by_group(model, optimizer):
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [{names[id(p)] for p in group["params"]} for group in optimizer.param_groups]


@pytest.mark.parametrize("experts", [0, 4])
def test_muon_moves_the_matrices_of_the_blocks_and_adamw_the_rest(experts):
    model = SpanDenoiser(tiny(num_experts=experts))
    adamw, muon = build_optimizers(model, "muon")
    decayed, plain = names_by_group(model, adamw)
    (matrices,) = names_by_group(model, muon)
    assert decayed | plain | matrices == {name for name, _ in model.named_parameters()}
    assert len(decayed) + len(plain) + len(matrices) == len(list(model.named_parameters()))
    assert "blocks.0.attention.q_proj.weight" in matrices
    assert all(name.startswith("blocks.") and "modulation" not in name for name in matrices)
    assert ("blocks.0.feed_forward.experts.down_proj" in matrices) == bool(experts)
    assert {"span_in.weight", "head.weight", "blocks.0.modulation.weight"} <= decayed
    assert {"embeddings", "head.bias", "out_norm.weight", "open_span"} <= plain
    assert [group["weight_decay"] for group in adamw.param_groups] == [0.01, 0.0]


def test_a_step_of_muon_is_that_of_torch():
    """In float32; torch's own iterates in bfloat16, so that the two agree to its precision."""
    torch.manual_seed(0)
    shapes = [(12, 12), (12, 40), (40, 12), (12, 12)]
    ours = [nn.Parameter(torch.randn(shape)) for shape in shapes]
    theirs = [nn.Parameter(value.detach().clone()) for value in ours]
    optimizers = (
        Muon(ours, lr=0.02, weight_decay=0.1, dtype=torch.float32),
        torch.optim.Muon(theirs, lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
    )
    start = [value.detach().clone() for value in ours]
    for _ in range(3):
        for mine, other in zip(ours, theirs, strict=True):
            mine.grad = torch.randn_like(mine)
            other.grad = mine.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for mine, other, before in zip(ours, theirs, start, strict=True):
        assert (mine - other).norm() < 0.05 * (mine - before).norm()
    for mine, other in zip(ours, theirs, strict=True):
        momenta = [o.state[p]["momentum_buffer"] for o, p in zip(optimizers, (mine, other), strict=True)]
        assert torch.equal(*momenta)


@pytest.mark.parametrize("shape", [(3, 20, 20), (2, 8, 30), (2, 30, 8)])
def test_orthogonalised_matrices_keep_their_directions_and_lose_their_sizes(shape):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    found = u.mT @ orthogonalised(matrices) @ v.mT
    values = found.diagonal(dim1=1, dim2=2)
    assert float(values.min()) > 0.3
    assert float(values.max()) < 1.5
    torch.testing.assert_close(found, torch.diag_embed(values), atol=1e-4, rtol=0)


def test_a_stack_is_stepped_as_its_matrices_one_by_one():
    torch.manual_seed(0)
    stack = nn.Parameter(torch.randn(3, 12, 20))
    alone = [nn.Parameter(matrix.clone()) for matrix in stack.detach()]
    optimizers = Muon([stack], lr=0.02, dtype=torch.float32), Muon(alone, lr=0.02, dtype=torch.float32)
    for _ in range(2):
        stack.grad = torch.randn_like(stack)
        for matrix, gradient in zip(alone, stack.grad, strict=True):
            matrix.grad = gradient.clone()
        for optimizer in optimizers:
            optimizer.step()
    torch.testing.assert_close(stack.detach(), torch.stack([matrix.detach() for matrix in alone]))


def test_muon_steps_matrices_only():
    with pytest.raises(ValueError, match=r"got a parameter of the shape \(3,\)"):
        Muon([nn.Parameter(torch.zeros(3))])


def test_adamw_alone_moves_everything():
    model = SpanDenoiser(tiny())
    (adamw,) = build_optimizers(model, "adamw", weight_decay=0.1)
    assert set().union(*names_by_group(model, adamw)) == {name for name, _ in model.named_parameters()}


def test_frozen_parameters_are_left_alone():
    model = SpanDenoiser(tiny())
    model.embeddings.requires_grad_(False)
    held = set().union(*(names for o in build_optimizers(model) for names in names_by_group(model, o)))
    assert held == {name for name, _ in model.named_parameters()} - {"embeddings"}


def test_an_unknown_optimizer_is_refused():
    with pytest.raises(ValueError, match="Unknown optimizer 'sgd'; allowed are"):
        build_optimizers(nn.Linear(1, 1), "sgd")
