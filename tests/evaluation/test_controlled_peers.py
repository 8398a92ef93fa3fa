"""Each peer does what its paper says: reweighs, bends, masks, denoises; and the benchmark measures them all."""

import itertools
import json
import math
import random
from functools import partial

import pytest
import torch
from torch import nn

from benchmarks import bench_peers, bench_speed
from benchmarks.peers import fudge, pplm, token_masking
from benchmarks.peers.autoregressive import Peer, TrainOptions
from benchmarks.peers.diffusion_lm import DiffusionLM, _controlled, allowed, posterior
from benchmarks.peers.goals import NO_TAG, TAGS, ExactLength, Mention, Sentence, Tags
from benchmarks.peers.masked_diffusion import MaskedDiffusion
from benchmarks.peers.noisy_classifier import LatentReader, asked_tags, ends_at, guide, train_reader
from benchmarks.peers.short_training import endless, padded, train_for
from benchmarks.peers.words import Openings, WordCode, start_from
from diffusionlm.diffusion.process import alpha_sigma
from diffusionlm.guidance import automata

TEXTS = ["The Mill is a pub.", "The Mill is cheap.", "The Eagle is near.", "Zizzi serves food."] * 4
TAGGED = {"The": "DET", "Mill": "PROPN", "Eagle": "PROPN", "Zizzi": "PROPN", "is": "AUX", "a": "DET", "pub": "NOUN",
          "cheap": "ADJ", "near": "ADV", "serves": "VERB", "food": "NOUN", ".": "PUNCT"}  # fmt: skip


def tags_of(texts):
    return [[TAGGED.get(word, "X") for word in text.replace(".", " .").split()] for text in texts]


SENTENCES = [
    Sentence(text, tuple(text.replace(".", " .").split()), tuple(tags))
    for text, tags in zip(TEXTS, tags_of(TEXTS), strict=True)
]
MENTION = Mention(["Mill", "food"])
POS = Tags([SENTENCES[0].tags, SENTENCES[3].tags], tags_of)


@pytest.fixture
def peer(tiny_tokenizer):
    peer = Peer.create(tiny_tokenizer, TrainOptions(params=3e4, layers=1))
    peer.model.eval()
    return peer


@pytest.fixture
def config(tiny_pipe):
    return tiny_pipe.denoiser.config


@pytest.fixture
def code():
    return WordCode(SENTENCES, min_count=1)


class Likes(nn.Module):
    """A classifier of prefixes that is sure of one token."""

    def __init__(self, token: int) -> None:
        super().__init__()
        self.token = token

    def forward(self, ids, conditions, state=None):
        odds = torch.where(ids == self.token, 40.0, -40.0)
        return odds, (torch.zeros(1, len(ids), 1), torch.zeros(1, len(ids), 1))


def test_fudge_writes_what_its_classifier_likes_and_nothing_changes_at_strength_zero(peer):
    token = peer.tokenizer.encode(" pub")[0]
    asked = (MENTION, ["Mill"] * 3)
    own = {"candidates": 1000, "seed": 0}
    liked = fudge.sample(peer, 3, Likes(token), *asked, max_tokens=5, may_end=False, **own)
    assert liked == [" ".join(peer.tokenizer.decode([token] * 5).split())] * 3
    plain = fudge.sample(peer, 3, max_tokens=8, **own)
    assert fudge.sample(peer, 3, Likes(token), *asked, max_tokens=8, strength=0.0, **own) == plain


def test_a_classifier_of_prefixes_learns_what_is_asked(peer, monkeypatch):
    monkeypatch.setattr(fudge, "PrefixClassifier", partial(fudge.PrefixClassifier, hidden=24, layers=1))
    _, trained = fudge.train_classifier(peer, MENTION, SENTENCES, 1.0)
    assert trained.last_loss < trained.first_loss


@pytest.mark.parametrize("goal", [ExactLength([4, 9]), POS])
def test_fudge_writes_a_text_for_each_length_or_sequence_of_tags(goal, peer):
    model, trained = fudge.train_classifier(peer, goal, SENTENCES, 0.0)
    assert trained.steps == 1
    nn.init.normal_(model.head.weight, std=20.0)
    texts = fudge.sample(peer, 2, model, goal, goal.targets, max_tokens=5, candidates=20)
    assert texts == fudge.sample(peer, 2, model, goal, goal.targets, max_tokens=5, candidates=20)
    assert texts != fudge.sample(peer, 2, model, goal, goal.targets, max_tokens=5, candidates=20, strength=50.0)


