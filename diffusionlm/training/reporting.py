"""Destinations of a run's figures: ``log.jsonl``, TensorBoard, and the terminal (a bar; plain lines without one)."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from diffusionlm.checkpoints.files import write_text
from diffusionlm.training.settings import FIRST

if TYPE_CHECKING:
    from pathlib import Path

LOG_FILE = "log.jsonl"
TENSORBOARD_FOLDER = "tensorboard"
MEASURED = {
    "valid_bound": "bound",
    "valid_divergence": "from the teacher",
}  # figures of held-out text, as they are called


def cut_log(path: Path, step: int) -> None:
    """Takes out of a JSON-lines log what lies behind ``step``, and a line that a kill cut short."""
    if not path.is_file():
        return
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    kept = [line for line in lines if _step(line) <= step]
    if len(kept) < len(lines):
        write_text(path, "".join(f"{line}\n" for line in kept))


def _step(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        return float("inf")


class RunLog:
    """Receives figures from the trainer; use it as a context.

    Args:
        folder: of the run.
        max_steps: end of the bar.
        step: where the run begins or continues.
        tensorboard: whether to write logs for TensorBoard.
        console: where to show progress; the process's output if None.
        step_operations: floating-point operations of a step; 0: not known.
        rate: of matrix products on this machine, operations a second.
    """

    def __init__(
        self,
        folder: Path,
        max_steps: int,
        step: int = 0,
        tensorboard: bool = True,
        console: Console | None = None,
        step_operations: float = 0.0,
        rate: float = 0.0,
    ) -> None:
        self.step_operations, self.rate = step_operations, rate
        self.path, self.max_steps = folder / LOG_FILE, max_steps
        self.console = console or Console(highlight=False, soft_wrap=True)
        folder.mkdir(parents=True, exist_ok=True)
        cut_log(self.path, step)
        self._writer: Any = None
        if tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(folder / TENSORBOARD_FOLDER), purge_step=step + 1 if step else None)
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._bound = ""
        if self.console.is_terminal:
            columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[figures]}"))
            self._bar = Progress(*columns, console=self.console)
            self._task = self._bar.add_task("", total=max_steps, completed=step, figures="")

    def __enter__(self) -> RunLog:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
        if self._writer is not None:
            self._writer.close()

    def __call__(self, figures: dict[str, Any]) -> None:
        """Records the figures of one step: scalars, and texts under "samples"; those of the first step are only said."""
        if figures.get(FIRST):
            self._show(figures["step"], figures)
            return
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"time": round(time.time(), 1), **figures}, ensure_ascii=False) + "\n")
        step = figures["step"]
        if self._writer is not None:
            for name, value in figures.items():
                if isinstance(value, (int, float)) and name != "step":
                    self._writer.add_scalar(name, value, step)
            if figures.get("samples"):
                self._writer.add_text("samples", "\n\n".join(figures["samples"]), step)
        for name in MEASURED.keys() & figures.keys():
            self._bound = f"{MEASURED[name]} {figures[name]:.3f} nats/token"
        self._show(step, figures)
        if self.step_operations and "steps_per_second" in figures:
            self.console.print(self._achieved(figures), markup=False)
            self.step_operations = 0.0  # once will do; the first step, which warms up, is not meant

    def _show(self, step: int, figures: dict[str, Any]) -> None:
        parts = [f"loss {figures['loss']:.4f}"] if "loss" in figures else []
        if self._bound and (self._bar is not None or not MEASURED.keys().isdisjoint(figures)):
            parts.append(self._bound)
        if "tokens_per_second" in figures:
            left = figures.get("seconds_left", (self.max_steps - step) / max(figures["steps_per_second"], 1e-9))
            parts += [f"{figures['tokens_per_second']:,.0f} tokens/s", f"{_clock(left)} left"]
        if self._bar is None:
            place = f"step {step:>{len(str(self.max_steps))}}/{self.max_steps}"
            self.console.print("  ".join([place, *parts]), markup=False)
        elif "loss" in figures:
            self._bar.update(self._task, completed=step, figures="  ".join(parts))
        for text in figures.get("samples", ()):
            shown = "".join(character if character.isprintable() else "·" for character in text)
            self.console.print(f"  | {shown}", markup=False)

    def _achieved(self, figures: dict[str, Any]) -> str:
        reached = self.step_operations * figures["steps_per_second"]
        share = f", {reached / self.rate:.0%} of what matrix products reach here" if self.rate else ""
        return f"  {1 / figures['steps_per_second']:,.3g} s a step: {reached / 1e9:,.3g} GFLOP/s{share}"


def _clock(seconds: float) -> str:
    minutes, second = divmod(round(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}"
