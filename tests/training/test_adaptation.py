"""A causal language model becomes a masked denoiser: what it learns, what is kept of it, and which base it is for."""

import json

import pytest
import torch
from miniature_run import make_config
from torch.nn import functional as F

from diffusionlm import DiffusionLMPipeline, cli
from diffusionlm.checkpoints.adapters import activate
from diffusionlm.checkpoints.causal import load_causal
from diffusionlm.families.tiny import tiny_module
from diffusionlm.training.adaptation import adapts_somebody_else_s, build_adaptation, spare_token

LORA = {
    "kind": "lora",
    "rank": 4,
    "alpha": 8.0,
    "dropout": 0.0,
    "targets": ["q_proj", "v_proj", "down_proj"],
    "base": "full",
}


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    """Folders of two tiny random Llamas with one tokenizer."""
    folder = tmp_path_factory.mktemp("bases")
    for seed in (0, 1):
        module, source = tiny_module("llama", seed)
        module.save_pretrained(folder / str(seed))
        source.save_pretrained(folder / str(seed))
    return folder / "0", folder / "1"


@pytest.fixture
def adapt(tmp_path, texts, bases):
    """Builds a run in an empty folder."""

    def make(where="run", **changes):
        changes = {
            "trainer__clean_share": 0.0,
            "trainer__self_condition_share": 0.0,
            "trainer__valid_batches": 1,
            **changes,
        }
        config = make_config(tmp_path / where, texts, **changes)
        config = {"init": str(bases[0]), "adapter": LORA, "samples": 1, "export": str(tmp_path / "adapter"), **config}
        config["data"] |= {"tokenizer": {"kind": "init"}, "max_length": 32, "limits": [32], "tokens_per_batch": 256}
        config["schedule"] = {"kind": "masking"}
        config["optimizer"] = {"name": "adamw", "learning_rate": 1e-2}
        return build_adaptation(config)

    return make


def test_the_bound_falls_and_the_base_stays(adapt, bases):
    run = adapt(trainer__max_steps=25, trainer__valid_every=100, trainer__save_every=100)
    before = run.trainer.validate()["valid_bound"]
    run.trainer.run()
    after = run.trainer.validate()["valid_bound"]
    assert after < 0.8 * before
    assert len(run.samples(run.trainer)) == 1

    folder = run.write({"name": "mine"})
    files = {path.name for path in folder.iterdir()}
    assert {
        "adapter.json",
        "adapter_config.json",
        "adapter_model.safetensors",
        "config.json",
        "tokenizer.json",
    } <= files
    assert "model.safetensors" not in files  # the base is not passed on
    pipe = DiffusionLMPipeline.from_pretrained(folder)
    assert pipe.card["training"]["valid_bound"] == pytest.approx(after)
    assert (pipe.model.switches.shift, pipe.model.switches.attention) == (1, "full")
    assert "river" in pipe("The [SPAN:4].", steps=4, seed=0, guidance={"phrases": {"include": ["river"]}}).texts[0]

    step = run.trainer.objective.step
    batch = run.trainer.train_source.batch(0)
    context = {name: value for name, value in batch.tensors().items() if name.startswith(("known", "prompt"))}
    sheet, none = step.lay(batch.span_mask, batch.span_positions, **context), torch.zeros_like(batch.span_mask)
    with torch.no_grad(), run.trainer.average.applied(run.trainer.denoiser):
        run.trainer.denoiser.eval()
        own = step.logits(sheet, batch.span_ids, batch.span_mask, none, torch.zeros(len(none)))
        ids = sheet.written(batch.span_ids, batch.span_mask)
        at = (sheet.at - 1).clamp_min(0)
        loaded = pipe.model.network.logits(ids, sheet, at, torch.zeros(()), pipe.model.switches)
    torch.testing.assert_close(loaded, own, rtol=1e-3, atol=1e-3)  # merged into the weights, beside them
    fresh, _ = load_causal(bases[0])
    with torch.no_grad():
        untouched = fresh(input_ids=ids[:1, :4]).logits
        kept = run.loaded.model.network.module
        activate(kept, None)
        torch.testing.assert_close(kept(input_ids=ids[:1, :4]).logits, untouched)


