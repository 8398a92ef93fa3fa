"""Samplers of tokens: how much is decided when, in which order, and that noise never reaches the finished text."""

import pytest
import torch

from diffusionlm.diffusion import Draws, MaskingSchedule, NoisyTokens, Posterior
from diffusionlm.samplers import check_process, make_sampler

ROWS, LENGTH, VOCABULARY = 3, 12, 7


def start(lengths=(LENGTH, LENGTH, 8)):
    used = torch.arange(LENGTH) < torch.tensor(lengths)[:, None]
    draws = Draws(list(range(ROWS)), [0] * ROWS, list(lengths), torch.device("cpu"))
    return NoisyTokens(torch.zeros(ROWS, LENGTH, dtype=torch.long), used, used), draws


def posterior(seed=0):
    logits = torch.randn(ROWS, LENGTH, VOCABULARY, generator=torch.Generator().manual_seed(seed))
    return Posterior(logits.log_softmax(-1))


def walk(sampler, steps, on_step=lambda i, before, after: None):
    sampler.set_schedule(MaskingSchedule())
    sampler.set_timesteps(steps)
    noisy, draws = start()
    for i in range(steps):
        before, noisy = noisy, sampler.move(posterior(i), i, noisy, draws)
        on_step(i, before, noisy)
    return sampler.finish(posterior(steps - 1), noisy), noisy


@pytest.mark.parametrize("order", ["random", "confidence", "margin", "entropy"])
@pytest.mark.parametrize("remasking", [0.0, 0.3])
@pytest.mark.parametrize("steps", [1, 4, 30])
def test_the_share_of_the_schedule_stays_hidden_and_nothing_at_the_end(order, remasking, steps):
    sampler = make_sampler("unmasking", order=order, remasking=remasking)

    def check(i, before, after):
        used = after.used.sum(-1)
        share = 0.0 if i + 1 == steps else 1 - (i + 1) / steps
        expected = torch.floor(used * share + 1e-3).long()
        hidden = after.undecided.sum(-1)
        assert ((hidden - expected).abs() <= 1).all() if remasking == 0 else (hidden >= expected - 1).all()
        if remasking == 0:
            assert not (after.undecided & ~before.undecided).any()
        kept = before.used & ~before.undecided & ~after.undecided
        assert torch.equal(after.ids[kept], before.ids[kept])

    _, noisy = walk(sampler, steps, check)
    assert not noisy.undecided.any()


def test_blocks_are_written_from_left_to_right():
    def check(i, before, after):
        newly = before.undecided & ~after.undecided
        for row in range(ROWS):
            blocks = torch.nonzero(newly[row]).flatten() // 4
            left = torch.nonzero(after.undecided[row]).flatten() // 4
            assert not len(left) or not len(blocks) or int(blocks.max()) <= int(left.min())

    walk(make_sampler("unmasking", block=4), 6, check)


def test_confidence_keeps_the_surest_first():
    """The likeliest token is drawn everywhere (one token has all the mass), and surer positions are decided earlier."""
    sampler = make_sampler("unmasking", order="confidence", temperature=0.0)
    sampler.set_schedule(MaskingSchedule())
    sampler.set_timesteps(LENGTH)
    probs = torch.full((ROWS, LENGTH, VOCABULARY), 1e-6)
    probs[..., 0] = 1 - 0.01 * torch.arange(1, LENGTH + 1)  # surest at the left
    probs[..., 1] = 1 - probs.sum(-1) + probs[..., 1]
    noisy, draws = start((LENGTH,) * 3)
    order = []
    for i in range(LENGTH - 1):
        zeros = Posterior(probs.log())
        zeros.draw = lambda uniforms: torch.zeros(ROWS, LENGTH, dtype=torch.long)
        before, noisy = noisy, sampler.move(zeros, i, noisy, draws)
        order += torch.nonzero((before.undecided & ~noisy.undecided)[0]).flatten().tolist()
    assert order == sorted(order)


def test_noise_is_uniform_on_the_way_and_gone_at_the_end():
    sampler = make_sampler("renoising")
    _, noisy = walk(sampler, 8)
    assert torch.equal(noisy.undecided, noisy.used)
    last = Posterior(torch.full((ROWS, LENGTH, VOCABULARY), -30.0).index_fill(-1, torch.tensor([5]), 0.0))
    noisy, draws = start()
    done = sampler.move(last, 7, noisy, draws)
    assert (done.ids[noisy.used] == 5).all()
    early = sampler.move(last, 0, noisy, draws)
    assert (early.ids[noisy.used] != 5).any()


def test_a_sampler_of_another_process_is_refused():
    with pytest.raises(ValueError, match="use one of: unmasking"):
        check_process(make_sampler("euler"), "masked")
    with pytest.raises(ValueError, match="use one of: renoising"):
        check_process(make_sampler("unmasking"), "uniform")
    check_process(make_sampler("renoising"), "uniform")


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"order": "best"}, "order must be"), ({"block": 0}, "block must be"), ({"remasking": 1.0}, "remasking must lie")],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        make_sampler("unmasking", **settings)
