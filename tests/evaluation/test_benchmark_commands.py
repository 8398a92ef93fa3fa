"""The commands of the benchmarks measure what they say, keep what they made, and go on where they were interrupted."""

import json
import subprocess
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from benchmarks import bench_fluency, bench_infilling, bench_likelihood, bench_pipeline_overhead, bench_startup
from benchmarks.peers.autoregressive import GAP, Peer, TrainOptions, likelihood
from diffusionlm.evaluation.infilling import fill_gaps, gap_lengths, hide_words
from diffusionlm.evaluation.record import checkpoint_facts, settings_key, write_text
from diffusionlm.pipeline import DiffusionLMPipeline

SENTENCES = ["The Mill is a pub.", "The Vaults is cheap.", "Café Rouge serves food.", "The Eagle is near the river."]


@pytest.fixture
def workplace(tiny_pipe, tmp_path: Path) -> Path:
    """A folder with a pipeline, the E2E corpus in miniature, a judge and an autoregressive peer."""
    tiny_pipe.save_pretrained(tmp_path / "model")
    (tmp_path / "e2e").mkdir()
    for split in ("train", "valid"):
        lines = "".join(f"name : The Mill||{sentence}\n" for sentence in SENTENCES * 2)
        (tmp_path / "e2e" / f"{split}.txt").write_text(lines, encoding="utf-8")
    tokenizer = tiny_pipe.tokenizer
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    judge = LlamaForCausalLM(LlamaConfig(vocab_size=tokenizer.vocab_size, max_position_embeddings=256, **shape))
    judge.save_pretrained(tmp_path / "judge")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend, bos_token="<pad>").save_pretrained(tmp_path / "judge")
    Peer.create(tokenizer, TrainOptions(params=3e4, layers=1)).save(tmp_path / "peer")
    return tmp_path


def options(workplace: Path, *more: str, data: bool = True) -> list[str]:
    names = ["--model", str(workplace / "model"), "--out", str(workplace / "out")]
    return [*names, *(["--data", str(workplace / "e2e")] if data else []), *more]


def records(workplace: Path, pattern: str) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted((workplace / "out").glob(pattern))]


def fluency(workplace: Path) -> None:
    cells = ["--count", "4", "--references", "4", "--steps", "1", "2", "--samplers", "ancestral", "euler"]
    bench_fluency.main(options(workplace, *cells, "--judge", str(workplace / "judge")))


def test_the_table_has_a_row_for_each_sampler_and_number_of_steps(workplace, capsys) -> None:
    fluency(workplace)
    (table,) = records(workplace, "fluency/*/table-*.json")
    cells = [(cell["settings"]["sampler"]["name"], cell["settings"]["steps"]) for cell in table["figures"]["cells"]]
    assert cells == [("ancestral", 1), ("ancestral", 2), ("euler", 1), ("euler", 2)]
    assert table["environment"]["versions"]["torch"] == torch.__version__
    assert table["settings"]["copies_of_all_held_out"] == 1.0
    assert "| ancestral (default) | 2 |" in capsys.readouterr().out
    for cell in table["figures"]["cells"]:
        assert cell["settings"]["sha256"] == checkpoint_facts(workplace / "model")["sha256"]


def test_cells_are_made_once_and_an_interrupted_table_goes_on(workplace, monkeypatch) -> None:
    fluency(workplace)
    (before,) = records(workplace, "fluency/*/table-*.json")
    lost = sorted((workplace / "out").glob("fluency/*/euler-002-*"))
    assert {path.suffix for path in lost} == {".txt", ".json"}
    for path in lost:
        path.unlink()
    calls = []
    write = DiffusionLMPipeline.__call__

    def counted(self, *arguments, **settings):
        calls.append((settings["sampler"].settings, settings["steps"]))
        return write(self, *arguments, **settings)

    monkeypatch.setattr(DiffusionLMPipeline, "__call__", counted)
    fluency(workplace)
    assert calls == [({}, 2)]  # the lost cell of the sampler without settings, Euler's
    (after,) = records(workplace, "fluency/*/table-*.json")
    for one, two in zip(before["figures"]["cells"], after["figures"]["cells"], strict=True):
        assert one["figures"]["samples"] == two["figures"]["samples"]
        assert one["figures"]["perplexity_ratio"] == two["figures"]["perplexity_ratio"]


def test_samples_are_those_of_the_pipeline_and_are_scored_again_without_it(workplace, tiny_pipe, monkeypatch) -> None:
    fluency(workplace)
    (samples,) = (workplace / "out").glob("fluency/*/euler-002-*.txt")
    texts = tiny_pipe(num_samples=4, steps=2, sampler="euler", seed=0).texts
    assert samples.read_text(encoding="utf-8").splitlines() == [" ".join(text.split()) for text in texts]
    for record in (workplace / "out").glob("fluency/*/*-00*.json"):
        if not record.name.endswith(".time.json"):
            record.unlink()
    monkeypatch.setattr(DiffusionLMPipeline, "__call__", None)
    fluency(workplace)
    assert len(records(workplace, "fluency/*/table-*.json")) == 1


def test_likelihood_stands_beside_the_peers_on_the_same_texts(workplace, capsys) -> None:
    arguments = ("--count", "5", "--levels", "4", "--peer", str(workplace / "peer"))
    bench_likelihood.main(options(workplace, *arguments))
    (record,) = records(workplace, "likelihood/*.json")
    ours, theirs = record["figures"]["diffusion (bound)"], record["figures"]["autoregressive (exact)"]
    assert ours["texts"] == theirs["texts"] == 5
    assert ours["tokens_per_text"] == theirs["tokens_per_text"]
    assert record["figures"]["difference"]["nats_per_text"] == pytest.approx(
        ours["nats_per_text"] - theirs["nats_per_text"]
    )
    assert "autoregressive (exact)" in capsys.readouterr().out


