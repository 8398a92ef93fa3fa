"""Carrying out a training run for a command: resumed, shown, stopped by a signal, exported in the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffusionlm.evaluation.electricity import EnergyMeter
    from diffusionlm.text import TextTokenizer
    from diffusionlm.training.trainer import Trainer


@dataclass(frozen=True)
class Work:
    """A run that is ready to begin.

    Attributes:
        config: name, folder, data, samples, seed and tensorboard, as in ``configs/train.yaml``.
        trainer: built, not resumed.
        tokenizer: of its data.
        samples: writes texts under the weights that are in place.
        export: writes what was trained, given the facts for its card; returns a sentence that says where it is.
        meter: of electricity; None measures nothing.
    """

    config: dict[str, Any]
    trainer: Trainer
    tokenizer: TextTokenizer
    samples: Callable[[Trainer], list[str]]
    export: Callable[[dict[str, Any]], str]
    meter: EnergyMeter | None = None


def carry_out(work: Work) -> int:
    """Resumes, trains and exports; returns the exit code, that of the signal where one ended it.

    Raises:
        ValueError: where the run diverges.
    """
    import torch
    from rich.console import Console

    from diffusionlm.commands._training_energy import measured, measured_so_far, told
    from diffusionlm.training.cost import step_operations
    from diffusionlm.training.plot import PLOT_FILE, can_plot, plot_run
    from diffusionlm.training.precision import matrix_rate
    from diffusionlm.training.reporting import LOG_FILE, RunLog
    from diffusionlm.training.run import vocabulary_warning
    from diffusionlm.training.stopping import StopRequest

    config, trainer = work.config, work.trainer
    main_process, max_steps = trainer.accelerator.is_main_process, trainer.settings.max_steps
    folder = Path(config["folder"])
    console = Console(highlight=False, soft_wrap=True, quiet=not main_process)
    trainer.resume()
    stop, again = StopRequest(), trainer.finished
    try:
        if again:
            minutes = f", trainer.max_minutes={trainer.settings.max_minutes:g} are used up"
            used = "" if trainer.step >= max_steps else minutes
            sentence = f"The run in {config['folder']} is finished (step {trainer.step}{used}); it is exported again."
            console.print(sentence, markup=False)
        else:
            operations = step_operations(trainer)
            rate = matrix_rate(torch.bfloat16 if trainer.precision.half else torch.float32, trainer.accelerator.device)
            console.print(_beginning(config, trainer), markup=False)
            console.print(_work(trainer, operations, rate), markup=False)
            warning = vocabulary_warning(
                trainer.train_source.corpus, work.tokenizer.vocab_size, config["data"]["tokenizer"]
            )
            if warning:
                console.print(warning, markup=False)
            if config["samples"]:
                trainer.on_validate = lambda trainer: {"samples": work.samples(trainer)}
            with stop:
                if main_process:
                    with (
                        RunLog(
                            folder, max_steps, trainer.step, config["tensorboard"], console, operations, rate
                        ) as log,
                        measured(trainer, work.meter, folder),
                    ):
                        trainer.on_log = log
                        trainer.run(resume=False, stop=stop)
                else:
                    trainer.run(resume=False, stop=stop)
        drawn = again and (folder / PLOT_FILE).is_file()
        if main_process and can_plot() and not drawn and plot_run(folder / LOG_FILE, folder / PLOT_FILE):
            console.print(f"Bound and samples: {folder / PLOT_FILE}", markup=False)
        if not trainer.finished:
            console.print(
                f"Stopped at step {trainer.step}, which is saved; the same command continues from there. What it is worth "
                f"now: add trainer.max_steps={trainer.step} to export it."
            )
            return stop.exit_code
        if main_process:
            card = {"name": config["name"], "data": config["data"], "seed": config["seed"]}
            energy = measured_so_far(folder)
            if energy:
                card["energy"] = energy
                console.print(told(energy), markup=False)
            console.print(work.export(card), markup=False)
    except FloatingPointError as error:
        raise ValueError(str(error)) from error
    except KeyboardInterrupt:
        console.print(f"Stopped at step {trainer.step}; the same command continues from the newest checkpoint.")
        raise
    finally:
        trainer.accelerator.end_training()
    return 0


def make_meter(config: dict[str, Any]) -> EnergyMeter | None:
    """The meter that ``energy`` asks for; None for nothing."""
    energy = config["energy"]
    if not energy["enabled"]:
        return None
    from diffusionlm.evaluation.electricity import EnergyMeter

    return EnergyMeter(energy["country"], energy["cpu_watts"])


def _beginning(config: dict[str, Any], trainer: Any) -> str:
    corpus = trainer.train_source.corpus
    texts = f"{len(corpus):,} texts"
    if corpus.left_out:
        texts += f" ({corpus.left_out:,} longer than {config['data']['max_length']} tokens are left out)"
    if config["data"].get("holdout") and trainer.valid_source is not None:
        texts += f" ({len(trainer.valid_source.corpus):,} more are kept for validation: data.holdout)"
    begins = f"continues from step {trainer.step:,}" if trainer.step else "begins"
    return (
        f"{config['name']} {begins}: {texts}, vocabulary {trainer.denoiser.config.vocab_size:,}, "
        f"{trainer.settings.max_steps:,} steps on {trainer.accelerator.device}; logs in {config['folder']}"
    )


def _count(size: int) -> str:
    return f"{size / 1e6:.1f} M" if size >= 100_000 else f"{size:,}"


def _work(trainer: Any, operations: float, rate: float) -> str:
    """Cost of a step, and its precision."""
    size = sum(parameter.numel() for parameter in trainer.denoiser.parameters() if parameter.requires_grad)
    kind, why = ("bfloat16" if trainer.precision.half else "float32"), trainer.precision.reason
    return (
        f"{_count(size)} parameters learn, {operations / 1e9:,.3g} GFLOP a step, in {kind} ({why}); matrix products reach "
        f"{rate / 1e9:,.3g} GFLOP/s here"
    )
