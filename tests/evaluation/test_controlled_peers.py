"""Each peer does what its paper says: reweighs, bends, masks, denoises; and the benchmark times them all."""

import json
import math

import pytest
import torch
from torch import nn

from benchmarks import bench_peers, bench_speed
from benchmarks.peers import fudge, pplm, token_masking
from benchmarks.peers.autoregressive import Peer, TrainOptions
from benchmarks.peers.diffusion_lm import DiffusionLM, _controlled, posterior
from benchmarks.peers.masked_diffusion import MaskedDiffusion
from benchmarks.peers.noisy_classifier import LatentClassifier
from benchmarks.peers.short_training import Goal, decoded, endless, padded, train_for
from diffusionlm.diffusion.process import alpha_sigma
from diffusionlm.guidance import automata


@pytest.fixture
def peer(tiny_tokenizer):
    peer = Peer.create(tiny_tokenizer, TrainOptions(params=3e4, layers=1))
    peer.model.eval()
    return peer


@pytest.fixture
def config(tiny_pipe):
    return tiny_pipe.denoiser.config


TEXTS = ["The Mill is a pub.", "The Mill is cheap.", "The Eagle is near.", "Zizzi serves food."] * 4
GOAL = Goal("Mill")


class Likes(nn.Module):
    """A classifier of prefixes that is sure of one token."""

    def __init__(self, token: int) -> None:
        super().__init__()
        self.token = token

    def forward(self, ids, state=None):
        odds = torch.where(ids == self.token, 40.0, -40.0)
        return odds, (torch.zeros(1, len(ids), 1), torch.zeros(1, len(ids), 1))


def test_fudge_writes_what_its_classifier_likes_and_nothing_changes_at_strength_zero(peer):
    token = peer.tokenizer.encode(" pub")[0]
    liked = fudge.sample(peer, Likes(token), 2, max_tokens=5, candidates=1000, seed=0, may_end=False)
    assert liked == [" ".join(peer.tokenizer.decode([token] * 5).split())] * 2
    plain = fudge.sample(peer, None, 3, max_tokens=8, candidates=1000, seed=1)
    assert fudge.sample(peer, Likes(token), 3, max_tokens=8, candidates=1000, strength=0.0, seed=1) == plain


def test_a_step_of_pplm_bends_the_cache_towards_the_discriminator_and_no_step_changes_nothing(peer):
    torch.manual_seed(0)
    head = nn.Linear(peer.model.config.hidden_size, 1).requires_grad_(False)
    with torch.no_grad():
        _, _, past = pplm._step(peer, torch.full((3, 1), peer.sep), [])
    last = torch.tensor([[5], [6], [7]])
    delta = [torch.zeros_like(part).requires_grad_() for pair in past for part in pair]
    _, hidden, _ = pplm._step(peer, last, pplm._plus(past, delta))
    grads = torch.autograd.grad(nn.functional.softplus(-head(hidden)).sum(), delta)
    moved = [pplm._moved(d, g, 0.1, 1.0) for d, g in zip(delta, grads, strict=True)]
    _, bent, _ = pplm._step(peer, last, pplm._plus(past, moved))
    assert (head(bent) > head(hidden)).all()
    same = [pplm.sample(peer, head, 2, max_tokens=6, iterations=0, gm_scale=scale) for scale in (0.1, 0.9)]
    assert same[0] == same[1]  # fusing a distribution with itself changes nothing
    assert pplm.sample(peer, head, 2, max_tokens=6, iterations=2, step_size=50.0, gamma=0.5, seed=0) != same[0]


def test_masked_tokens_always_make_a_text_of_the_language(peer):
    rule = automata.contains_any(["Mill"]) & automata.length(2, 4)
    for seed in range(3):
        texts = token_masking.sample(peer, rule, 4, max_tokens=16, seed=seed)
        assert all(rule.accepts(text) for text in texts)
    with pytest.raises(ValueError, match="No text of at most 2 tokens"):
        token_masking.sample(peer, automata.length(40, 50), 1, max_tokens=2)


def test_the_posterior_of_the_recipe_keeps_signal_and_noise_where_the_schedule_has_them():
    now, after, clean = torch.tensor(2.0), torch.tensor(-1.0), torch.ones(1, 1, 4)
    (alpha, sigma), (alpha_next, sigma_next) = alpha_sigma(now), alpha_sigma(after)
    mean, deviation = posterior(alpha * clean, clean, now, after)
    assert torch.allclose(mean, alpha_next * clean)
    noise, _ = posterior(torch.ones(1, 1, 4) * sigma, torch.zeros(1, 1, 4), now, after)
    assert float(noise.mean()) ** 2 + deviation**2 == pytest.approx(float(sigma_next) ** 2, rel=1e-5)


