"""The masked process: the bound in closed form, hidden shares, and joint draws that keep every rule."""

import math

import pytest
import torch

from diffusionlm.diffusion import (
    MaskingSchedule,
    NoisyTokens,
    Posterior,
    hide,
    masked_bound,
    masked_cross_entropy,
    schedule_from_dict,
)


def generators(count):
    return [torch.Generator().manual_seed(row) for row in range(count)]


def test_the_bound_of_a_uniform_predictor_is_the_entropy_of_uniform_text():
    tokens, mask = torch.randint(0, 7, (64, 10)), torch.ones(64, 10, dtype=torch.bool)
    mask[:, 8:] = False
    bound = masked_bound(lambda hidden, gamma: torch.zeros(64, 10, 7), tokens, mask, 64, generators(64))
    assert float(bound.mean()) == pytest.approx(8 * math.log(7), rel=0.02)


def test_the_bound_of_the_true_conditionals_is_the_entropy_of_a_copied_token():
    """Two equal tokens: one bit of log V in all, however the order falls."""
    tokens = torch.randint(0, 5, (256, 1)).expand(-1, 2).contiguous()
    mask = torch.ones(256, 2, dtype=torch.bool)

    def logits_of(hidden, gamma):
        logits = torch.zeros(256, 2, 5)
        for at in range(2):
            seen = ~hidden[:, 1 - at]
            logits[seen, at] = -50.0
            logits[seen, at, tokens[seen, 1 - at]] = 50.0
        return logits

    bound = masked_bound(logits_of, tokens, mask, 64, generators(256))
    assert float(bound.mean()) == pytest.approx(math.log(5), rel=0.03)


def test_the_hidden_share_is_the_sigmoid_of_gamma():
    noise = torch.randn(4, 20_000, generator=torch.Generator().manual_seed(0))
    gamma = torch.tensor([-2.0, 0.0, 1.0, 5.0])
    hidden = hide(noise, gamma, torch.ones(4, 20_000, dtype=torch.bool))
    torch.testing.assert_close(hidden.float().mean(1), torch.sigmoid(gamma), atol=0.01, rtol=0)


def test_the_loss_counts_hidden_tokens_over_their_share():
    logits = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(1))
    tokens, mask = torch.tensor([[0, 1, 2], [3, 0, 1]]), torch.tensor([[True, True, True], [True, True, False]])
    hidden, gamma = torch.tensor([[True, False, True], [False, True, False]]), torch.tensor([0.0, 1.0])
    nll = -logits.log_softmax(-1).gather(-1, tokens[..., None])[..., 0]
    expected = torch.stack([(nll[0, 0] + nll[0, 2]) / 0.5 / 3, nll[1, 1] / torch.sigmoid(gamma[1]) / 2])
    torch.testing.assert_close(masked_cross_entropy(logits, tokens, hidden, mask, gamma), expected)


def test_linear_masking_is_a_schedule_of_the_checkpoint():
    schedule = schedule_from_dict({"kind": "masking"})
    u = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    assert isinstance(schedule, MaskingSchedule)
    torch.testing.assert_close(torch.sigmoid(schedule.gamma(u)), u)
    assert schedule_from_dict(schedule.to_dict()) == schedule


def test_draws_follow_the_posterior_and_rows_are_selected_together():
    log_probs = torch.tensor([[[0.2, 0.5, 0.3]]]).log().expand(5000, 1, 3)
    uniforms = torch.rand(5000, 1, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    counts = torch.bincount(Posterior(log_probs).draw(uniforms).flatten(), minlength=3) / 5000
    torch.testing.assert_close(counts, torch.tensor([0.2, 0.5, 0.3]), atol=0.03, rtol=0)
    noisy = NoisyTokens(torch.arange(6).view(3, 2), torch.eye(3, 2).bool(), torch.ones(3, 2).bool())
    chosen = noisy.select(torch.tensor([2, 0]))
    assert chosen.ids.tolist() == [[4, 5], [0, 1]]
    assert chosen.undecided.tolist() == [[False, False], [True, False]]
