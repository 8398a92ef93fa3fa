"""The regression guard tells what moved, and only that."""

import json

import pytest

from benchmarks import regression
from benchmarks.regression import Measured, report, verdict


def timed(value, spread=0.1):
    return Measured(value, value * (1 - spread), value * (1 + spread), "lower", True)


@pytest.mark.parametrize(
    ("now", "before", "said"),
    [
        (timed(1.1), timed(1.0), ""),  # quartiles meet
        (timed(1.24, 0.01), timed(1.0, 0.01), ""),  # apart, but by less than a quarter
        (timed(1.5), timed(1.0), "worse"),
        (timed(0.5), timed(1.0), "better"),
        (Measured(0.9, 0.9, 0.9, "higher", False), Measured(1.0, 1.0, 1.0, "higher", False), "worse"),
        (Measured(0.6, 0.5, 0.7, "higher", False), Measured(0.65, 0.5, 0.8, "higher", False), ""),
        (Measured(2.5, 2.4, 2.6, "lower", False), Measured(2.1, 2.0, 2.2, "lower", False), "worse"),
    ],
)
def test_what_counts_as_moved(now, before, said):
    assert verdict(now, before) == said


def test_the_report_names_what_is_worse_new_and_gone():
    text, worse = report({"a": timed(2.0), "b": timed(1.0)}, {"a": timed(1.0), "c": timed(1.0)})
    assert worse == ["a"]
    assert "| b |  | 1 (0.9 to 1.1) | lower | new |" in text
    assert "| c | 1 |  | lower | gone |" in text


def test_a_run_is_stored_compared_and_tells_a_regression_by_its_exit_code(bench, monkeypatch, capsys):
    monkeypatch.setattr(regression, "TEXTS", ("The Mill is cheap.", "A pub.", "The river is near."))
    mark = bench / "mark.json"
    given = ["--model", str(bench / "model"), "--mark", str(mark), "--out", str(bench / "out"), "--rounds", "2"]
    assert regression.main([*given, "--update"]) == 0
    data = json.loads(mark.read_text())
    assert data["figures"]["a phrase is there"]["value"] == data["figures"]["a length is exact"]["value"] == 1.0
    assert "environment" in data
    for name, figure in data["figures"].items():  # times of so small a model tell nothing
        if figure["timed"]:
            data["figures"][name] |= {"low": 0.0, "high": 1e9}
    data["figures"]["likelihood bound, nats a token"] |= {"value": 0.1, "low": 0.0, "high": 0.2}
    mark.write_text(json.dumps(data))
    assert regression.main(given) == 1
    assert "1 figures became worse: likelihood bound, nats a token." in capsys.readouterr().out
    data["settings"]["sha256"] = "0" * 64
    mark.write_text(json.dumps(data))
    with pytest.raises(ValueError, match="call again with --update"):
        regression.main(given)
