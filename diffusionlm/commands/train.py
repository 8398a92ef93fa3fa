"""``diffusionlm train``: a run configured by Hydra, resumed where it stopped."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffusionlm.errors import nearest

if TYPE_CHECKING:
    from diffusionlm.evaluation.electricity import EnergyMeter

SUMMARY = "Train a model on the E2E corpus or your own text; resumes by itself"
HELP = """usage: diffusionlm train [experiment=NAME] [GROUP=CHOICE ...] [KEY=VALUE ...] [--cfg]

Trains a model and writes it as a pipeline folder, which 'generate' and from_pretrained read. A run that was stopped, or
killed, continues from its newest checkpoint when the same command is given again; a finished run is exported again.

  diffusionlm train experiment=tiny data.train=FILE              a trial in a minute, one text a line
  diffusionlm train experiment=own_text data.train=FILE          a model of your own text
  diffusionlm train experiment=restaurant data.root=FOLDER       the model that comes with the package
  diffusionlm train adapter=lora init=restaurant data.train=FILE an adapter: small, beside weights that stay
  diffusionlm train data=hub data.name=OWNER/NAME data.text_field=FIELD
  diffusionlm train model=medium optimizer=adamw trainer.max_steps=20000 trainer.precision=bf16 data.train=FILE
  torchrun --nproc_per_node 2 -m diffusionlm train experiment=own_text data.train=FILE

options:
  -h, --help  show this text
  --cfg       print the composed configuration and stop