def test_what_is_asked_of_a_token_follows_the_words_before_it(peer):
    ids = torch.tensor([peer.tokenizer.encode("The Mill is kid-friendly.")])
    by_spaces = Openings(peer.tokenizer, "length").counted(ids)[0]
    by_words = Openings(peer.tokenizer, "pos").counted(ids)[0]
    assert (int(by_spaces[0]), int(by_spaces[-1])) == (1, 4)
    assert (int(by_words[0]), int(by_words[-1])) == (1, 7)  # The Mill is kid - friendly .
    assert int(Openings(peer.tokenizer, "pos").counted(torch.tensor([[5, peer.eos]]))[0, -1]) == 2
    length = ExactLength([4])
    assert length.conditions(4, torch.tensor([1, 4, 5, 9])).tolist() == [4, 1, 0, 0]
    this, following = divmod(int(POS.conditions(("DET", "NOUN"), torch.tensor(1))), NO_TAG + 1)
    assert (TAGS[this], TAGS[following]) == ("DET", "NOUN")
    assert int(POS.conditions(("DET", "NOUN"), torch.tensor(3))) == NO_TAG * (NO_TAG + 1) + NO_TAG


@pytest.mark.parametrize("goal", [MENTION, ExactLength([4, 9]), POS])
def test_examples_say_whether_a_sentence_meets_what_is_asked(goal):
    draw = random.Random(0)
    seen = set()
    for sentence in SENTENCES * 4:
        target, label = goal.example(sentence, draw)
        seen.add(label)
        if goal is POS:
            assert (target == sentence.tags) == bool(label)
        else:
            assert goal.judged(target, sentence.text) == label
    assert seen == {0, 1}


def test_a_step_of_pplm_bends_the_cache_towards_the_discriminator_and_no_step_changes_nothing(peer):
    torch.manual_seed(0)
    head = nn.Linear(peer.model.config.hidden_size, 2).requires_grad_(False)
    with torch.no_grad():
        _, _, past = pplm._step(peer, torch.full((3, 1), peer.sep), [])
    last = torch.tensor([[5], [6], [7]])
    delta = [torch.zeros_like(part).requires_grad_() for pair in past for part in pair]
    _, hidden, _ = pplm._step(peer, last, pplm._plus(past, delta))
    grads = torch.autograd.grad(nn.functional.softplus(-head(hidden)[:, 0]).sum(), delta)
    moved = [pplm._moved(d, g, 0.1, 1.0) for d, g in zip(delta, grads, strict=True)]
    _, bent, _ = pplm._step(peer, last, pplm._plus(past, moved))
    assert (head(bent)[:, 0] > head(hidden)[:, 0]).all()
    asked = (MENTION, ["Mill", "food"])
    same = [pplm.sample(peer, head, *asked, max_tokens=6, iterations=0, gm_scale=scale) for scale in (0.1, 0.9)]
    assert same[0] == same[1]  # fusing a distribution with itself changes nothing
    assert pplm.sample(peer, head, *asked, max_tokens=6, iterations=2, step_size=50.0, gamma=0.5, seed=0) != same[0]


@pytest.mark.parametrize("goal", [MENTION, POS])
def test_an_attribute_model_is_a_linear_layer_that_learns(peer, goal):
    head, trained = pplm.train_discriminator(peer, goal, SENTENCES, 0.5)
    assert trained.last_loss < trained.first_loss
    assert len(pplm.sample(peer, head, goal, goal.targets, max_tokens=4)) == 2


def test_an_exact_length_has_no_attribute_model(peer):
    assert pplm.train_discriminator(peer, ExactLength([4]), SENTENCES, 0.0) is None


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


@pytest.mark.parametrize("goal", [MENTION, POS])
def test_adagrad_steps_raise_what_the_reader_thinks_of_a_latent(goal):
    torch.manual_seed(0)
    outputs = 2 if goal is MENTION else NO_TAG + 1
    reader = LatentReader(16, 8, outputs, goal is POS, hidden=16, layers=1).requires_grad_(False)
    asked = guide(reader, goal, goal.targets, 8)
    latents, gamma = torch.randn(2, 8, 16), torch.tensor(0.0)
    moved = _controlled(latents, latents, 0.5, asked, gamma, 3, 0.1, 0.01)
    assert (asked(moved, gamma.expand(2)) > asked(latents, gamma.expand(2))).all()
    held = _controlled(latents, latents, 0.5, asked, gamma, 0, 0.1, 0.01)
    assert torch.equal(held, latents)


