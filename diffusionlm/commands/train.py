"""``diffusionlm train``: a run configured by Hydra, resumed where it stopped."""

from __future__ import annotations

import json
import time
from pathlib import Path

SUMMARY = "Train a model: diffusionlm train experiment=restaurant, or data.train=FILE"


def main(argv: list[str]) -> int:
    """Composes ``configs/train.yaml`` with the overrides in ``argv`` and trains."""
    from hydra import compose, initialize_config_module
    from omegaconf import OmegaConf

    with initialize_config_module("diffusionlm.configs", version_base="1.3"):
        config = OmegaConf.to_container(compose("train", overrides=argv), resolve=True)
    from diffusionlm.training.run import build_trainer

    folder = Path(config["folder"])
    folder.mkdir(parents=True, exist_ok=True)

    def log(figures: dict) -> None:
        figures = {"time": round(time.time(), 1)} | figures
        with (folder / "log.jsonl").open("a") as file:
            file.write(json.dumps(figures) + "\n")
        print(json.dumps({k: round(v, 5) if isinstance(v, float) else v for k, v in figures.items()}), flush=True)

    trainer, _ = build_trainer(config, log)
    trainer.run()
    return 0
