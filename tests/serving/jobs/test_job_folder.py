"""The output folder: of one job, its parts whole or not there, whatever happens while they are written."""

import errno
import json
import os

import pytest

from diffusionlm.serving.jobs.folder import JobFolder


def test_a_folder_is_of_one_job(tmp_path) -> None:
    folder = JobFolder(tmp_path / "out")
    folder.claim({"input": "abc", "steps": 8})
    JobFolder(tmp_path / "out").claim({"input": "abc", "steps": 8})
    with pytest.raises(ValueError, match="holds another job: its steps is 8, here it is 16"):
        folder.claim({"input": "abc", "steps": 16})
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="not empty and holds no job"):
        JobFolder(tmp_path / "other").claim({"input": "abc"})
    with pytest.raises(ValueError, match="is a file"):
        JobFolder(tmp_path / "other" / "notes.txt").claim({})


def test_a_part_that_is_written_again_is_the_same_part(tmp_path) -> None:
    folder = JobFolder(tmp_path)
    for _ in range(2):
        folder.write_part(3, [{"row": 1, "texts": ["é"]}], [{"row": 2, "error": "no"}])
    assert folder.done() == {3}
    assert json.loads((tmp_path / "part-000003.jsonl").read_text()) == {"row": 1, "texts": ["é"]}
    assert (folder.gather_failed(), folder.count_failed()) == (1, 1)
    folder.write_part(3, [{"row": 1}], [])
    assert folder.gather_failed() == 0
    assert not (tmp_path / "failed.jsonl").exists()


@pytest.mark.parametrize("at", ["write", "fsync", "replace"])
def test_a_full_disk_leaves_nothing_half_written_and_says_what_to_do(tmp_path, monkeypatch, at) -> None:
    folder = JobFolder(tmp_path)
    folder.write_part(0, [{"row": 0}], [])

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    if at == "write":
        monkeypatch.setattr("diffusionlm.serving.jobs.folder._lines", lambda rows: (full() for _ in rows))
    else:
        monkeypatch.setattr(os, at, full)
    with pytest.raises(OSError, match="is full.*give the same command again"):
        folder.write_part(1, [{"row": 1}], [])
    monkeypatch.undo()
    assert folder.done() == {0}
    assert [path.name for path in tmp_path.iterdir()] == ["part-000000.jsonl"]


def test_what_a_killed_process_left_is_removed_and_is_no_part(tmp_path) -> None:
    folder = JobFolder(tmp_path)
    (tmp_path / ".part-000001.jsonl.77-abcd.tmp").write_text('{"row":')
    assert folder.done() == set()
    folder.claim({"input": "abc"})
    folder.tidy()
    assert [path.name for path in tmp_path.iterdir()] == ["job.json"]


def test_parts_of_parquet(tmp_path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    assert pyarrow
    import pyarrow.parquet as parquet

    rows = [
        {"row": 0, "texts": ["a"], "certificates": [{"x": True}]},
        {"row": 1, "id": 7, "texts": [], "certificates": []},
    ]
    JobFolder(tmp_path, "parquet").write_part(0, rows, [])
    read = parquet.read_table(tmp_path / "part-000000.parquet").to_pylist()
    assert [row["texts"] for row in read] == [["a"], []]
    assert json.loads(read[0]["certificates"]) == [{"x": True}]
    assert read[1]["id"] == 7
    assert [row["key"] for row in read] == ['"k"', "3"]


def test_rows_that_json_cannot_hold_as_they_are_do_not_stop_a_part(tmp_path) -> None:
    import datetime

    failed = [{"row": 1, "error": "no", "given": {"text": "\ud800"}}]
    JobFolder(tmp_path).write_part(0, [{"row": 0, "day": datetime.date(2026, 1, 2)}], failed)
    assert json.loads((tmp_path / "part-000000.jsonl").read_text())["day"] == "2026-01-02"
    assert json.loads((tmp_path / "failed" / "part-000000.jsonl").read_text())["given"] == {"text": "\ud800"}
