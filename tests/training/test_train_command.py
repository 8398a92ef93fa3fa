"""``diffusionlm train``: what it says, what it refuses, and that the same command continues, finishes and exports."""

import json
import os
import signal

import pytest
import yaml
from miniature_run import SMALL_MODEL

from diffusionlm import DiffusionLMPipeline, cli
from diffusionlm.training.plot import can_plot


@pytest.fixture
def train(tmp_path, texts, monkeypatch, capfd):
    """Runs ``diffusionlm train`` in an empty folder; returns exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DIFFUSIONLM_TRACEBACK", raising=False)

    def run(*arguments, data=True):
        given = [f"data.train={texts}"] if data else []
        code = cli.main(["train", *arguments, *given])
        output = capfd.readouterr()
        return code, output.out, output.err

    return run


SMALL = (
    *SMALL_MODEL,
    "trainer.max_steps=6",
    "trainer.log_every=2",
    "trainer.save_every=3",
    "trainer.valid_every=6",
    "trainer.sample_after=0",
    "trainer.max_minutes=0",
    "samples=2",
)


def test_a_run_from_the_first_step_to_the_pipeline_and_once_more(train, tmp_path):
    code, out, _ = train(*SMALL)
    assert code == 0
    assert "tiny begins: 180 texts (20 more are kept for validation: data.holdout), vocabulary" in " ".join(out.split())
    assert "step 6/6  bound" in out
    assert out.count("  | ") == 2
    assert "The pipeline is in runs/tiny/pipeline" in out
    run = tmp_path / "runs" / "tiny"
    assert "parameters" in out
    assert "GFLOP a step, in " in out
    assert "step 1/6  loss" in out
    assert "of what matrix products reach here" in out
    drawn = {"training.png"} if can_plot() else set()
    assert {"checkpoints", "corpus", "log.jsonl", "pipeline", "run.json", "tensorboard", "tokenizer"} | drawn == {
        path.name for path in run.iterdir()
    }
    entries = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in entries] == [2, 4, 6, 6]
    assert len(entries[-1]["samples"]) == 2
    pipe = DiffusionLMPipeline.from_pretrained(run / "pipeline")
    assert pipe.card["training"]["steps"] == 6
    assert pipe.card["name"] == "tiny"

    (run / "pipeline" / "model_index.json").unlink()
    (run / "pipeline").rename(tmp_path / "elsewhere")
    code, out, _ = train(*SMALL)
    assert code == 0
    assert "The run in runs/tiny is finished (step 6); it is exported again." in out
    assert (run / "pipeline" / "model_index.json").is_file()
    assert len((run / "log.jsonl").read_text().splitlines()) == 4

    code, out, _ = train(*SMALL, "trainer.max_steps=8", "samples=0", "export=other")
    assert code == 0
    assert "tiny continues from step 6" in out
    assert DiffusionLMPipeline.from_pretrained(tmp_path / "other").card["training"]["steps"] == 8

    code, _, err = train(*SMALL, "model.hidden_size=64")
    assert code == 2
    assert "was begun with other settings: model.hidden_size was 32, now 64" in err


def test_cfg_prints_what_the_command_would_use_and_does_nothing(train, tmp_path):
    code, out, _ = train("--cfg", "model=medium", "trainer.max_steps=7")
    config = yaml.safe_load(out)
    assert code == 0
    assert config["model"]["hidden_size"] == 256
    assert config["trainer"]["max_steps"] == 7
    assert config["folder"] == "runs/model"
    assert train("--cfg", "job", "model=medium", "trainer.max_steps=7")[1] == out
    assert list(tmp_path.iterdir()) == []


def test_the_help_names_every_group_choice_and_setting(train, root):
    code, out, _ = train("--help", data=False)
    assert code == 0
    for group in ("experiment", "model", "data", "schedule", "optimizer", "sampler", "trainer"):
        assert f"  {group}=" in out
        for path in (root / "configs" / group).glob("[!_]*.yaml"):
            assert f"    {path.stem} " in out
    assert "_base" not in out
    assert "keep_checkpoints: 2" in out
    assert max(map(len, out.splitlines())) <= 125


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["trainer.max_step=5"], "trainer.max_steps"),
        (["max_steps=5"], "trainer.max_steps"),
        (["modell=tiny"], "model"),
        (["model=tinny"], "Did you mean model=tiny?"),
        (["experiment=restarant"], "Did you mean experiment=restaurant?"),
        (["optimizer=muon", "optimizer.matrix_learning_rat=1"], "optimizer.matrix_learning_rate"),
        (["data=e2e", "data.rot=folder"], "data.root"),
        (["restaurant"], "did you mean experiment=restaurant?"),
        (["--hepl"], "did you mean --help?"),
        (["--multirun"], "there are --help and --cfg."),
        (["+model.num_expert=4"], "did you mean 'model.num_experts'?"),
        (["trainer.max_steps=many"], "trainer.max_steps must be of type int, got 'many'"),
        (["model.hidden_size=33"], "hidden_size (33)"),
        (["sampler.eta=7"], "eta"),
        (["trainer.attention=flash_attention_9"], "allowed are sdpa, eager"),
        (["trainer.attention=flash_attention_2", "model.position_kind=alibi"], "cannot add ALiBi's bias"),
        (["data.task_weights={wholee: 1}"], "Key 'wholee' is not in struct"),
    ],
)
def test_mistakes_end_with_exit_code_2_and_the_nearest_valid_name(train, tmp_path, arguments, hint):
    code, _, err = train("trainer.max_steps=1", *arguments)
    assert code == 2
    assert err.startswith("diffusionlm train: ")
    assert hint in err
    assert err.count("\n") == 1
    assert not (tmp_path / "runs" / "model" / "checkpoints").exists()


def test_what_is_missing_is_named(train, tmp_path):
    assert "data.train is not set; give data.train=..." in train(data=False)[2]
    assert "data.name" in train("data=hub", "data.text_field=text", data=False)[2]
    code, _, err = train("experiment=restaurant", data=False)
    assert code == 2
    assert "'data/e2e/train.txt' does not exist; set data.root=FOLDER" in err
    assert "tuetschek/e2e_nlg" in err
    assert "'nowhere.txt' does not exist; set data.train=FILE" in train("data.train=nowhere.txt", data=False)[2]
    assert list(tmp_path.iterdir()) == []


def test_an_export_folder_of_something_else_is_refused_before_training(train, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    code, _, err = train(*SMALL, "export=.")
    assert code == 2
    assert "is not empty and holds no pipeline" in err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_interrupted_run_says_how_to_go_on(train, monkeypatch):
    from diffusionlm.training.trainer import Trainer

    def interrupt(self, drawn):
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "_train_step", interrupt)
    code, out, _ = train(*SMALL)
    assert code == 130
    assert "Stopped at step 0; the same command continues from the newest checkpoint." in out


def test_sigterm_saves_the_step_under_way_and_the_same_command_goes_on(train, tmp_path, monkeypatch):
    from diffusionlm.training.trainer import Trainer

    step = Trainer._train_step

    def asked(self, drawn):
        if self.step == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, drawn)

    monkeypatch.setattr(Trainer, "_train_step", asked)
    code, out, _ = train(*SMALL, "trainer.save_every=100")
    assert code == 128 + signal.SIGTERM
    assert "Stopped at step 2, which is saved; the same command continues from there." in out
    assert [path.name for path in (tmp_path / "runs" / "tiny" / "checkpoints").iterdir()] == ["step_00000002"]
    monkeypatch.setattr(Trainer, "_train_step", step)
    code, out, _ = train(*SMALL, "trainer.max_steps=2")
    assert code == 0
    assert "is finished (step 2); it is exported again" in out


def test_a_diverging_run_is_one_sentence(train, monkeypatch):
    from diffusionlm.training.trainer import Trainer

    def diverge(self, drawn):
        raise FloatingPointError("The gradient is not finite at step 3.")

    monkeypatch.setattr(Trainer, "_train_step", diverge)
    code, _, err = train(*SMALL)
    assert code == 2
    assert err == "diffusionlm train: The gradient is not finite at step 3.\n"
