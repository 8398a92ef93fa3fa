"""Short forms of `bench_soak`, `bench_kill` and `bench_truncated`, and the faults that they have to see."""

import json
import multiprocessing
import time
from pathlib import Path

import pytest

from benchmarks.bench_kill import kill_often
from benchmarks.bench_soak import Soak, in_process, page_values, soak_in_process
from benchmarks.bench_truncated import Cuts, cut, cut_all
from benchmarks.killed_works import Work, digest_of
from benchmarks.random_orders import Asked
from benchmarks.small_files import Kept
from diffusionlm.checkpoints.files import atomic_folder, recover
from diffusionlm.studio.catalogue import cards

FORKS = "fork" in multiprocessing.get_all_start_methods()


def test_random_orders_are_written_or_refused_with_a_sentence(tiny_pipe, tmp_path):
    tiny_pipe.save_pretrained(tmp_path / "own")
    found = soak_in_process(str(tmp_path / "own"), orders=8, steps=2, seed=3)
    assert found.faults == {}
    assert found.written + found.refused.total() == 8
    assert found.written
    assert found.memory[-1][1] > 0


def test_orders_that_fail_without_a_sentence_and_missing_answers_are_faults(monkeypatch):
    def stumble(*_, **__):
        yield 1 / 0

    found, asked = Soak(), Asked(("[SPAN]", "", 1, 2, 1.0, 0, ""), False)
    monkeypatch.setattr("benchmarks.bench_soak.carry_out", stumble)
    found.judge(in_process([], "guestbook", found)(asked), asked, 1.0)
    assert [kind.partition(" at ")[0] for kind in found.faults] == ["ZeroDivisionError"]
    for state in ({}, {"state": "live"}, {"state": "error", "message": "Something went wrong here (KeyError)."}):
        found = Soak()
        found.judge(state, asked, 1.0)
        assert len(found.faults) == 1
    assert page_values(asked, cards()[:1], "own")[:9] == ["own", "[SPAN]", "", 1, 2, 1.0, 0, "", False]


def test_memory_that_grows_is_told_by_the_hour():
    found = Soak(memory=[(60.0 * minute, 500.0 + 2.0 * minute) for minute in range(20)])
    assert found.slope() == pytest.approx(120.0)
    assert found.figures()["memory_mb_per_hour"] == pytest.approx(120.0)


def write_pair(folder: Path, turns: int = 30) -> None:
    """Two files that belong together, again and again, each time as a folder in one step."""
    for turn in range(turns):
        with atomic_folder(folder / "pair") as draft:
            for name in "ab":
                (draft / name).write_text(f"{turn}")
                time.sleep(0.001)


def write_pair_in_place(folder: Path) -> None:
    (folder / "pair").mkdir(exist_ok=True)
    for turn in range(30):
        for name in "ab":
            (folder / "pair" / name).write_text(f"{turn}")
            time.sleep(0.002)


def read_pair(folder: Path) -> None:
    one, other = ((folder / "pair" / name).read_text() for name in "ab")
    if one != other:
        raise ValueError(f"{one} stands beside {other}")


def begin_pair(folder: Path) -> None:
    write_pair(folder, 1)


@pytest.mark.skipif(not FORKS, reason="this system starts no processes by fork")
@pytest.mark.parametrize(("write", "whole"), [(write_pair, True), (write_pair_in_place, False)])
def test_a_folder_is_the_old_or_the_new_one_at_every_kill(tmp_path, write, whole):
    work = Work(begin_pair, write, read_pair, lambda folder: digest_of(folder, "a", "b"))
    found = kill_often(work, tmp_path, 5, method="fork")
    assert found.kills == 5
    assert (found.faults == []) is whole


def test_without_an_exchange_of_names_the_old_folder_is_put_back(tmp_path, monkeypatch):
    monkeypatch.setattr("diffusionlm.checkpoints.files._exchange", lambda one, other: False)
    write_pair(tmp_path, 2)
    assert (tmp_path / "pair" / "a").read_text() == "1"
    (tmp_path / "pair").rename(tmp_path / ".stale_pair")  # killed between the two names
    recover(tmp_path / "pair")
    read_pair(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["pair"]


def test_files_cut_short_are_named_in_a_sentence(tmp_path):
    kinds = ("tokenizer", "classifier", "tables", "concept", "checkpoint", "corpus", "store", "adapter")
    found = cut_all(tmp_path, kinds, places=3, every_byte=False)
    assert found.faults == {}
    assert found.refused.total() > 40


def test_other_errors_other_contents_and_sentences_without_the_file_are_faults(tmp_path):
    file = tmp_path / "x.json"

    def judged(load, text='{"a": 1}\n', place=3):
        found = Cuts()
        file.write_text(text)
        cut(Kept("x", tmp_path, load), file, [place], found)
        assert file.read_text() == text
        return [kind.partition(" at ")[0] for _, kind in found.faults]

    def unnamed():
        try:
            return str(json.loads(file.read_text()))
        except ValueError as error:
            raise ValueError("It is damaged.") from error

    assert judged(lambda: str(json.loads(file.read_text()))) == ["JSONDecodeError"]
    assert judged(file.read_text) == ["other contents"]
    assert judged(unnamed) == ["the sentence"]
    assert judged(lambda: str(json.loads(file.read_text())), place=8) == []
