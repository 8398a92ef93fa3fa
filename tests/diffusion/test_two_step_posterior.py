"""The one step of a distilled posterior leads where two steps lead; KL divergence from it is zero where it is met."""

import pytest
import torch
from torch.nn import functional as F

from diffusionlm.diffusion.distillation import divergence, first_share, two_step_posterior
from diffusionlm.samplers.gaussian.euler import euler_step

LEVELS = [(10.0, 3.0, -8.0), (2.0, 1.0, 0.5), (-3.0, -3.0001, -3.0002), (10.0, 9.9999, -8.0), (1.0, -7.9999, -8.0)]


@pytest.mark.parametrize("levels", LEVELS)
def test_one_step_with_the_mixed_posterior_ends_where_two_steps_end(levels):
    start, middle, end = (torch.tensor(level, dtype=torch.float64) for level in levels)
    embeddings = torch.randn(7, 3, dtype=torch.float64)
    latents = torch.randn(2, 4, 3, dtype=torch.float64)
    first, second = (torch.randn(2, 4, 7, dtype=torch.float64).log_softmax(-1) for _ in range(2))
    halfway = euler_step(first.exp() @ embeddings, latents, start, middle)
    two = euler_step(second.exp() @ embeddings, halfway, middle, end)
    share = first_share(start, middle, end)
    mixed = two_step_posterior(first, second, share.expand(2))
    one = euler_step(mixed @ embeddings, latents, start, end)
    torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-9)
    assert 0 < float(share) < 1
    torch.testing.assert_close(mixed.sum(-1), torch.ones(2, 4, dtype=torch.float64))


def test_the_share_of_equal_posteriors_does_not_matter():
    log_probs = torch.randn(2, 3, 5).log_softmax(-1)
    mixed = two_step_posterior(log_probs, log_probs, torch.tensor([0.1, 0.9]))
    torch.testing.assert_close(mixed, log_probs.exp())


def test_divergence_is_torch_s_where_positions_count_and_zero_at_the_target():
    target = torch.randn(2, 3, 5).softmax(-1)
    target[0, 0] = F.one_hot(torch.tensor(2), 5)  # certain: 0 log 0 counts nothing
    logits = torch.randn(2, 3, 5, requires_grad=True)
    mask = torch.tensor([[True, True, False], [False, False, False]])
    found = divergence(target, logits, mask)
    whole = F.kl_div(logits.log_softmax(-1), target, reduction="none").sum(-1)
    torch.testing.assert_close(found[0], whole[0, :2].mean())
    assert found[1].item() == 0
    met = target.clamp_min(1e-30).log().requires_grad_()
    apart = divergence(target, met, torch.ones(2, 3, dtype=torch.bool))
    torch.testing.assert_close(apart, torch.zeros(2), rtol=0, atol=1e-6)
    apart.sum().backward()
    torch.testing.assert_close(met.grad, torch.zeros_like(met), rtol=0, atol=1e-6)
