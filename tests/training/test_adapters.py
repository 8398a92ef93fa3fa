"""Adapters: what learns, is kept and resumed; what a pipeline does with several; what is refused."""

import json
import shutil

import pytest
import torch
from miniature_run import SMALL_MODEL, make_config
from safetensors.torch import load_file

from diffusionlm import DiffusionLMPipeline, cli
from diffusionlm.checkpoints.base_weights import base_checksum, base_state
from diffusionlm.training.adapters import check_adapter, trained_share, trained_state
from diffusionlm.training.export import export_pipeline
from diffusionlm.training.run import build_trainer

pytest.importorskip("peft")

LORA = {
    "kind": "lora",
    "rank": 2,
    "alpha": 4.0,
    "dropout": 0.0,
    "targets": ["q_proj", "k_proj", "v_proj", "o_proj"],
    "base": "full",
}
INIT = {"data__tokenizer": {"kind": "init"}}


def config_of(folder, texts, base, adapter=LORA, **changes):
    return make_config(folder, texts, **INIT, **changes) | {"init": str(base), "adapter": dict(adapter)}


def learn(folder, texts, base, adapter=LORA, steps=4, **changes):
    """Trains an adapter and writes it to ``folder/adapter``."""
    settings = {"trainer__max_steps": steps, "optimizer__learning_rate": 0.05, **changes}
    trainer, tokenizer = build_trainer(config_of(folder, texts, base, adapter, **settings))
    trainer.run()
    return trainer, export_pipeline(trainer, tokenizer, folder / "adapter", card={"name": folder.name})


@pytest.fixture(scope="module")
def base(tmp_path_factory, texts):
    """A pipeline that was trained a little."""
    folder = tmp_path_factory.mktemp("base")
    trainer, tokenizer = build_trainer(make_config(folder / "run", texts, trainer__max_steps=4))
    trainer.run()
    return export_pipeline(trainer, tokenizer, folder / "pipeline")


@pytest.fixture(scope="module")
def two(tmp_path_factory, texts, base):
    """Folders of a LoRA and of a DoRA adapter."""
    folder = tmp_path_factory.mktemp("adapters")
    dora = LORA | {"kind": "dora", "targets": ["gate_up_proj", "o_proj"]}
    return learn(folder / "first", texts, base)[1], learn(folder / "second", texts, base, dora, seed=3)[1]


def logits(pipe, adapter=None):
    model = pipe._model_with(adapter)
    z = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))
    from diffusionlm.denoiser import Places
    from diffusionlm.diffusion import NoisyEmbeddings

    mask = torch.ones(2, 5, dtype=torch.bool)
    places = Places(mask, torch.arange(5).expand(2, -1), ~mask, (5, 5))
    with torch.no_grad():
        return model.log_posterior(NoisyEmbeddings(z, mask), torch.tensor(0.5), None, places, None)


@pytest.mark.parametrize("kind", ["lora", "dora"])
def test_only_the_adapter_learns_and_is_kept(kind, tmp_path, texts, base):
    trainer, folder = learn(tmp_path / "run", texts, base, LORA | {"kind": kind})
    before = load_file(base / "denoiser" / "model.safetensors")
    after = base_state(trainer.denoiser)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    saved = load_file(next((tmp_path / "run" / "checkpoints").glob("*4")) / "model.safetensors")
    assert saved.keys() == trainer.average.state_dict().keys() == trained_state(trainer.denoiser).keys()
    assert all("lora_" in name for name in saved)
    assert all(bool(value.any()) for name, value in saved.items() if "lora_B" in name)  # they started at zero
    assert 0 < trained_share(trainer.denoiser) < 0.5
    told = json.loads((folder / "adapter.json").read_text())
    assert told["card"]["training"]["steps"] == 4
    assert told["base_sha256"] == base_checksum(DiffusionLMPipeline.from_pretrained(base).denoiser)
    assert sum(file.stat().st_size for file in folder.iterdir()) < 20_000


def test_a_resumed_run_is_the_run_that_was_not_stopped(tmp_path, texts, base):
    whole, _ = learn(tmp_path / "whole", texts, base, steps=8)
    learn(tmp_path / "halves", texts, base, steps=8, trainer__max_steps=8, trainer__save_every=4)
    shutil.rmtree(tmp_path / "halves" / "checkpoints" / "step_00000008")
    resumed, _ = learn(tmp_path / "halves", texts, base, steps=8)
    ours, theirs = trained_state(resumed.denoiser), trained_state(whole.denoiser)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    averages = resumed.average.state_dict(), whole.average.state_dict()
    assert all(torch.equal(averages[0][name], averages[1][name]) for name in averages[1])
    with pytest.raises(ValueError, match="was begun with other settings: adapter.rank was 2, now 3"):
        build_trainer(config_of(tmp_path / "halves", texts, base, LORA | {"rank": 3}, optimizer__learning_rate=0.05))


