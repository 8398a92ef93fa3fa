"""Candidates of one text: the surest is kept, goals come first, and the call stays reproducible."""

import pytest
import torch

from diffusionlm.diffusion import NoisyEmbeddings, NoisyTokens
from diffusionlm.generation.candidates import Certainty, surest
from diffusionlm.guidance import Length, Particles, TextScorer

CALL = {"num_samples": 4, "steps": 6, "seed": 5, "max_length": 12}


def test_the_surest_of_several_is_never_less_sure_than_the_first(tiny_pipe):
    one, four = tiny_pipe(**CALL), tiny_pipe(best_of=4, **CALL)
    before, after = ([sample.certainty for sample in result.samples[0]] for result in (one, four))
    assert all(b >= a - 1e-6 for a, b in zip(before, after, strict=True))
    assert any(b > a + 1e-6 for a, b in zip(before, after, strict=True))
    assert four.settings["best_of"] == 4
    assert "best_of" not in one.settings


def test_a_text_does_not_depend_on_its_batch(tiny_pipe):
    together = tiny_pipe(best_of=3, **CALL).texts
    for j, text in enumerate(together):
        assert tiny_pipe(**{**CALL, "num_samples": 1, "seed": CALL["seed"] + j, "best_of": 3}).texts == [text]


def test_rules_hold_for_every_candidate_that_is_kept(tiny_pipe):
    result = tiny_pipe(best_of=3, guidance=Length(tokens=5), **CALL)
    assert all(all(held.values()) for held in result.certificates)
    assert len(result.texts) == 4


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5])
def test_candidates_may_part_at_any_step_even_the_last(tiny_pipe, steps):
    assert len(tiny_pipe(best_of=2, num_samples=3, steps=steps, seed=1, max_length=6).texts) == 3


def test_candidates_of_a_sampler_without_noise_differ_from_the_start(tiny_pipe):
    one, four = (tiny_pipe(sampler="euler", best_of=n, **CALL) for n in (1, 4))
    assert one.texts != four.texts
    assert sum(s.certainty for s in four.samples[0]) > sum(s.certainty for s in one.samples[0])
    again = tiny_pipe(sampler="euler", best_of=4, **{**CALL, "num_samples": 1, "seed": CALL["seed"] + 2})
    assert again.texts == four.texts[2:3]


def test_a_goal_comes_before_certainty():
    kept = surest(torch.tensor([-1.0, -0.1, -2.0, -3.0]), 2, missed=[0, 1, 0, 0])
    assert kept == [0, 2]
    assert surest(torch.tensor([-1.0, -0.1, -2.0, -3.0]), 2) == [1, 2]


def test_certainty_counts_the_tokens_that_are_no_pad():
    log_probs = torch.log(torch.tensor([[[0.1, 0.9], [0.5, 0.5], [0.8, 0.2]]]))
    mask = torch.ones(1, 3, dtype=torch.bool)
    noisy = NoisyEmbeddings(torch.zeros(1, 3, 2), mask)
    gaussian = Certainty(pad_id=0)
    for _ in range(3):
        gaussian.step(log_probs, noisy, noisy)
    expected = (log_probs[0, 0, 1] + log_probs[0, 1, 1]) / 2**0.5
    torch.testing.assert_close(gaussian.of(torch.tensor([[1, 1, 0]]), mask)[0], expected)
    masked, ids = Certainty(pad_id=0), torch.tensor([[1, 1, 0]])
    hidden = torch.tensor([[True, True, True]])
    first = torch.tensor([[False, True, True]])
    masked.step(log_probs, NoisyTokens(ids, hidden, mask), NoisyTokens(ids, first, mask))
    masked.step(log_probs, NoisyTokens(ids, first, mask), NoisyTokens(ids, ~hidden, mask))
    torch.testing.assert_close(masked.of(ids, mask)[0], expected)


def test_particles_have_candidates_of_their_own(tiny_pipe):
    with pytest.raises(ValueError, match="candidates of its own"):
        tiny_pipe(best_of=2, guidance=TextScorer(len, strategy=Particles(count=2)), **CALL)
    with pytest.raises(ValueError, match="best_of must be an integer of at least 1"):
        tiny_pipe(best_of=0, **CALL)
