"""Throughput: a row for every configuration, one count of operations for all backends, reasons for what is left out."""

import json

import pytest

from benchmarks import bench_throughput


def test_every_configuration_has_a_row_and_operations_do_not_depend_on_how_they_are_done(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(bench_throughput.SIZE, "cpu", 64)
    sizes = ["--shape", "tiny", "--vocab-size", "64", "--batch", "2", "--length", "8", "--rounds", "1", "--experts"]
    kinds = ["--backends", "eager", "sdpa", "flash_attention_3", "--precisions", "float32", "bfloat16"]
    bench_throughput.main([*sizes, *kinds, "--out", str(tmp_path)])
    (file,) = (tmp_path / "throughput").glob("*.json")
    record = json.loads(file.read_text())
    rows = record["figures"]["rows"]
    assert len(rows) == 2 * 2 * 2 * 2  # experts, backends, precisions, and the two steps
    counted = {(row["what"], row["experts"]): row["operations"] for row in rows}
    assert all(row["operations"] == counted[row["what"], row["experts"]] for row in rows)
    for experts in (0, 8):
        ratio = counted["training step", experts] / counted["denoising step", experts]
        assert ratio == pytest.approx(3, rel=0.1)  # the backward pass is two forward ones
    assert counted["denoising step", 8] == pytest.approx(counted["denoising step", 0], rel=0.3)  # as many are active
    for row in rows:
        assert row["tokens_per_second"] == pytest.approx(16 / row["seconds"])
        assert row["share_of_matrix_product"] > 0
        assert row["peak_memory_mib"] > 10
    (reason,) = record["figures"]["left_out"]
    assert reason.startswith("flash_attention_3: ")
    assert "Left out: flash_attention_3" in capsys.readouterr().out
    assert record["environment"]["versions"]["torch"]