def test_the_loss_is_that_of_hidden_tokens_read_off_the_position_before(adapt, bases):
    run = adapt()
    step, batch = run.trainer.objective.step, run.trainer.train_source.batch(3)
    rows, length = batch.span_ids.shape
    noise, gamma = torch.randn(rows, length, 1), torch.linspace(-2, 2, rows)
    with torch.no_grad():
        losses, figures = step(
            **batch.tensors(), gamma=gamma, noise=noise, likelihood_weight=torch.ones(()), self_condition=False
        )
    assert figures == {}
    module, source = load_causal(bases[0])
    mask_id = spare_token(source)
    for row in range(rows):
        prompt = batch.prompt_ids[row][batch.prompt_mask[row]].tolist()
        prefix = list(run.loaded.model.frame.prefix)
        text = {
            int(p): int(i)
            for p, i, m in zip(batch.known_positions[row], batch.known_ids[row], batch.known_mask[row], strict=True)
            if m
        }
        hidden = {}
        share = torch.sigmoid(gamma[row])
        for place, token, used, draw in zip(
            batch.span_positions[row], batch.span_ids[row], batch.span_mask[row], noise[row, :, 0], strict=True
        ):
            if used:
                hides = bool(torch.special.ndtr(draw) < share)
                text[int(place)] = mask_id if hides else int(token)
                if hides:
                    hidden[int(place)] = int(token)
        written = [*prefix, *prompt, *(text[place] for place in range(max(text) + 1)), *run.loaded.model.frame.suffix]
        lead = len(prefix) + len(prompt)
        everything = torch.zeros(1, 1, len(written), len(written))  # nothing is barred: both ways
        with torch.no_grad():
            logits = module(input_ids=torch.tensor([written]), attention_mask=everything).logits[0]
        nats = sum(
            float(F.cross_entropy(logits[max(lead + place - 1, 0)], torch.tensor(token)))
            for place, token in hidden.items()
        )
        expected = nats / (float(share) * int(batch.span_mask[row].sum()))
        assert float(losses[row]) == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_a_stopped_run_goes_on_to_the_same_adapter(adapt):
    changes = {"trainer__max_steps": 4, "trainer__save_every": 2, "trainer__valid_every": 10}
    whole = adapt("whole", **changes)
    whole.trainer.run()
    adapt("parts", **{**changes, "trainer__max_steps": 2}).trainer.run()
    resumed = adapt("parts", **changes)
    resumed.trainer.run()
    assert resumed.trainer.step == 4
    pairs = zip(resumed.trainer.average.average, whole.trainer.average.average, strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    with pytest.raises(ValueError, match="was begun with other settings"):
        adapt("parts", adapter={**LORA, "rank": 2}, **changes)


def test_an_adapter_for_another_base_is_refused_and_a_moved_base_is_found(adapt, bases, tmp_path):
    run = adapt(trainer__max_steps=1)
    folder = run.write({})
    with pytest.raises(ValueError, match="was trained on another base"):
        DiffusionLMPipeline.from_pretrained(folder, base=str(bases[1]))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "base": str(tmp_path / "gone")}))
    with pytest.raises(
        FileNotFoundError, match=r"needs its base .*gone', which is not here; say where it lies with base=FOLDER"
    ):
        DiffusionLMPipeline.from_pretrained(folder)
    pipe = DiffusionLMPipeline.from_pretrained(folder, base=str(bases[0]))
    assert pipe.card["base"] == str(bases[0])
    with pytest.raises(ValueError, match="holds weights of its own, so base="):
        DiffusionLMPipeline.from_pretrained(bases[0], base="other", family="masked")
    (folder / "adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match="is damaged"):
        DiffusionLMPipeline.from_pretrained(folder)


def test_the_command_of_the_experiment_and_what_it_refuses(tmp_path, texts, bases, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("diffusionlm.training.plot.can_plot", lambda: False)
    settings = [
        "data.max_length=32",
        "data.limits=[32]",
        "data.tokens_per_batch=64",
        "adapter.rank=2",
        "trainer.max_steps=2",
    ]
    settings += [
        "trainer.valid_every=2",
        "trainer.valid_batches=1",
        "samples=1",
        "tensorboard=false",
        "trainer.sample_after=0",
    ]
    command = ["train", "experiment=adapt", f"init={bases[0]}", f"data.train={texts}", *settings]
    assert cli.main(command) == 0
    assert (
        "The adapter is in runs/adapt/adapter: diffusionlm generate checkpoint=runs/adapt/adapter"
        in capfd.readouterr().out
    )
    assert (
        cli.main(
            ["generate", "checkpoint=runs/adapt/adapter", "[SPAN:3] is here.", "num_samples=1", "steps=2", "seed=0"]
        )
        == 0
    )
    assert capfd.readouterr().out.strip().endswith("is here.")
    assert cli.main(["info", "runs/adapt/adapter"]) == 0
    assert f"adapter_of: {bases[0]}" in capfd.readouterr().out
    said = {
        "adapter=none": "is a causal language model of transformers, for which only an adapter is trained",
        "schedule=cosine": "A model of transformers learns to restore hidden tokens: give schedule=masking, not cosine",
        "adapter.base=4bit": "is for checkpoints of ours",
        "data.tokenizer.kind=bpe": "An adapter has the tokens of its base",
        "adapter.targets=[nothing]": "no linear layer of the base is called 'nothing'",
        "adapter.mask_token=<nothing>": "is no token of the tokenizer",
        "init=nowhere": "Unknown checkpoint 'nowhere'",
        "init=nowhere.gguf": "cannot be loaded as a causal language model",
    }
    for argument, sentence in said.items():
        assert cli.main([*command, "name=other", argument]) == 2, argument
        assert sentence in " ".join(capfd.readouterr().err.split()), argument
    assert cli.main(["train", "experiment=adapt", f"data.train={texts}"]) == 2
    assert "experiment=adapt needs a base: give init=NAME" in capfd.readouterr().err
    assert cli.main(["train", "experiment=adapt", "init=restaurant", f"data.train={texts}"]) == 2
    assert "init=restaurant is a checkpoint of ours, which is a denoiser already" in capfd.readouterr().err
    assert not adapts_somebody_else_s({"init": None})
    assert not adapts_somebody_else_s({"init": "restaurant"})