def test_what_was_trained_is_what_the_pipeline_computes(tmp_path, texts, base):
    trainer, folder = learn(tmp_path / "run", texts, base)
    pipe = DiffusionLMPipeline.from_pretrained(base)
    pipe.load_adapter(folder, "mine")
    pipe.set_adapter("mine")
    with trainer.average.applied(trainer.denoiser):
        whole = DiffusionLMPipeline(trainer.denoiser.eval(), pipe.tokenizer, schedule=pipe.schedule)
        torch.testing.assert_close(logits(pipe), logits(whole))  # other attention backends


def test_several_adapters_are_switched_and_the_base_is_bit_identical(base, two):
    pipe, plain = (DiffusionLMPipeline.from_pretrained(base) for _ in range(2))
    for folder, name in zip(two, ("first", "second"), strict=True):
        pipe.load_adapter(folder, name)
    assert torch.equal(logits(pipe), logits(plain))  # loaded is not yet set
    each = {name: logits(pipe, name) for name in ("first", "second")}
    assert not torch.allclose(each["first"], logits(plain))
    assert not torch.allclose(each["first"], each["second"])
    pipe.set_adapter("second")
    assert torch.equal(logits(pipe), each["second"])
    assert torch.equal(logits(pipe, "first"), each["first"])
    assert torch.equal(logits(pipe, "base"), logits(plain))
    assert torch.equal(logits(pipe), each["second"])  # a call leaves what is set
    text = {"text": "the [SPAN:4]", "steps": 3, "seed": 0, "num_samples": 4}
    assert pipe(**text, adapter="base").token_ids == plain(**text).token_ids
    assert pipe(**text).settings["adapter"] == "second"
    streams = [pipe.stream(**text, adapter=name) for name in ("first", "base")]  # two calls at a time
    ends = [list(items) for items in zip(*streams, strict=True)][-1]
    assert [end.token_ids for end in ends] == [pipe(**text, adapter=n).token_ids for n in ("first", "base")]
    pipe.unload_adapter("second")
    assert torch.equal(logits(pipe), logits(plain))
    assert torch.equal(logits(pipe, "first"), each["first"])
    pipe.unload_adapter("first")
    assert pipe.adapters == {}
    assert pipe.denoiser.state_dict().keys() == plain.denoiser.state_dict().keys()


def test_merging_writes_it_into_the_weights(base, two, tmp_path):
    pipe = DiffusionLMPipeline.from_pretrained(base)
    for folder, name in zip(two, ("first", "second"), strict=True):
        pipe.load_adapter(folder, name)
    with pytest.raises(ValueError, match="No adapter is active"):
        pipe.merge_adapter()
    pipe.set_adapter("second")
    expected = logits(pipe)
    with pytest.raises(ValueError, match="'second' is set and would be lost: merge_adapter"):
        pipe.save_pretrained(tmp_path / "merged")
    pipe.merge_adapter()
    assert pipe.adapters == {}
    torch.testing.assert_close(logits(pipe), expected, rtol=1e-4, atol=1e-4)
    pipe.save_pretrained(tmp_path / "merged")
    again = DiffusionLMPipeline.from_pretrained(tmp_path / "merged")
    assert torch.equal(logits(again), logits(pipe))
    assert again.card["merged_adapters"][0]["name"] == "second"
    for changed in (pipe, again):
        with pytest.raises(ValueError, match="was trained on another base"):
            changed.load_adapter(two[0], "first")


def test_a_pipeline_with_adapters_saves_its_base(base, two, tmp_path):
    pipe = DiffusionLMPipeline.from_pretrained(base)
    pipe.load_adapter(two[0], "first")
    pipe.save_pretrained(tmp_path / "again")
    again = DiffusionLMPipeline.from_pretrained(tmp_path / "again")
    assert torch.equal(logits(again), logits(pipe, "base"))
    again.load_adapter(two[0], "first")  # the same base


def test_in_half_precision_it_is_the_same_base(base, two):
    pipe = DiffusionLMPipeline.from_pretrained(base, dtype=torch.bfloat16)
    pipe.load_adapter(two[0], "first")
    assert {p.dtype for n, p in pipe.denoiser.named_parameters() if "lora" in n} == {torch.bfloat16}
    assert isinstance(pipe(steps=2, seed=0, adapter="first").texts[0], str)


