"""The temperature acts on the network's part, among the words, and on nothing else."""

import torch

from diffusionlm.denoiser.temperature import sharpen


def parts() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shape = (2, 3, 7)
    return tuple(torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2))  # type: ignore[return-value]


def test_one_is_the_plain_posterior() -> None:
    prior, likelihood = parts()
    assert torch.equal(sharpen(prior, likelihood, 1.0, 0), prior + likelihood)


def test_pad_keeps_its_probability() -> None:
    prior, likelihood = parts()
    before = (prior + likelihood).softmax(-1)
    after = sharpen(prior, likelihood, 0.5, 2).softmax(-1)
    torch.testing.assert_close(after[..., 2], before[..., 2])
    torch.testing.assert_close(after.sum(-1), torch.ones(2, 3, dtype=torch.float64))


def test_words_follow_the_tempered_prior_times_the_likelihood() -> None:
    prior, likelihood = parts()
    after = sharpen(prior, likelihood, 0.5, 0).softmax(-1)[..., 1:]
    expected = (prior.softmax(-1) ** 2 * likelihood.exp())[..., 1:]
    torch.testing.assert_close(after / after.sum(-1, keepdim=True), expected / expected.sum(-1, keepdim=True))


def test_a_certain_pad_leaves_the_words_finite() -> None:
    prior, likelihood = parts()
    prior[..., 0] = 1e4
    words = sharpen(prior, likelihood, 0.8, 0)[..., 1:]
    assert bool(torch.isfinite(words.log_softmax(-1)).all())


def test_gradients_flow() -> None:
    prior, likelihood = (part.requires_grad_() for part in parts())
    assert torch.autograd.gradcheck(lambda a, b: sharpen(a, b, 0.7, 3).log_softmax(-1), (prior, likelihood))


def test_forbidden_tokens_stay_forbidden_at_every_temperature() -> None:
    prior, likelihood = parts()
    prior[..., 1] = -torch.inf
    for temperature in (0.5, 0.99, 1.2, 3.0):
        after = sharpen(prior, likelihood, temperature, 0).softmax(-1)
        assert (after[..., 1] == 0).all()
        assert torch.allclose(after.sum(-1), torch.ones_like(after[..., 0]))