@pytest.mark.parametrize("kind", [DiffusionLM, MaskedDiffusion])
def test_the_diffusion_peers_learn_and_write(kind, config, code):
    model = kind.create(config, code)
    trained = model.train(SENTENCES, 1.0, batch=8)
    assert trained.last_loss < trained.first_loss
    reader, facts = train_reader(POS, SENTENCES, model.shown, model.size, 64, 0.0, 0)
    assert facts.steps == 1
    asked = guide(reader, POS, POS.targets, 64)
    texts = model.sample(2, asked, steps=3, seed=0)
    assert len(texts) == 2
    assert texts == model.sample(2, asked, steps=3, seed=0)


@pytest.mark.parametrize("kind", [DiffusionLM, MaskedDiffusion])
def test_a_length_is_known_to_the_diffusion_peers(kind, config, code):
    goal = ExactLength([2, 5])
    ends = ends_at(goal, goal.targets, 64)
    assert [int((~row).sum()) for row in ends] == [3, 6]
    rows = [len(text.replace(".", " .").split()) for text in kind.create(config, code).sample(2, None, ends, steps=2)]
    assert rows == [3, 6]
    assert ends_at(MENTION, ["Mill"], 64) is None


def test_unknown_words_are_never_written(code):
    logits = torch.zeros(1, 2, code.size)
    logits[..., code.unknown] = 9.0
    shown = allowed(logits, code, torch.tensor([[False, True]]))
    assert shown.argmax(-1)[0, 1] == code.pad
    assert shown[0, 0, code.unknown] == shown[0, 0, code.pad] == -torch.inf


def test_the_recipe_has_embeddings_of_sixteen_and_a_square_root_schedule(config, code):
    model = DiffusionLM.create(config, code)
    assert model.denoiser.config.embedding_size == 16
    assert model.denoiser.config.num_hidden_layers == config.num_hidden_layers
    assert model.schedule.kind == "square_root"


def test_peers_begin_with_our_blocks_and_the_mean_of_a_words_tokens(tiny_pipe, code):
    model = MaskedDiffusion.create(tiny_pipe.denoiser.config, code)
    start_from(tiny_pipe.denoiser, tiny_pipe.tokenizer, code, model.denoiser)
    ours, theirs = dict(tiny_pipe.denoiser.named_parameters()), dict(model.denoiser.named_parameters())
    name = "blocks.0.feed_forward.down_proj.weight"
    assert torch.equal(ours[name], theirs[name])
    pieces = tiny_pipe.tokenizer.encode(" Mill", continues=True)
    mean = tiny_pipe.denoiser.unit_embeddings()[pieces].mean(0)
    assert torch.allclose(theirs["embeddings"][code.surfaces.index(" Mill")], mean, atol=1e-6)
    small = DiffusionLM.create(tiny_pipe.denoiser.config, code)
    before = small.denoiser.embeddings.clone()
    start_from(tiny_pipe.denoiser, tiny_pipe.tokenizer, code, small.denoiser)
    assert before.shape == small.denoiser.embeddings.shape
    assert not torch.equal(before, small.denoiser.embeddings)


def test_a_value_that_nobody_says_is_refused():
    with pytest.raises(ValueError, match="0 of 16 texts mention 'Cotto'"):
        Mention(["Mill", "Cotto"]).said(SENTENCES)


def test_words_come_back_as_people_write_them_and_tags_have_no_word_past_the_end(code):
    assert code.texts(code.rows(SENTENCES[:2], 64)) == TEXTS[:2]
    rows = asked_tags([("DET", "NOUN")], 4)
    assert rows.tolist() == [[TAGS.index("DET"), TAGS.index("NOUN"), NO_TAG, NO_TAG]]


def test_training_lowers_a_loss_and_goes_on_where_it_stopped(tiny_tokenizer, tmp_path, monkeypatch):
    """By a clock that goes on a hundredth of a second whenever it is looked at: the machine's own speed says nothing."""
    clock = itertools.count(0, 0.01)
    monkeypatch.setattr("benchmarks.peers.short_training.time.process_time", lambda: next(clock))
    assert padded(["a"], tiny_tokenizer, 3).shape == (1, 3)

    def trained(seconds, start):
        model = nn.Linear(1, 1, bias=False)
        nn.init.constant_(model.weight, start)
        facts = train_for(
            seconds,
            lambda _: model.weight.square().sum(),
            model,
            endless([1, 2], 1),
            lr=0.05,
            keep=tmp_path / "kept.pt",
        )
        return facts, model.weight.item()

    first, weight = trained(0.2, 5.0)
    assert first.last_loss < first.first_loss
    again, same = trained(0.1, 99.0)  # trained enough: nothing happens but reading
    assert (again.steps, same) == (first.steps, weight)
    more, _ = trained(0.3, 99.0)
    assert more.steps > first.steps
    assert more.first_loss < 99.0


