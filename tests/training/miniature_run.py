"""A whole training run in miniature, and child processes to run it in: shared by the tests of training."""

import json
import multiprocessing
import os
import random
from pathlib import Path

WORDS = ["the", "a", "pub", "mill", "near", "river", "cheap", "food", "good", "is", "in", "and"]

SMALL_MODEL = (  # settings of ``diffusionlm train``
    "experiment=tiny",
    "data.tokenizer={kind: word, min_count: 1}",
    "data.max_length=16",
    "data.limits=[8,16]",
    "data.tokens_per_batch=128",
)


def write_texts(path, count=200, seed=0):
    """A file of short texts, one a line."""
    rng = random.Random(seed)
    lines = [" ".join(rng.choices(WORDS, k=rng.randint(2, 9))) for _ in range(count)]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def make_config(folder, texts, **changes):
    """A composed configuration; ``changes`` are dotted keys with __ for the dot."""
    config = {
        "name": "miniature",
        "folder": str(folder),
        "cache": None,
        "seed": 1,
        "data": {
            "train": str(texts),
            "valid": str(texts),
            "tokenizer": {"kind": "word", "min_count": 1},
            "max_length": 16,
            "limits": [8, 16],
            "limit_weights": [],
            "tokens_per_batch": 128,
            "task_weights": {"whole": 0.5, "prefix": 0.2, "infill": 0.3},
            "prompt_share": 0.5,
        },
        "model": {
            "embedding_size": 8,
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "condition_size": 16,
        },
        "schedule": {"kind": "information", "gamma_min": -8.0, "gamma_max": 10.0, "mu": 2.0, "beta": 1.2},
        "optimizer": {"name": "muon"},
        "trainer": {
            "max_steps": 12,
            "log_every": 1,
            "save_every": 4,
            "valid_every": 6,
            "valid_batches": 2,
            "schedule_every": 3,
            "warmup_steps": 2,
            "likelihood_warmup_steps": 4,
            "attention": "eager",
        },
    }
    for key, value in changes.items():
        *path, last = key.split("__")
        place = config
        for name in path:
            place = place[name]
        place[last] = value
    return config


def run(config):
    """Trains as the command does; returns what was logged: (step, loss) and (step, bound)."""
    from diffusionlm.training.reporting import LOG_FILE, RunLog
    from diffusionlm.training.run import build_trainer

    trainer, _ = build_trainer(config)
    trainer.resume()
    accelerator = trainer.accelerator
    (Path(config["folder"]) / f"rank_{accelerator.process_index}_of_{accelerator.num_processes}").touch()
    if trainer.accelerator.is_main_process:
        with RunLog(Path(config["folder"]), trainer.settings.max_steps, trainer.step, tensorboard=False) as log:
            trainer.on_log = log
            trainer.run(resume=False)
    else:
        trainer.run(resume=False)
    trainer.accelerator.end_training()
    return losses(Path(config["folder"]) / LOG_FILE)


def losses(path):
    """(step, loss or bound) of every line of a log."""
    entries = [json.loads(line) for line in Path(path).read_text().splitlines()]
    return [(entry["step"], entry.get("loss", entry.get("valid_bound"))) for entry in entries]


def in_child(config, environment=None):
    """Starts `run` in a process of its own that can be killed; the libraries are imported once for all children."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["diffusionlm.training.run", "diffusionlm.training.reporting"])
    child = context.Process(target=_child, args=(config, environment or {}))
    child.start()
    return child


def _child(config, environment):
    os.environ.update(environment)
    import torch

    torch.set_num_threads(1)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    run(config)
