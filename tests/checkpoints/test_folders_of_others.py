"""Defaults, weights and cards of a folder in the form of transformers, beside those of our own."""

import json

import pytest

from diffusionlm.checkpoints.folders import OWN, bundled_names, defaults_file, read_defaults, weight_files
from diffusionlm.evaluation.record import checkpoint_facts
from diffusionlm.families import masked_lm
from diffusionlm.families.tiny import tiny_module


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("bert")
    module, source = tiny_module("bert")
    module.save_pretrained(path)
    source.save_pretrained(path)
    return path


def test_what_training_left_in_the_configuration_is_read_and_written(folder):
    assert OWN == masked_lm.OWN
    assert read_defaults(folder) == {}
    path, content = defaults_file(folder, {"temperature": 0.8, "card": {"summary": "short texts"}})
    assert path == folder / "config.json"
    assert content["model_type"] == "bert"
    path.write_text(json.dumps(content))
    assert read_defaults(folder)["temperature"] == 0.8
    facts = checkpoint_facts(folder)
    assert facts["model"] == folder.name
    assert facts["temperature"] == 0.8
    assert len(facts["sha256"]) == 64


def test_a_folder_without_weights_or_with_a_damaged_configuration_is_named(folder, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match=r"has no \*\.safetensors"):
        weight_files(tmp_path)
    (tmp_path / "config.json").write_text("[")
    with pytest.raises(ValueError, match="cannot be read"):
        read_defaults(tmp_path)
    assert [file.suffix for file in weight_files(folder)] == [".safetensors"]


def test_every_bundled_checkpoint_has_weights_a_card_and_defaults():
    for name in bundled_names():
        facts = checkpoint_facts(name)
        assert facts["max_length"] >= 24
        assert facts["sampler"]