"""


def main(argv: list[str]) -> int:
    """Composes ``configs/train.yaml`` with the ``key=value`` arguments and trains."""
    from diffusionlm.commands._compose import compose_config, split_overrides

    overrides, options = split_overrides(argv)
    if any(option in ("-h", "--help") for option in options):
        print(HELP + _listing(), end="")
        return 0
    show = "--cfg" in options
    for option in options:
        if option not in ("--cfg", *(["job"] if show else [])):
            raise ValueError(_not_a_setting(option))
    config = compose_config("train", overrides)
    if show:
        import yaml

        print(yaml.safe_dump(config, sort_keys=False, allow_unicode=True), end="")
        return 0
    missing = _missing(config)
    if missing:
        raise ValueError(f"{missing[0]} is not set; give {missing[0]}=..., see 'diffusionlm train --help'.")
    for module in ("accelerate", "datasets"):  # before the slow imports
        if find_spec(module) is None:
            raise ModuleNotFoundError(f"No module named {module!r}", name=module)
    return _train(config)


def _train(config: dict[str, Any]) -> int:
    import torch
    from rich.console import Console

    from diffusionlm.commands._training_energy import measured, measured_so_far, told
    from diffusionlm.samplers import make_sampler
    from diffusionlm.training.adapters import trains_an_adapter
    from diffusionlm.training.cost import step_operations
    from diffusionlm.training.export import check_export_folder, export_pipeline, write_samples
    from diffusionlm.training.plot import PLOT_FILE, can_plot, plot_run
    from diffusionlm.training.precision import matrix_rate
    from diffusionlm.training.reporting import LOG_FILE, RunLog
    from diffusionlm.training.run import build_trainer, vocabulary_warning
    from diffusionlm.training.stopping import StopRequest

    check_export_folder(config["export"])
    meter = _meter(config)
    make_sampler(config["sampler"])  # a mistake in it shows now, not after training
    trainer, tokenizer = build_trainer(config)
    main_process, max_steps = trainer.accelerator.is_main_process, trainer.settings.max_steps
    folder = Path(config["folder"])
    console = Console(highlight=False, soft_wrap=True, quiet=not main_process)
    trainer.resume()
    stop = StopRequest()
    try:
        if trainer.finished:
            minutes = f", trainer.max_minutes={trainer.settings.max_minutes:g} are used up"
            used = "" if trainer.step >= max_steps else minutes
            sentence = f"The run in {config['folder']} is finished (step {trainer.step}{used}); it is exported again."
            console.print(sentence, markup=False)
        else:
            operations = step_operations(trainer)
            rate = matrix_rate(torch.bfloat16 if trainer.precision.half else torch.float32, trainer.accelerator.device)
            console.print(_beginning(config, trainer), markup=False)
            console.print(_work(trainer, operations, rate), markup=False)
            asked = config["data"]["tokenizer"]
            size = asked.get("vocab_size") if asked.get("kind", "bpe") == "bpe" else None
            warning = vocabulary_warning(trainer.train_source.corpus, tokenizer.vocab_size, size)
            if warning:
                console.print(warning, markup=False)
            if config["samples"]:
                trainer.on_validate = lambda trainer: {
                    "samples": write_samples(trainer, tokenizer, config["sampler"], config["samples"], config["seed"])
                }
            with stop:
                if main_process:
                    with (
                        RunLog(
                            folder, max_steps, trainer.step, config["tensorboard"], console, operations, rate
                        ) as log,
                        measured(trainer, meter, folder),
                    ):
                        trainer.on_log = log
                        trainer.run(resume=False, stop=stop)
                else:
                    trainer.run(resume=False, stop=stop)
            if main_process and can_plot() and plot_run(folder / LOG_FILE, folder / PLOT_FILE):
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
            export_pipeline(trainer, tokenizer, config["export"], config["sampler"], card)
            export = config["export"]
            use = f"The pipeline is in {export}: diffusionlm generate checkpoint={export}"
            if trains_an_adapter(trainer.denoiser):
                use = f"The adapter is in {export}: diffusionlm generate checkpoint={config['init']} adapter={export}"
            console.print(use, markup=False)
    except FloatingPointError as error:
        raise ValueError(str(error)) from error
    except KeyboardInterrupt:
        console.print(f"Stopped at step {trainer.step}; the same command continues from the newest checkpoint.")
        raise
    finally:
        trainer.accelerator.end_training()
    return 0


def _meter(config: dict[str, Any]) -> EnergyMeter | None:
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


def _work(trainer: Any, operations: float, rate: float) -> str:
    """Cost of a step, and its precision."""
    size = sum(parameter.numel() for parameter in trainer.denoiser.parameters() if parameter.requires_grad)
    kind, why = ("bfloat16" if trainer.precision.half else "float32"), trainer.precision.reason
    return (
        f"{size / 1e6:.1f} M parameters, {operations / 1e9:,.3g} GFLOP a step, in {kind} ({why}); matrix products reach "
        f"{rate / 1e9:,.3g} GFLOP/s here"
    )


def _not_a_setting(option: str) -> str:

    if option.startswith("-"):
        near = nearest(option, ("--help", "--cfg"))
        hint = f"did you mean {near}?" if near else "there are --help and --cfg."
        return f"There is no option {option!r}; {hint}"
    for group, choices in _groups().items():
        near = nearest(option, choices)
        if near:
            return f"Settings are written key=value, got {option!r}; did you mean {group}={near}?"
    return f"Settings are written key=value, got {option!r}; see 'diffusionlm train --help'."


def _missing(tree: dict[str, Any], prefix: str = "") -> list[str]:
    found = []
    for name, value in tree.items():
        if isinstance(value, dict):
            found += _missing(value, f"{prefix}{name}.")
        elif value == "???":
            found.append(prefix + name)
    return found


def _groups() -> dict[str, dict[str, str]]:
    """Every group of ``configs/train.yaml`` with its choices and what their files say of themselves."""
    from importlib.resources import files

    root = files("diffusionlm.configs")
    groups = {}
    for group in ("experiment", "model", "data", "schedule", "optimizer", "sampler", "trainer", "adapter"):
        choices = {}
        for file in sorted((root / group).iterdir(), key=lambda file: file.name):
            if file.name.endswith(".yaml") and not file.name.startswith("_"):
                comments = [line.partition("# ")[2].strip() for line in file.read_text().splitlines() if "# " in line]
                said = [line for line in comments if not line.startswith(("@package", "diffusionlm "))]
                choices[file.name.removesuffix(".yaml")] = said[0].partition(": diffusionlm")[0] if said else ""
        groups[group] = choices
    return groups


def _listing() -> str:
    from importlib.resources import files

    lines = ["", "groups and their choices:"]
    groups = _groups()
    width = max(len(name) for choices in groups.values() for name in choices)
    for group, choices in groups.items():
        lines += [f"  {group}=", *(f"    {name:<{width}} {said}".rstrip() for name, said in choices.items())]
    root = files("diffusionlm.configs")
    top = (root / "train.yaml").read_text().split("\n\n", 1)[1]
    lines += ["", "settings and their defaults ('--cfg' prints all that a command uses):"]
    lines += [f"  {line}" for line in top.strip().splitlines()]
    for name, file in (("trainer", "trainer/default.yaml"), ("data", "data/text.yaml")):
        lines += [f"  {name}:", *(f"    {line}" for line in (root / file).read_text().strip().splitlines())]
    return "\n".join(lines) + "\n"
