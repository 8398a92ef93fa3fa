"""A run that is killed with SIGKILL at random moments, again and again, logs the losses of one that never was."""

import os
import random
import signal
import time

from miniature_run import in_child, losses, make_config


def test_a_run_killed_at_random_moments_continues_to_the_same_losses(tmp_path, texts):
    changes = {"trainer__max_steps": 28, "trainer__save_every": 2, "trainer__valid_every": 14}
    whole = in_child(make_config(tmp_path / "whole", texts, **changes))
    config = make_config(tmp_path / "killed", texts, **changes)
    log, rng, kills = tmp_path / "killed" / "log.jsonl", random.Random(0), 0
    while True:
        child = in_child(config)
        if kills < 4:
            # somewhere between reading the data and the end, half of the time while a checkpoint is being written
            target = 6 * kills + rng.randint(0, 5)
            while child.is_alive() and (not log.is_file() or log.read_bytes().count(b"\n") < target):
                time.sleep(0.002)
            time.sleep(rng.uniform(0, 0.05))
            if child.is_alive():
                os.kill(child.pid, signal.SIGKILL)
                kills += 1
        child.join()
        if child.exitcode == 0:
            break
        assert child.exitcode == -signal.SIGKILL
    whole.join()
    assert whole.exitcode == 0
    assert kills >= 3
    expected = losses(tmp_path / "whole" / "log.jsonl")
    assert [step for step, _ in expected] == sorted([*range(1, 29), 14, 28])
    assert losses(log) == expected
    left = {path.name for path in (tmp_path / "killed").rglob(".*")}
    assert left == set(), "drafts of killed writers were left behind"