def test_an_interrupted_training_keeps_its_steps(tmp_path):
    model = nn.Linear(1, 1)

    def loss_of(batch):
        if batch == [3]:
            raise KeyboardInterrupt
        return model.weight.square().sum()

    with pytest.raises(KeyboardInterrupt):
        train_for(9.0, loss_of, model, iter([[1], [2], [3]]), keep=tmp_path / "kept.pt")
    assert train_for(0.0, loss_of, model, iter([[3]]), keep=tmp_path / "kept.pt").steps == 2


@pytest.mark.parametrize("task", ["content", "length", "pos"])
def test_every_way_to_write_has_a_row(task, bench, tiny_tokenizer, capsys, monkeypatch):
    Peer.create(tiny_tokenizer, TrainOptions(params=3e4, layers=1)).save(bench / "peer")
    lines = "".join(f"name : x||{text.replace('.', ' .')}\n" for text in TEXTS)
    (bench / "e2e" / "train.txt").write_text(lines)
    (bench / "e2e" / "control_targets").mkdir()
    own = {"words_": ["START", "The", "Mill", "is", "cheap", ".", "\n", "END"]}
    own["pos"] = ["START", "DET", "PROPN", "AUX", "ADJ", "PUNCT", "PROPN", "END"]
    (bench / "e2e" / "control_targets" / "pos.jsonl").write_text(json.dumps(own) + "\n")
    monkeypatch.setattr(bench_peers, "tagged", lambda *_: (SENTENCES, tags_of))
    monkeypatch.setattr("diffusionlm.evaluation.syntax_judge.tags_right", lambda wanted, text: 0.5)
    lexicon = {word: [tag] for word, tag in TAGGED.items()}
    real = bench_peers.Tags.guidance
    monkeypatch.setattr(bench_peers.Tags, "guidance", lambda self, t: type(real(self, t))(list(t), lexicon=lexicon))
    places = {"--model": "model", "--out": "out", "--data": "e2e", "--peer": "peer", "--judge": "judge"}
    given = [word for key, name in places.items() for word in (key, str(bench / name))]
    sizes = ["--count", "1", "--targets", "1", "--steps", "2", "1", "--recipe-steps", "2", "--rounds", "1"]
    short = ["--train-seconds", "0", "--classifier-seconds", "0", "--tasks", task, "--value", "Mill"]
    for _ in range(2):  # the second time nothing is made again
        bench_peers.main([*given, *sizes, *short])
    (file,) = (bench / "out" / "peers").glob(f"*/{task}.json")
    figures = json.loads(file.read_text())["figures"]
    rows = figures["rows"]
    assert rows["ours, exact, 2 steps"]["success"]["value"] == (0.5 if task == "pos" else 1.0)
    assert {"autoregressive, FUDGE", "Diffusion-LM's recipe", "masked diffusion, classifier"} <= set(rows)
    assert ("autoregressive, PPLM" in rows) == (task != "length")
    assert ("autoregressive, masked tokens" in rows) == (task != "pos")
    assert all(math.isfinite(row["cpu_seconds_per_sample"]) for row in rows.values())
    assert figures["real_perplexity"] > 1
    shown = capsys.readouterr().out
    assert "| none: no controller of this kind for the goal |" in shown or task == "content"
    assert "samples in the time of one of the recipe" in shown


def test_training_alone_writes_no_table(bench, tiny_tokenizer, capsys):
    Peer.create(tiny_tokenizer, TrainOptions(params=3e4, layers=1)).save(bench / "peer")
    (bench / "e2e" / "train.txt").write_text("".join(f"name : x||{text.replace('.', ' .')}\n" for text in TEXTS))
    places = {"--model": "model", "--out": "out", "--data": "e2e", "--peer": "peer"}
    given = [word for key, name in places.items() for word in (key, str(bench / name))]
    short = ["--train-seconds", "0", "--classifier-seconds", "0", "--value", "Mill", "--steps", "1", "--train-only"]
    bench_peers.main([*given, *short, "--only", "6", "7"])
    assert len(list((bench / "out" / "peers" / "trained").glob("*.pt"))) == 4
    assert not list((bench / "out" / "peers").glob("*/table.md"))
    assert "network Trained(steps=1" in capsys.readouterr().out


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
