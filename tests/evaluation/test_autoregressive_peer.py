"""The autoregressive peer learns, resumes, ends its texts, and fills gaps without touching what is known."""

import json
import math
from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM

from benchmarks.autoregressive import main
from benchmarks.peers.autoregressive import GAP, Peer, TrainOptions, fill_left_to_right, likelihood, peer_config
from benchmarks.peers.autoregressive_training import batches, train
from diffusionlm.text.tokenizer import TextTokenizer

PAIRS = [
    (f"name[{name}], food[{food}]", f"{name} serves {food} food.")
    for name in ("Aromi", "Cotto", "Zizzi", "Strada")
    for food in ("French", "Indian", "Italian")
]
TINY = {"params": 3e4, "layers": 1, "dropout": 0.0, "tokens_per_batch": 256, "lr": 1e-2}


@pytest.fixture(scope="module")
def tokenizer() -> TextTokenizer:
    return TextTokenizer.train_bpe([part for pair in PAIRS for part in pair], vocab_size=320)


@pytest.fixture(scope="module")
def trained(tokenizer, tmp_path_factory) -> tuple[Peer, Path]:
    out = tmp_path_factory.mktemp("peer")
    train(PAIRS, PAIRS, tokenizer, out, TrainOptions(**TINY, max_tokens=30_000), log=lambda line: None)
    return Peer.load(out), out


def test_parameters_are_those_asked_for() -> None:
    for params, layers in ((1e6, 4), (3.2e6, 5), (8e6, 6), (1e7, 8)):
        options = TrainOptions(params=params, layers=layers)
        count = LlamaForCausalLM(peer_config(1002, options)).num_parameters()
        assert abs(count - params) / params < 0.01
    with pytest.raises(ValueError, match="too few"):
        peer_config(50_000, TrainOptions(params=1e5))


def test_training_reaches_the_entropy_of_the_data(trained) -> None:
    peer, out = trained
    figures = likelihood(peer, peer.examples(PAIRS))
    assert math.log(12) - 0.01 <= figures["nats_per_text"] < math.log(12) + 0.3  # twelve texts, equally likely
    assert likelihood(peer, peer.examples(PAIRS), conditional=True)["nats_per_text"] < 0.3
    assert json.loads((out / "peer.json").read_text())["held_out"]["texts"] == 12


def test_likelihood_is_the_same_in_any_batch(trained) -> None:
    peer, _ = trained
    examples = peer.examples(PAIRS)
    alone = sum(likelihood(peer, [example])["nats_per_text"] for example in examples) / len(examples)
    assert likelihood(peer, examples)["nats_per_text"] == pytest.approx(alone, abs=1e-4)


def test_samples_are_texts_of_the_data_and_follow_a_condition(trained) -> None:
    peer, _ = trained
    texts = {text for _, text in PAIRS}
    samples = peer.sample(40, max_tokens=40, seed=1)
    assert sum(sample in texts for sample in samples) >= 32
    assert len(set(samples)) >= 6
    assert peer.sample(2, max_tokens=40, temperature=0.0, condition=PAIRS[4][0]) == [PAIRS[4][1]] * 2


def test_the_cache_changes_no_choice(trained) -> None:
    peer, _ = trained
    ids = peer.write(torch.tensor([[peer.sep, *[GAP] * 30]]), temperature=0.0)[0]
    end = ids.tolist().index(peer.eos)
    with torch.no_grad():
        logits = peer.model(ids[None, :end]).logits[0]
    logits[:, [peer.tokenizer.pad_id, peer.sep]] = -math.inf
    assert logits.argmax(-1).tolist() == ids[1 : end + 1].tolist()


def test_infilling_sees_the_left_only_and_leaves_known_words(trained) -> None:
    peer, _ = trained
    gap = len(peer.tokenizer.encode("Indian"))
    (fills,) = peer.infill([["Cotto serves", gap, "food."]])
    (changed,) = peer.infill([["Cotto serves", gap, "wine and beer all day."]])
    assert len(fills) == 1
    assert fills == changed
    known = torch.tensor([[peer.sep, 5, GAP, 7, GAP]])
    assert peer.write(known, may_end=False)[0, [0, 1, 3]].tolist() == [peer.sep, 5, 7]
    assert peer.eos not in peer.write(known, may_end=False)[0]


def test_infilling_figures_come_from_real_gaps(trained) -> None:
    peer, _ = trained
    figures = fill_left_to_right(peer, ["Cotto serves Indian food."] * 3, 1.0, None, 0.0, 0)
    assert figures["texts"] == figures["gaps"] == 3
    assert 0 <= figures["exact_words"] <= 1
    assert figures["perplexity"] is None


def test_batches_depend_on_seed_and_epoch_alone(tokenizer) -> None:
    options = TrainOptions(**TINY)
    examples = Peer.create(tokenizer, options).examples(PAIRS)
    assert list(batches(examples, options, 3)) == list(batches(examples, options, 3))
    assert list(batches(examples, options, 3)) != list(batches(examples, options, 4))
    assert sum(map(len, batches(examples, options, 3))) == len(PAIRS)


def test_an_interrupted_run_goes_on_to_the_same_weights(tokenizer, tmp_path) -> None:
    options = TrainOptions(**TINY | {"dropout": 0.2}, max_tokens=3_000, evaluate_seconds=0.0)
    train(PAIRS, PAIRS, tokenizer, tmp_path / "whole", options, log=lambda line: None)
    lines: list[str] = []

    def interrupt(line: str) -> None:
        lines.append(line)
        if len(lines) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(PAIRS, PAIRS, tokenizer, tmp_path / "parts", options, log=interrupt)
    train(PAIRS, PAIRS, tokenizer, tmp_path / "parts", options, log=lines.append)
    whole = torch.load(tmp_path / "whole" / "checkpoint.pt")
    parts = torch.load(tmp_path / "parts" / "checkpoint.pt")
    assert parts["state"]["step"] == whole["state"]["step"] > 6
    for name, value in whole["model"].items():
        torch.testing.assert_close(parts["model"][name], value)
    with pytest.raises(ValueError, match="another --out"):
        train(PAIRS, PAIRS, tokenizer, tmp_path / "parts", TrainOptions(**TINY, max_tokens=1.0))


def test_a_run_without_a_budget_is_refused(tokenizer, tmp_path) -> None:
    with pytest.raises(ValueError, match="needs a budget"):
        train(PAIRS, PAIRS, tokenizer, tmp_path, TrainOptions())


def test_the_commands_read_and_write_files(trained, tmp_path, capsys) -> None:
    _, folder = trained
    lines = [f"name : {text.split()[0]}||{text}\n" for _, text in PAIRS]
    (tmp_path / "valid.txt").write_text("".join(lines), encoding="utf-8")
    main(["sample", "--model", str(folder), "--count", "3", "--out", str(tmp_path / "samples.txt")])
    assert len((tmp_path / "samples.txt").read_text().splitlines()) == 3
    capsys.readouterr()
    main(["likelihood", "--model", str(folder), "--data", str(tmp_path)])
    assert json.loads(capsys.readouterr().out.splitlines()[0])["texts"] == 12
    main(["infill", "--model", str(folder), "--data", str(tmp_path), "--count", "4"])
    assert json.loads(capsys.readouterr().out)["texts"] == 4
