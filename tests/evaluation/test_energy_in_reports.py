"""Electricity in the report of an evaluation: how it was estimated, whose it is, and after a change of country."""

import json

import pytest

from diffusionlm.cli import main
from diffusionlm.evaluation.electricity import Energy, EnergyMeter

pytest.importorskip("codecarbon")


def evaluate(bench, *more):
    given = [f"checkpoint={bench / 'model'}", f"judge={bench / 'judge'}", f"out={bench / 'out'}", "steps=2"]
    task = ["tasks=[control/length]", "task.control_length.shortest=4", "task.control_length.longest=4"]
    assert main(["evaluate", *given, *task, "task.control_length.per_target=2", *more]) == 0
    return json.loads((bench / "out" / "results.json").read_text())


def figures(record):
    return {figure["name"]: figure["value"] for figure in record["tasks"]["control/length"]["figures"]}


def test_the_report_says_how_much_whose_and_how_it_was_estimated(bench, capsys):
    record = evaluate(bench, "energy.country=FRA", "energy.cpu_watts=50")
    found = figures(record)
    assert found["electricity of 1,000 samples"] > 0
    assert found["electricity of 1,000 samples unguided"] > 0
    assert found["CO2 of 1,000 samples"] > 0
    for name in ("report.md", "report.html"):
        text = (bench / "out" / name).read_text()
        assert "g CO2 by the mix of FRA" in text
        assert "offline" in text
        assert "50 W at full load" in text

    before = {path: path.stat().st_mtime_ns for path in (bench / "out" / "samples").iterdir()}
    other = evaluate(bench, "energy.country=POL", "energy.cpu_watts=50")  # samples stay, grams are Poland's
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert other["energy"]["country"] == "POL"
    assert figures(other)["electricity of 1,000 samples"] == pytest.approx(found["electricity of 1,000 samples"])
    assert figures(other)["CO2 of 1,000 samples"] > 2 * found["CO2 of 1,000 samples"]

    capsys.readouterr()
    again = evaluate(bench, "energy.country=POL")
    assert "kept from before" in capsys.readouterr().err
    assert again["energy"] == other["energy"]


def test_tasks_of_two_countries_are_not_said_to_be_of_one(bench):
    evaluate(bench, "energy.country=FRA")
    length = ["tasks=[control/length,likelihood]", "task.likelihood.count=2", "task.likelihood.levels=2"]
    data = f"data.root={bench / 'e2e'}"
    assert evaluate(bench, *length, data, "energy.country=POL")["energy"]["country"] == "POL"
    record = evaluate(bench, *length, data, "energy.enabled=false")  # what is kept has its own
    assert record["energy"]["country"] == "POL"
    for file in (bench / "out" / "tasks").glob("likelihood-*.json"):
        kept = json.loads(file.read_text())
        kept["energy"]["country"] = "FRA"
        file.write_text(json.dumps(kept))
    assert evaluate(bench, *length, data, "energy.enabled=false")["energy"]["country"] == "FRA; POL"


def test_what_was_written_without_a_meter_is_written_again_with_one(bench):
    assert evaluate(bench, "energy.enabled=false")["energy"] is None
    record = evaluate(bench, "energy.country=FRA")
    assert figures(record)["electricity of 1,000 samples"] > 0


def test_a_country_that_is_unknown_is_refused_with_those_near_it():
    with pytest.raises(ValueError, match=r"knows no electricity of 'FRX'.*FRA \(France\)"):
        EnergyMeter("FRX")
    meter = EnergyMeter("POL")
    of_france = Energy(cpu_wh=600.0, memory_wh=400.0, co2_grams=50.0, country="FRA")
    here = meter.here(of_france)
    assert (here.wh, here.country) == (1000.0, "POL")
    assert 300 < here.co2_grams < 1000
    assert EnergyMeter("FRA").here(of_france) is of_france
