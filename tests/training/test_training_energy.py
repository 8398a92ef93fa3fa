"""Electricity of training: measured over interruptions, in the run folder and in the model's card."""

import json

import pytest
from miniature_run import SMALL_MODEL

from diffusionlm import DiffusionLMPipeline, cli
from diffusionlm.commands._training_energy import ENERGY_FILE, measured_so_far, told

pytest.importorskip("codecarbon")
SMALL = (
    *SMALL_MODEL,
    "trainer.save_every=2",
    "trainer.valid_every=4",
    "samples=0",
    "tensorboard=false",
    "energy.country=FRA",
)


def train(texts, *more):
    return cli.main(["train", f"data.train={texts}", *SMALL, *more])


def test_every_call_adds_to_the_sum_that_the_card_holds(tmp_path, texts, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert train(texts, "trainer.max_steps=2") == 0  # not asked for
    folder = tmp_path / "runs" / "tiny"
    assert not (folder / ENERGY_FILE).exists()
    assert measured_so_far(folder) is None

    from diffusionlm.training.trainer import Trainer

    save = Trainer.save

    def interrupted(self, *arguments, **settings):
        save(self, *arguments, **settings)
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "save", interrupted)
    assert train(texts, "trainer.max_steps=6", "energy.enabled=true") == 130
    monkeypatch.setattr(Trainer, "save", save)
    assert train(texts, "trainer.max_steps=6", "energy.enabled=true") == 0
    lines = [json.loads(line) for line in (folder / ENERGY_FILE).read_text().splitlines()]
    assert [(line["from_step"], line["to_step"]) for line in lines] == [(2, 4), (4, 6)]
    whole = measured_so_far(folder)
    assert whole["steps"] == 4
    assert whole["wh"] == pytest.approx(lines[0]["wh"] + lines[1]["wh"])
    assert whole["wh"] > 0
    assert whole["country"] == "FRA"
    assert "W at full load" in whole["how"]
    assert "Electricity of 4 steps" in capfd.readouterr().out
    assert "by the mix of FRA" in told(whole)
    assert DiffusionLMPipeline.from_pretrained(folder / "pipeline").card["energy"] == pytest.approx(whole)


def test_mistakes_show_before_training(tmp_path, texts, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert train(texts, "energy.enabled=true", "energy.country=France") == 2
    assert "three capital letters" in capfd.readouterr().err
    assert not (tmp_path / "runs").exists()
