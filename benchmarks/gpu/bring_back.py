"""What comes back from a GPU: weights in bfloat16 as parts, samples, the log, and a short table.

python -m benchmarks.gpu.bring_back WORK OUT --rest REST --samples 200
python -m benchmarks.gpu.bring_back --experts DENSE.jsonl EXPERTS.jsonl
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.parts import carry, split
from diffusionlm import DiffusionLMPipeline

_BATCH = 50  # texts at once


def entries(log: Path) -> list[dict[str, Any]]:
    """The lines of a training log that hold a loss."""
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    return [row for row in rows if "loss" in row]


def bring_back(work: Path, out: Path, rest: Path, samples: int) -> None:
    """Fills ``out`` (and ``rest`` with what is too much for it) and prints the table.

    Raises:
        FileNotFoundError: if there is no pipeline in ``work``.
    """
    pipe = DiffusionLMPipeline.from_pretrained(work / "pipeline")
    with tempfile.TemporaryDirectory() as name:
        half = Path(name) / "pipeline"
        pipe.to(torch.bfloat16).save_pretrained(half)
        left = carry(split(half, Path(name) / "parts"), out / "parts", rest)
    shutil.copy(work / "run" / "log.jsonl", out / "log.jsonl")
    pipe = DiffusionLMPipeline.from_pretrained(work / "pipeline")
    pipe.to("cuda" if torch.cuda.is_available() else "cpu")
    pipe.set_progress_bar_config(disable=True)
    texts: list[str] = []
    for seed in range(0, samples, _BATCH):
        texts += pipe(num_samples=min(_BATCH, samples - seed), seed=seed, steps=32).texts
    (out / "samples.txt").write_text("\n".join(" ".join(text.split()) for text in texts) + "\n", encoding="utf-8")
    training, rows = pipe.card["training"], entries(out / "log.jsonl")
    later = rows[len(rows) // 2 :]
    speed = sum(row["tokens_per_second"] for row in later) / max(len(later), 1)
    print(f"{'parameters':<32}{sum(p.numel() for p in pipe.denoiser.parameters()) / 1e6:.1f} M")
    print(f"{'steps, positions':<32}{training['steps']:,}, {training['tokens_seen']:,}")
    print(f"{'positions a second':<32}{speed:,.0f}")
    print(f"{'loss, mean of the last tenth':<32}{_mean_loss(rows[-max(len(rows) // 10, 1) :]):.4f}")
    for text in texts[:12]:
        print(f"  | {text}")
    print(f"Parts of the weights that are left for the next command (run.sh rest): {left}")


def compare(dense: Path, experts: Path) -> None:
    """Prints the losses of two runs at equal positions and at the end of equal time."""
    runs = {"dense": entries(dense), "8 experts, 2 active": entries(experts)}
    common = min(rows[-1]["tokens"] for rows in runs.values())
    print(f"{'network':<22}{'positions/s':>14}{f'loss at {common:,}':>24}{'loss at the end':>18}{'positions':>16}")
    for name, rows in runs.items():
        window = max(len(rows) // 10, 1)
        at = [row for row in rows if row["tokens"] <= common] or rows[:1]
        speed = sum(row["tokens_per_second"] for row in rows[len(rows) // 2 :]) / max(len(rows) - len(rows) // 2, 1)
        print(
            f"{name:<22}{speed:>14,.0f}{_mean_loss(at[-window:]):>24.4f}{_mean_loss(rows[-window:]):>18.4f}"
            f"{rows[-1]['tokens']:>16,}"
        )


def _mean_loss(rows: list[dict[str, Any]]) -> float:
    return sum(row["loss"] for row in rows) / max(len(rows), 1)


def main() -> None:
    """See the docstring of the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, nargs="?", help="holds run/ and pipeline/")
    parser.add_argument("out", type=Path, nargs="?", help="what comes back")
    parser.add_argument("--rest", type=Path, help="for parts that are too much for one command")
    parser.add_argument("--samples", type=int, default=200, help="texts to write (default: 200)")
    parser.add_argument("--experts", type=Path, nargs=2, metavar=("DENSE", "EXPERTS"), help="logs of two runs")
    options = parser.parse_args()
    if options.experts:
        compare(*options.experts)
    elif options.work and options.out:
        bring_back(options.work, options.out, options.rest or options.work / "rest", options.samples)
    else:
        parser.error("give WORK and OUT, or --experts with two logs")


if __name__ == "__main__":
    main()
