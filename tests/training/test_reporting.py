"""Where the figures go: JSON lines, TensorBoard, plain lines or a bar."""

import io
import json

import pytest
from rich.console import Console

from diffusionlm.training.reporting import RunLog, cut_log

FIGURES = {"loss": 2.5, "tokens_per_second": 1234.0, "steps_per_second": 2.0}


def shown(tmp_path, terminal, **changes):
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=120, highlight=False, soft_wrap=True)
    with RunLog(tmp_path, 100, console=console, **{"tensorboard": False, **changes}) as log:
        log({"step": 20, **FIGURES})
        log({"step": 20, "valid_bound": 3.25, "samples": ["The Mill\x07 is [red]."]})
        log({"step": 40, **FIGURES})
    return stream.getvalue()


def test_plain_lines_where_there_is_no_terminal(tmp_path):
    assert shown(tmp_path, terminal=False).splitlines() == [
        "step  20/100  loss 2.5000  1,234 tokens/s  0:00:40 left",
        "step  20/100  bound 3.250 nats/token",
        "  | The Mill· is [red].",
        "step  40/100  loss 2.5000  1,234 tokens/s  0:00:30 left",
    ]


def test_a_bar_where_there_is_one(tmp_path):
    text = shown(tmp_path, terminal=True)
    assert "━" in text
    assert "40/100" in text
    assert "loss 2.5000  bound 3.250 nats/token  1,234 tokens/s  0:00:30 left" in text
    assert "The Mill· is [red]." in text


def test_every_figure_is_a_json_line(tmp_path):
    shown(tmp_path, terminal=False)
    entries = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in entries] == [20, 20, 40]
    assert entries[0].items() >= FIGURES.items()
    assert entries[1]["samples"] == ["The Mill\x07 is [red]."]
    assert all(entry["time"] > 1e9 for entry in entries)


def test_tensorboard_gets_scalars_and_samples(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    shown(tmp_path, terminal=False, tensorboard=True)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(20, 2.5), (40, 2.5)]
    assert events.Scalars("valid_bound")[0].value == 3.25
    assert "step" not in events.Tags()["scalars"]
    assert any("samples" in tag for tag in events.Tags()["tensors"])


def test_a_log_is_cut_back_to_the_step_that_is_resumed(tmp_path):
    path = tmp_path / "log.jsonl"
    whole = [json.dumps({"step": step, "loss": 1.0}) for step in (10, 20, 30)]
    path.write_text("\n".join(whole) + '\n{"step": 40, "lo')
    cut_log(path, 20)
    assert path.read_text() == "\n".join(whole[:2]) + "\n"
    assert [p.name for p in tmp_path.iterdir()] == ["log.jsonl"]


@pytest.mark.parametrize("content", ["", '{"step": 10}\n'])
def test_a_log_that_is_in_order_stays(tmp_path, content):
    path = tmp_path / "log.jsonl"
    path.write_text(content)
    cut_log(path, 10)
    assert path.read_text() == content
    cut_log(tmp_path / "none.jsonl", 10)
