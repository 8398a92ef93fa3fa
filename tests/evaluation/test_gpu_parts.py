"""What comes back from a GPU in parts is whole again, or is refused by name."""

import json

import pytest

from benchmarks.gpu.parts import LIST, carry, join, split


@pytest.fixture
def folder(tmp_path):
    """A pipeline folder with a file of several parts, a small one, and an empty one."""
    whole = tmp_path / "whole"
    (whole / "denoiser").mkdir(parents=True)
    (whole / "denoiser" / "model.safetensors").write_bytes(bytes(range(256)) * 10)
    (whole / "model_index.json").write_text("{}")
    (whole / "README.md").write_text("")
    return whole


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_parts_are_small_and_make_the_folder_again(folder, tmp_path):
    written = split(folder, tmp_path / "parts", size=1000)
    assert written[0].name == LIST
    assert max(path.stat().st_size for path in written[1:]) == 1000
    assert len(written) == 1 + 3 + 1 + 1
    join(tmp_path / "parts", tmp_path / "again")
    assert contents(tmp_path / "again") == contents(folder)


def test_what_is_too_much_for_one_command_comes_with_the_next(folder, tmp_path):
    files = split(folder, tmp_path / "parts", size=1000)
    most = files[0].stat().st_size + 2100
    left = carry(files, tmp_path / "back" / "first", tmp_path / "rest", most)
    first, rest = contents(tmp_path / "back" / "first"), contents(tmp_path / "rest")
    assert sum(map(len, first.values())) <= most
    assert left == len(rest) > 0
    assert not set(first) & set(rest)
    with pytest.raises(FileNotFoundError, match=r"parts are missing in .* 'run.sh rest' brings them"):
        join(tmp_path / "back", tmp_path / "again")
    (tmp_path / "rest").rename(tmp_path / "back" / "second")
    join(tmp_path / "back", tmp_path / "again")
    assert contents(tmp_path / "again") == contents(folder)


def test_damaged_parts_and_a_folder_without_a_list_are_refused(folder, tmp_path):
    split(folder, tmp_path / "parts", size=1000)
    listed = json.loads((tmp_path / "parts" / LIST).read_text())
    part = tmp_path / "parts" / listed["denoiser/model.safetensors"]["parts"][1]
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match="denoiser/model.safetensors is not what was sent"):
        join(tmp_path / "parts", tmp_path / "again")
    with pytest.raises(FileNotFoundError, match=f"no {LIST}"):
        join(folder, tmp_path / "again")
