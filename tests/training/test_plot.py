"""The picture of a run: drawn from its log, whatever the log lacks."""

import json

import pytest

from diffusionlm.training.plot import plot_run

pytest.importorskip("matplotlib", reason="pip install 'diffusionlm-toolkit[plots]'")

LOSS = [{"step": step, "loss": 3.0 - step / 50} for step in range(10, 60, 10)]
BOUND = [
    {"step": step, "valid_bound": 5.0 - step / 50, "samples": ["It costs $5 or $6.", "The <b> is\nthere."]}
    for step in (20, 40)
]


@pytest.mark.parametrize("entries", [LOSS + BOUND, LOSS, BOUND, [*LOSS, {"step": 3, "samples": ["One."]}]], ids=len)
def test_a_log_becomes_a_picture(tmp_path, entries):
    log = tmp_path / "log.jsonl"
    log.write_text("\n".join(map(json.dumps, entries)) + '\n{"step": 60, "lo')  # a line that a kill cut short
    assert plot_run(log, tmp_path / "training.png")
    assert (tmp_path / "training.png").read_bytes().startswith(b"\x89PNG")
    assert plot_run(log, tmp_path / "training.svg")
    drawn = (tmp_path / "training.svg").read_text()
    assert len(drawn) > 1000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.jsonl", "training.png", "training.svg"]


@pytest.mark.filterwarnings("error")
def test_characters_that_no_font_has_pass_without_a_word(tmp_path):
    log = tmp_path / "log.jsonl"
    log.write_text(json.dumps({"step": 1, "loss": 3.0, "samples": ["a \uc0e0 \x07"]}))
    assert plot_run(log, tmp_path / "training.png")


@pytest.mark.parametrize("content", [None, "", '{"step": 3}\n'])
def test_without_figures_there_is_no_picture(tmp_path, content):
    if content is not None:
        (tmp_path / "log.jsonl").write_text(content)
    assert not plot_run(tmp_path / "log.jsonl", tmp_path / "training.png")
    assert not (tmp_path / "training.png").exists()