def test_the_peers_nats_by_text_add_up_to_its_own_figure(workplace) -> None:
    peer = Peer.load(workplace / "peer")
    nats = bench_likelihood.peer_nats(peer, SENTENCES)
    whole = likelihood(peer, peer.examples([("", text) for text in SENTENCES]))
    assert nats.per_text[0] == pytest.approx(whole["nats_per_text"], abs=1e-4)
    assert nats.per_token[0] == pytest.approx(whole["nats_per_token"], abs=1e-5)
    assert bench_likelihood.peer_nats(peer, SENTENCES[::-1]).nats == pytest.approx(nats.nats[::-1], abs=1e-4)


def test_both_models_fill_the_same_gaps(workplace) -> None:
    arguments = ("--count", "4", "--steps", "2", "--shares", "0.5", "--peer", str(workplace / "peer"))
    bench_infilling.main(options(workplace, *arguments, "--judge", str(workplace / "judge")))
    (record,) = records(workplace, "infilling/*.json")
    ours, theirs = record["figures"]["rows"]
    assert (ours["model"], theirs["model"]) == ("diffusion", "left to right")
    assert (ours["texts"], ours["gaps"]) == (theirs["texts"], theirs["gaps"])
    assert ours["real_perplexity"] == pytest.approx(theirs["real_perplexity"])


def test_a_gap_is_filled_with_the_tokens_it_had_and_begins_with_a_word(tiny_pipe) -> None:
    tasks = [hide_words(text, 0.5, seed) for seed in range(3) for text in SENTENCES]
    fills = fill_gaps(tiny_pipe, tasks, steps=2, batch_size=5)
    for task, given in zip(tasks, fills, strict=True):
        lengths = gap_lengths(task, tiny_pipe.tokenizer)
        (written,) = tiny_pipe([task.template(lengths)], steps=2, seed=0).token_ids
        assert [len(ids) for ids in written[0]] == lengths
        assert len(given) == len(lengths)
    assert fills == fill_gaps(tiny_pipe, tasks, steps=2, batch_size=5)


def test_the_peers_gaps_begin_with_a_word_too(workplace) -> None:
    peer = Peer.load(workplace / "peer")
    known = torch.tensor([[peer.sep, 40, GAP, GAP, 41, GAP]])
    opens = torch.tensor([[False, False, True, False, False, True]])
    spaced = peer.tokenizer.vocabulary.starts_with_space
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        written = peer.write(known, 1.0, False, generator, opens)[0]
        assert spaced[written[[2, 5]]].all()


def test_the_bare_passes_are_those_the_pipeline_makes(tiny_pipe, monkeypatch) -> None:
    seen: list[tuple] = []
    forward = type(tiny_pipe.denoiser).forward

    def watched(self, latents, gamma, memory=None, clean_estimate=None, *masks, **settings):
        shapes = [tuple(mask.shape) for mask in masks]
        seen.append((tuple(latents.shape), round(float(gamma), 4), memory, clean_estimate is None, shapes))
        return forward(self, latents, gamma, memory, clean_estimate, *masks, **settings)

    monkeypatch.setattr(type(tiny_pipe.denoiser), "forward", watched)
    tiny_pipe(num_samples=3, steps=4, max_length=12, seed=0)
    pipeline, seen[:] = list(seen), []
    bench_pipeline_overhead.bare_passes(tiny_pipe, 3, 12, 4)()
    assert len(seen) == 4
    assert seen == pipeline


def test_overhead_and_startup_leave_records(workplace, monkeypatch) -> None:
    sizes = ["--samples", "2", "--steps", "2", "--length", "8", "--runs", "2"]
    bench_pipeline_overhead.main(options(workplace, *sizes, data=False))
    (record,) = records(workplace, "pipeline_overhead/*.json")
    assert len(record["figures"]["ratios"]) == 2
    assert min(record["figures"]["ratios"]) > 0.5
    monkeypatch.setattr(bench_startup, "generate_seconds", lambda model, samples: 1.5)
    bench_startup.main(options(workplace, "--runs", "1", data=False))
    (record,) = records(workplace, "startup/*.json")
    assert record["figures"]["generate"]["median"] == 1.5
    assert 0 < record["figures"]["import"]["median"] < 60


def test_a_start_that_fails_is_no_figure(monkeypatch) -> None:
    failed = subprocess.CompletedProcess([], 2, "", "diffusionlm generate: Unknown checkpoint 'no'.")
    monkeypatch.setattr(bench_startup.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(RuntimeError, match="Unknown checkpoint 'no'"):
        bench_startup.generate_seconds("no", 1)


def test_files_are_written_whole_or_not_at_all(tmp_path) -> None:
    path = tmp_path / "new" / "file.txt"
    write_text(path, "whole")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "broken \ud800")
    assert path.read_text() == "whole"
    assert [other.name for other in path.parent.iterdir()] == ["file.txt"]


def test_settings_have_one_key_whatever_their_order_and_another_where_they_differ() -> None:
    assert settings_key({"a": 1, "b": 2}) == settings_key({"b": 2, "a": 1})
    assert settings_key({"a": 1}) != settings_key({"a": 2})


def test_a_folder_without_weights_has_no_facts(workplace) -> None:
    (workplace / "model" / "denoiser" / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="has no denoiser"):
        checkpoint_facts(workplace / "model")