def test_damage_and_wrong_names_are_told(base, two, tmp_path):
    pipe = DiffusionLMPipeline.from_pretrained(base)
    with pytest.raises(ValueError, match="No adapter 'x' is loaded; call load_adapter"):
        pipe(steps=1, adapter="x")
    with pytest.raises(FileNotFoundError, match=r"has no adapter.json, so it is no adapter"):
        pipe.load_adapter(base, "x")
    for name in ("base", "", "a.b", 3):
        with pytest.raises(ValueError, match="An adapter's name is"):
            pipe.load_adapter(two[0], name)
    broken = shutil.copytree(two[0], tmp_path / "broken")
    weights = broken / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(ValueError, match="is damaged"):
        pipe.load_adapter(broken, "x")
    weights.write_bytes((two[1] / "adapter_model.safetensors").read_bytes())
    with pytest.raises(ValueError, match="SHA-256 differs"):
        pipe.load_adapter(broken, "x")
    assert pipe.adapters == {}
    pipe.load_adapter(two[0], "first")
    with pytest.raises(ValueError, match="There is an adapter 'first' already"):
        pipe.load_adapter(two[1], "first")
    with pytest.raises(ValueError, match="No adapter 'frist' is loaded; did you mean 'first'"):
        pipe.set_adapter("frist")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"kind": "lore"}, "adapter.kind must be one of none, lora, dora, got 'lore'"),
        ({"rank": 0}, "adapter.rank must be an integer of at least 1, got 0"),
        ({"alpha": -1}, "adapter.alpha must be a positive number"),
        ({"dropout": 1.0}, r"adapter.dropout must lie in \[0, 1\)"),
        ({"targets": []}, "adapter.targets must be a list of names"),
        ({"base": "8bit"}, "adapter.base must be one of full, 4bit"),
        ({"ranks": 2}, "There is no setting 'adapter.ranks'; did you mean 'adapter.rank'"),
    ],
)
def test_wrong_settings_are_told_before_work_starts(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        check_adapter({"adapter": LORA | change})


def test_an_adapter_needs_a_base_of_the_same_network(tmp_path, texts, base):
    with pytest.raises(ValueError, match="An adapter changes a checkpoint: give init=NAME"):
        build_trainer(config_of(tmp_path / "a", texts, base) | {"init": None})
    with pytest.raises(ValueError, match=r"give data.tokenizer.kind=init, not word"):
        build_trainer(make_config(tmp_path / "b", texts) | {"init": str(base), "adapter": LORA})
    with pytest.raises(
        ValueError, match=r"The base has process gaussian, the settings say masked.*model.process=gaussian"
    ):
        build_trainer(config_of(tmp_path / "c", texts, base, model__process="masked"))
    with pytest.raises(ValueError, match=r"no linear layer of the base is called 'query'; there are \["):
        build_trainer(config_of(tmp_path / "d", texts, base, LORA | {"targets": ["query"]}))
    assert not (tmp_path / "d" / "run.json").exists()


def test_four_bits_learn_too_and_serve_the_full_base(tmp_path, texts, base):
    pytest.importorskip("bitsandbytes")
    trainer, folder = learn(tmp_path / "run", texts, base, LORA | {"base": "4bit"}, steps=3)
    held = trainer.denoiser.blocks[0].attention.q_proj.base_layer.weight
    assert held.dtype == torch.uint8
    assert all("lora_" in name for name in trained_state(trainer.denoiser))
    pipe = DiffusionLMPipeline.from_pretrained(base)
    plain = logits(pipe)
    pipe.load_adapter(folder, "small")
    assert not torch.allclose(logits(pipe, "small"), plain)


def test_the_command_trains_and_generate_uses_it(tmp_path, texts, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    short = [*SMALL_MODEL, f"data.train={texts}", "trainer.max_steps=2", "trainer.valid_every=2", "samples=1"]
    assert cli.main(["train", *short, "name=base", "tensorboard=false"]) == 0
    given = [
        "adapter=dora",
        "init=runs/base/pipeline",
        "data.tokenizer={kind: init}",
        "name=tuned",
        "tensorboard=false",
    ]
    assert cli.main(["train", *short, *given]) == 0
    out = " ".join(capfd.readouterr().out.split())
    use = "generate checkpoint=runs/base/pipeline adapter=runs/tuned/adapter"
    assert use in out
    assert cli.main([*use.split(), "num_samples=2", "steps=2", "seed=0"]) == 0
    assert len(capfd.readouterr().out.strip("\n").splitlines()) == 2
