"""Checkpoints: whole or not there, whatever happens while they are written; damaged ones are passed over aloud."""

import json
import resource

import pytest
import torch

from diffusionlm.training import checkpoints
from diffusionlm.training.checkpoints import (
    CheckpointError,
    list_checkpoints,
    load_checkpoint,
    load_newest_checkpoint,
    save_checkpoint,
)


def save(folder, step, value=0.0, keep=2, size=8):
    weights = {"w": torch.full((size,), value)}
    optimizers = [{"state": {0: {"step": torch.tensor(float(step))}}, "param_groups": [{"lr": 0.1, "params": [0]}]}]
    return save_checkpoint(folder, step, {"model": weights, "average": weights}, optimizers, {"seen": step}, keep)


def steps(folder):
    return [int(path.name.removeprefix("step_")) for path in list_checkpoints(folder)]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_is_saved_is_loaded(tmp_path):
    path = save(tmp_path, 7, 3.5)
    tensors, optimizers, state = load_checkpoint(path)
    assert set(tensors) == {"model", "average"}
    assert tensors["model"]["w"].tolist() == [3.5] * 8
    assert optimizers[0]["state"][0]["step"].item() == 7.0
    assert state == {"step": 7, "seen": 7}


def test_the_newest_are_kept_and_nothing_else_lies_about(tmp_path):
    for step in range(1, 6):
        save(tmp_path, step, keep=2)
    assert names(tmp_path) == ["step_00000004", "step_00000005"]
    assert load_newest_checkpoint(tmp_path)[2]["step"] == 5


def test_a_checkpoint_of_the_same_step_is_replaced(tmp_path):
    save(tmp_path, 4, 1.0)
    save(tmp_path, 4, 2.0)
    assert load_newest_checkpoint(tmp_path)[0]["model"]["w"][0] == 2.0
    assert names(tmp_path) == ["step_00000004"]


def test_no_checkpoints_are_none(tmp_path):
    assert load_newest_checkpoint(tmp_path / "nowhere") is None
    save(tmp_path, 1)
    (tmp_path / "step_00000001" / "state.json").unlink()
    assert load_newest_checkpoint(tmp_path) is None


@pytest.mark.parametrize("room", [100, 3000, 20_000])
def test_a_full_disk_spoils_nothing(tmp_path, room):
    save(tmp_path, 1, 1.0, size=10_000)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))  # no file may grow beyond `room` bytes
    try:
        with pytest.raises(OSError, match=r"step_00000002 cannot be written .* Older .* are intact: make room"):
            save(tmp_path, 2, 2.0, size=10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(tmp_path) == ["step_00000001"]
    assert load_newest_checkpoint(tmp_path)[0]["model"]["w"][0] == 1.0


@pytest.mark.parametrize("when", ["save_file", "torch.save"])
def test_a_failure_in_the_middle_leaves_no_draft(tmp_path, monkeypatch, when):
    def fail(*_, **__):
        raise RuntimeError("PytorchStreamWriter failed writing file: file write failed")

    save(tmp_path, 1)
    monkeypatch.setattr(f"diffusionlm.training.checkpoints.{when}", fail)
    with pytest.raises(OSError, match="file write failed"):
        save(tmp_path, 2)
    assert names(tmp_path) == ["step_00000001"]


def test_what_a_killed_writer_left_is_no_checkpoint_and_is_removed(tmp_path):
    save(tmp_path, 1)
    for name in (".draft_step_00000002", ".stale_step_00000001"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(b"half")
    assert steps(tmp_path) == [1]
    save(tmp_path, 2)
    assert names(tmp_path) == ["step_00000001", "step_00000002"]


FILES = ["model.safetensors", "average.safetensors", "optimizers.pt", "state.json"]


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("share", [0.0, 0.5, 0.95])
def test_a_truncated_newest_checkpoint_is_passed_over_aloud(tmp_path, caplog, file, share):
    save(tmp_path, 1, 1.0)
    path = save(tmp_path, 2, 2.0) / file
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    tensors, _, state = load_newest_checkpoint(tmp_path)
    assert state["step"] == 1
    assert tensors["model"]["w"][0] == 1.0
    assert "step_00000002 is damaged" in caplog.text
    assert "Trying the one before." in caplog.text


@pytest.mark.parametrize("file", FILES[:3])
def test_a_missing_file_is_damage(tmp_path, caplog, file):
    save(tmp_path, 1)
    (save(tmp_path, 2) / file).unlink()
    assert load_newest_checkpoint(tmp_path)[2]["step"] == 1
    assert "step_00000002 is damaged" in caplog.text


def test_if_all_are_damaged_the_run_does_not_start_over_by_itself(tmp_path):
    for step in (1, 2):
        (save(tmp_path, step) / "optimizers.pt").write_bytes(b"")
    with pytest.raises(CheckpointError, match="All 2 checkpoints in .* are damaged. Restore one from a copy"):
        load_newest_checkpoint(tmp_path)


def test_optimizer_states_run_no_code(tmp_path):
    path, marker = save(tmp_path, 1), tmp_path / "marker"

    class Bomb:
        def __reduce__(self):
            return (open, (str(marker), "w"))

    torch.save([Bomb()], path / "optimizers.pt")
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(path)
    assert not marker.exists()


def test_the_format_is_plain_files(tmp_path):
    path = save(tmp_path, 12)
    assert names(path) == sorted(FILES)
    assert json.loads((path / "state.json").read_text())["step"] == 12
    assert checkpoints.PREFIX == "step_"
