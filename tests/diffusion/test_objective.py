"""The loss: cross-entropy over the positions that count, with a first pass that leaves no gradient."""

import math

import pytest
import torch

from diffusionlm.diffusion import cross_entropy, diffusion_loss, draw_progress


@pytest.mark.parametrize("batch_size", [1, 2, 7, 64])
def test_each_share_of_the_range_gets_one_draw(batch_size):
    u = draw_progress(batch_size, torch.Generator().manual_seed(3))
    assert u.shape == (batch_size,)
    assert sorted((u * batch_size).long().tolist()) == list(range(batch_size))


def test_draws_are_uniform_for_every_sample_and_in_random_order():
    generator = torch.Generator().manual_seed(0)
    draws = torch.stack([draw_progress(8, generator) for _ in range(4000)])
    assert torch.allclose(draws.mean(0), torch.full((8,), 0.5), atol=4 / math.sqrt(12 * 4000))
    assert torch.allclose(draws.var(0), torch.full((8,), 1 / 12), atol=0.006)
    assert len({tuple(row.argsort().tolist()) for row in draws[:100]}) > 90


def test_one_generator_seed_gives_the_same_draws():
    first, second, other = (draw_progress(16, torch.Generator().manual_seed(seed)) for seed in (4, 4, 5))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_cross_entropy_is_the_mean_over_the_mask_in_nats():
    probabilities = torch.tensor([[[0.5, 0.5], [0.9, 0.1], [0.2, 0.8]]] * 2, dtype=torch.float64)
    tokens, mask = torch.tensor([[0, 1, 1]] * 2), torch.tensor([[True, True, False], [False, False, True]])
    expected = torch.tensor([-(math.log(0.5) + math.log(0.1)) / 2, -math.log(0.8)], dtype=torch.float64)
    assert torch.allclose(cross_entropy(probabilities.log(), tokens, mask), expected, atol=1e-14)


def test_what_is_masked_has_no_part_in_the_loss_or_its_gradient():
    logits = torch.randn(2, 3, 5)
    tokens, mask = torch.randint(0, 5, (2, 3)), torch.tensor([[True, False, True], [False, False, False]])
    expected = cross_entropy(logits, tokens, mask)
    spoiled = logits.masked_fill(~mask[..., None], float("inf")).requires_grad_()
    loss = cross_entropy(spoiled, tokens, mask)
    assert torch.equal(loss, expected)
    assert loss[1] == 0


def test_half_precision_logits_are_summed_in_single():
    logits = torch.randn(1, 4, 6).bfloat16()
    tokens, mask = torch.randint(0, 6, (1, 4)), torch.ones(1, 4, dtype=torch.bool)
    assert cross_entropy(logits, tokens, mask).dtype == torch.float32


class Recorder(torch.nn.Module):
    """A denoiser of one matrix that writes down how it was called."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(3, 5, dtype=torch.float64))
        self.calls = []

    def forward(self, latents, gamma, clean_estimate):
        self.calls.append((torch.is_grad_enabled(), clean_estimate))
        return (latents if clean_estimate is None else latents + clean_estimate) @ self.weight


@pytest.fixture
def batch():
    latents = torch.randn(2, 4, 3, dtype=torch.float64)
    return latents, torch.zeros(2), torch.randint(0, 5, (2, 4)), torch.ones(2, 4, dtype=torch.bool)


def test_self_conditioning_runs_a_first_pass_without_gradient(batch):
    denoise, embeddings = Recorder(), torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    loss = diffusion_loss(denoise, *batch, lambda logits: logits.softmax(-1) @ embeddings)
    assert [enabled for enabled, _ in denoise.calls] == [False, True]
    assert denoise.calls[0][1] is None
    estimate = denoise.calls[1][1]
    assert not estimate.requires_grad
    loss.sum().backward()
    assert embeddings.grad is None

    constant = denoise.weight.detach().clone().requires_grad_()
    cross_entropy((batch[0] + estimate) @ constant, *batch[2:]).sum().backward()
    assert torch.allclose(denoise.weight.grad, constant.grad)


def test_without_self_conditioning_there_is_one_pass(batch):
    denoise = Recorder()
    loss = diffusion_loss(denoise, *batch, None)
    assert [(enabled, estimate) for enabled, estimate in denoise.calls] == [(True, None)]
    assert torch.allclose(loss, cross_entropy(batch[0] @ denoise.weight, *batch[2:]))