def test_adagrad_steps_raise_what_the_classifier_thinks_of_a_latent():
    torch.manual_seed(0)
    model = LatentClassifier(16, 8, hidden=16, layers=1).requires_grad_(False)
    latents, gamma = torch.randn(2, 8, 16), torch.tensor(0.0)
    moved = _controlled(latents, latents, 0.5, model, gamma, 3, 0.1, 0.01)
    assert (model(moved, gamma.expand(2)) > model(latents, gamma.expand(2))).all()
    held = _controlled(latents, latents, 0.5, model, gamma, 0, 0.1, 0.01)
    assert torch.equal(held, latents)


@pytest.mark.parametrize("kind", [DiffusionLM, MaskedDiffusion])
def test_the_diffusion_peers_learn_and_write(kind, config, tiny_tokenizer):
    model = kind.create(config, tiny_tokenizer)
    trained = model.train(TEXTS, 1.5, batch=8)
    assert trained.last_loss < trained.first_loss
    classifier, _ = model.train_classifier(TEXTS, GOAL, 0.0)
    texts = model.sample(2, classifier, steps=3, seed=0)
    assert len(texts) == 2
    assert texts == model.sample(2, classifier, steps=3, seed=0)


def test_the_recipe_has_embeddings_of_sixteen_and_a_square_root_schedule(config, tiny_tokenizer):
    model = DiffusionLM.create(config, tiny_tokenizer)
    assert model.denoiser.config.embedding_size == 16
    assert model.denoiser.config.num_hidden_layers == config.num_hidden_layers
    assert model.schedule.kind == "square_root"


def test_labels_are_balanced_and_a_value_that_nobody_says_is_refused():
    pairs = GOAL.balanced([*TEXTS, "The pub."])
    assert sum(label for _, label in pairs) * 2 == len(pairs) == 16
    assert all(GOAL.holds(text) == bool(label) for text, label in pairs)
    with pytest.raises(ValueError, match="0 of 16 texts mention 'Cotto'"):
        Goal("Cotto").balanced(TEXTS)


def test_rows_come_back_as_texts_and_training_lowers_a_loss(tiny_tokenizer):
    assert decoded(padded(TEXTS[:2], tiny_tokenizer, 64), tiny_tokenizer) == TEXTS[:2]
    weight = nn.Parameter(torch.tensor(5.0))
    trained = train_for(0.2, lambda _: weight.square(), [weight], endless([1, 2], 1), lr=0.1)
    assert trained.last_loss < trained.first_loss
    assert trained.steps > 1


def test_every_way_to_write_has_a_row(bench, tiny_tokenizer, capsys):
    Peer.create(tiny_tokenizer, TrainOptions(params=3e4, layers=1)).save(bench / "peer")
    lines = "".join(f"name : x||{text}\n" for text in TEXTS)
    (bench / "e2e" / "train.txt").write_text(lines)
    places = {"--model": "model", "--out": "out", "--data": "e2e", "--peer": "peer"}
    given = [word for key, name in places.items() for word in (key, str(bench / name))]
    sizes = ["--count", "1", "--steps", "2", "--recipe-steps", "2", "--train-seconds", "0", "--rounds", "1"]
    for _ in range(2):  # the second time nothing is made again
        bench_peers.main([*given, *sizes, "--value", "Mill"])
    (file,) = (bench / "out" / "peers").glob("*/table.json")
    rows = json.loads(file.read_text())["figures"]["rows"]
    assert rows["ours, exact phrase"]["success"] == rows["autoregressive, masked tokens"]["success"] == 1.0
    assert {
        "autoregressive, FUDGE",
        "autoregressive, PPLM",
        "Diffusion-LM's recipe",
        "masked diffusion, classifier",
    } <= set(rows)
    assert all(math.isfinite(row["cpu_seconds_per_sample"]) for row in rows.values())
    assert "| ours, exact phrase | 100% |" in capsys.readouterr().out


def test_speed_beside_the_cache_counts_the_arithmetic_of_both(bench):
    sizes = ["--length", "8", "--batches", "1", "2", "--steps", "1", "2", "--rounds", "2"]
    bench_speed.main(["--model", str(bench / "model"), "--out", str(bench / "out"), *sizes])
    (file,) = (bench / "out" / "speed").glob("*.json")
    rows = json.loads(file.read_text())["figures"]["rows"]
    by = {(row["batch"], row["what"]): row for row in rows}
    assert len(by) == 6
    assert by[1, "2 steps"]["flops"] == 2 * by[1, "1 steps"]["flops"] > 0
    assert by[2, "1 steps"]["flops"] == pytest.approx(2 * by[1, "1 steps"]["flops"], rel=0.05)
    assert by[1, "1 steps"]["quicker_cpu"]["value"] > 0
