"""Every experiment runs in miniature with the command that its file shows; every choice of a group composes."""

import json
import re
import shlex
from dataclasses import fields
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from diffusionlm import DiffusionLMPipeline, cli, guidance
from diffusionlm.commands._compose import compose_config
from diffusionlm.corpora.open_mix import load_recipe
from diffusionlm.denoiser import DenoiserConfig
from diffusionlm.diffusion import schedule_from_dict
from diffusionlm.samplers import make_sampler
from diffusionlm.training.run import check_config

CONFIGS = Path(__file__).parent.parent / "configs"
NEED_A_BASE = {"adapt", "masked_lm", "everyday_minilm"}  # run by tests/training/test_adaptation.py, test_masked_lm.py
EXPERIMENTS = sorted({path.stem for path in (CONFIGS / "experiment").glob("*.yaml")} - NEED_A_BASE)
CHOICES = [
    f"{group}={path.stem}"
    for group in ("model", "data", "schedule", "optimizer", "trainer", "sampler", "adapter")
    for path in sorted((CONFIGS / group).glob("[!_]*.yaml"))
]
MIXES = {"open-mix": "open_mix", "everyday": "everyday", "everyday_large": "everyday_large"}  # folder -> recipe
MIXES = {folder: load_recipe(recipe).parts for folder, recipe in MIXES.items()}

MINIATURE = (
    "model.embedding_size=8",
    "model.hidden_size=16",
    "model.num_hidden_layers=1",
    "model.num_attention_heads=2",
    "model.intermediate_size=32",
    "model.condition_size=16",
    "data.tokens_per_batch=96",
    "data.tokenizer.vocab_size=300",
    "data.max_length=24",
    "data.limits=[16,20,24]",
    "trainer.max_steps=3",
    "trainer.log_every=1",
    "trainer.valid_every=3",
    "trainer.valid_batches=1",
    "samples=1",
    "tensorboard=false",
    "init=null",
    "data.limit_weights=[]",
    "trainer.compile=false",
    "trainer.workers=0",
    "trainer.sample_after=0",
    "trainer.max_minutes=0",
)


def command_of(experiment):
    text = (CONFIGS / "experiment" / f"{experiment}.yaml").read_text()
    return re.search(r"^# (diffusionlm train .*)$", text, re.MULTILINE)[1]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder to work in, with data for every experiment."""
    monkeypatch.chdir(tmp_path)
    sentences = [f"The {name} is a {kind} near the river." for name in ("Mill", "Wrestlers") for kind in ("pub", "bar")]
    (tmp_path / "own.txt").write_text("\n".join(sentences * 10))
    (tmp_path / "FOLDER").mkdir()
    for name in ("train", "valid"):
        lines = [f"name : {s.split()[1]} | near : river||{s.replace('.', ' .')}" for s in sentences * 10]
        (tmp_path / "FOLDER" / f"{name}.txt").write_text("\n".join(lines))
        (tmp_path / "FOLDER" / "e2e").mkdir(exist_ok=True)
        (tmp_path / "FOLDER" / "e2e" / f"{name}.txt").write_text("\n".join(lines))
        (tmp_path / "FOLDER" / "guestbook").mkdir(exist_ok=True)
        rows = [json.dumps({"text": s, "prompt": "tone[praise]", "toxic": 0}) for s in sentences * 10]
        (tmp_path / "FOLDER" / "guestbook" / f"{name}.jsonl").write_text("\n".join(rows))
        for mix, parts in MIXES.items():
            (tmp_path / "FOLDER" / mix / name).mkdir(parents=True)
            for part in parts:
                rows = [json.dumps({"text": s, "prompt": f"source[{part}]"}) for s in sentences]
                (tmp_path / "FOLDER" / mix / name / f"{part}.jsonl").write_text("\n".join(rows))
    return tmp_path


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_runs_with_the_command_that_its_file_shows(experiment, folder):
    _, *arguments = shlex.split(command_of(experiment).replace("FILE", "own.txt"))
    assert f"experiment={experiment}" in arguments
    longer = ["data.max_length=64", "data.limits=[48,56,64]"] if "bytes" in experiment else []
    assert cli.main([*arguments, *MINIATURE, *longer]) == 0
    run = folder / "runs" / experiment
    entries = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in entries] == [1, 2, 3, 3]
    assert ("load_balancing_loss" in entries[0]) == (experiment == "restaurant_moe")
    pipe = DiffusionLMPipeline.from_pretrained(run / "pipeline")
    assert pipe.card["name"] == experiment
    assert isinstance(pipe(steps=2, seed=0).texts[0], str)


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_composes_to_settings_that_are_read(choice):
    overrides = [choice, "data.name=owner/name"] if choice == "data=hub" else [choice]
    config = compose_config("train", overrides)
    check_config(config)
    DenoiserConfig(**config["model"])
    schedule_from_dict(config["schedule"])
    make_sampler(config["sampler"])


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_an_experiment_has_its_own_name_and_folder_and_known_settings(experiment):
    config = compose_config("train", [f"experiment={experiment}"])
    assert config["name"] == experiment
    assert config["folder"] == f"runs/{experiment}"
    assert config["export"] == f"runs/{experiment}/pipeline"
    check_config(config)


def test_the_files_in_the_model_group_name_every_setting_of_the_network():
    config = compose_config("train", [])
    network = DenoiserConfig(**config["model"])
    for name, value in config["model"].items():
        if value is not None:
            assert getattr(network, name) == value
    # what the base file says is what the class would take by itself, but for the sizes
    sizes = {"hidden_size", "intermediate_size"}
    default = DenoiserConfig(hidden_size=network.hidden_size, intermediate_size=network.intermediate_size).to_dict()
    found = network.to_dict()
    assert {name for name in default if default[name] != found[name]} <= sizes


def test_the_bundled_experiment_keeps_its_meaning():
    config = compose_config("train", ["experiment=restaurant"])
    assert config["model"] == compose_config("train", ["model=small"])["model"]
    assert config["data"]["tokens_per_batch"] == 3072
    assert config["data"]["task_weights"] == {"whole": 0.65, "prefix": 0.1, "infill": 0.25}
    assert config["data"]["limits"] == [32, 48, 64]
    assert config["data"]["limit_weights"] == [0.3, 0.4, 0.3]
    assert config["data"]["prompt_share"] == 0.35
    assert config["data"]["tokenizer"]["vocab_size"] == 1536
    assert config["seed"] == 0


@pytest.mark.parametrize(
    ("choice", "mix"), [("open_mix", "open-mix"), ("everyday", "everyday"), ("everyday_large", "everyday_large")]
)
def test_a_mix_weighs_every_part_that_its_corpus_has_as_shares(choice, mix):
    data = compose_config("train", [f"data={choice}"])["data"]
    for split in ("train", "valid"):
        weights = {Path(source["path"]).stem: source["weight"] for source in data[split]}
        assert set(weights) == set(MIXES[mix])
        assert sum(weights.values()) == pytest.approx(1.0)
        assert {Path(source["path"]).parent.as_posix() for source in data[split]} == {f"data/{mix}/{split}"}


@pytest.mark.parametrize("path", sorted((CONFIGS / "guidance").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_plugin_is_as_strong_by_its_file_as_by_its_name(path):
    values = OmegaConf.to_container(OmegaConf.load(path))
    kind = getattr(guidance, values.pop("_target_").rpartition(".")[2])
    defaults = {item.name: item.default for item in fields(kind)}
    given = {name: value for name, value in values.items() if value != "???" and name != "strategy"}
    assert {n: list(v) if isinstance(v, tuple) else v for n, v in defaults.items() if n in given} == given
