"""Two processes share each batch and log what one process logs that takes it whole."""

import json
import socket

import pytest
from miniature_run import in_child, losses, make_config


def train(config, world):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(world)}
    children = []
    for rank in range(world):
        of_rank = {**place, "RANK": str(rank), "LOCAL_RANK": str(rank)} if world > 1 else {}
        children.append(in_child(config, {"ACCELERATE_USE_CPU": "1", "OMP_NUM_THREADS": "1", **of_rank}))
    return children


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_two_processes_give_the_losses_of_one(tmp_path, texts, optimizer):
    # prompts and known text come and go, batches are accumulated, the schedule is fitted: all must agree
    pairs = tmp_path / "pairs.txt"
    lines = texts.read_text().splitlines()
    pairs.write_text("\n".join(f"food : {line.split()[0]}||{line}" for line in lines))
    changes = {"data__format": "e2e", "data__train": str(pairs), "data__valid": str(pairs), "trainer__accumulate": 2}
    changes |= {"optimizer__name": optimizer, "cache": str(tmp_path / "cache")}
    one = make_config(tmp_path / "one", texts, **changes)
    two = make_config(tmp_path / "two", texts, **changes)
    children = train(one, 1) + train(two, 2)
    for child in children:
        child.join(120)
        assert child.exitcode == 0
    ranks = [{path.name for path in (tmp_path / name).glob("rank_*")} for name in ("one", "two")]
    assert ranks == [{"rank_0_of_1"}, {"rank_0_of_2", "rank_1_of_2"}]
    expected, found = (losses(tmp_path / name / "log.jsonl") for name in ("one", "two"))
    assert len(expected) == 12 + 2
    assert [step for step, _ in found] == [step for step, _ in expected]
    assert [loss for _, loss in found] == pytest.approx([loss for _, loss in expected], rel=2e-4)
    newest = "checkpoints/step_00000012/state.json"
    states = [json.loads((tmp_path / name / newest).read_text()) for name in ("one", "two")]
    assert states[0]["tokens_seen"] == states[1]["tokens_seen"]
    assert states[1]["schedule"]["mu"] == pytest.approx(states[0]["schedule"]["mu"], rel=1e-3)
