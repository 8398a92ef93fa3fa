"""``diffusionlm distil``: a student that needs half the steps, and one that needs half of those, and so on."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

SUMMARY = "Distil a model into one that writes in fewer steps; resumes by itself"
HELP = """usage: diffusionlm distil teacher=NAME data.train=FILE [GROUP=CHOICE ...] [KEY=VALUE ...] [--cfg]

Trains a student whose one step leads where two steps of its teacher lead, then one of that student, and so on. Each is a
pipeline folder with its number of steps as default; guidance works with it as with the teacher. A run that was stopped, or
killed, continues from its newest checkpoint when the same command is given again.

  diffusionlm distil teacher=restaurant data=e2e data.root=FOLDER                     32 steps -> 16 -> 8
  diffusionlm distil teacher=restaurant data=e2e data.root=FOLDER steps=[16,8]        one student, of 8 steps
  diffusionlm distil teacher=runs/mine/pipeline data.train=FILE name=mine_fast

options:
  -h, --help  show this text
  --cfg       print the composed configuration and stop

settings and their defaults ('--cfg' prints all that a command uses; data, optimizer, trainer: see 'diffusionlm train --help'):
"""


def main(argv: list[str]) -> int:
    """Composes ``configs/distil.yaml`` with the ``key=value`` arguments and distils."""
    from diffusionlm.checkpoints.folders import find_folder
    from diffusionlm.commands._settings import check_files, read_settings

    config = read_settings(argv, "distil", HELP)
    if config is None:
        return 0
    if config["teacher"] == "???":
        raise ValueError("teacher is not set; give teacher=NAME, the checkpoint whose steps are to be halved.")
    if config["data"]["train"] == "???":
        raise ValueError("data.train is not set; give data.train=FILE, or data=e2e data.root=FOLDER.")
    for module in ("accelerate", "datasets"):  # before the slow imports
        if find_spec(module) is None:
            raise ModuleNotFoundError(f"No module named {module!r}", name=module)
    find_folder(config["teacher"])
    check_files(config["data"])
    return _distil(config)


def _distil(config: dict[str, Any]) -> int:
    from diffusionlm.commands._training import Work, carry_out, make_meter
    from diffusionlm.samplers import check_process, make_sampler
    from diffusionlm.training.export import check_export_folder
    from diffusionlm.training.rounds import Round, Teacher, check_distillation

    teacher = check_distillation(config)
    check_process(make_sampler(config["sampler"]), "gaussian")
    check_export_folder(config["export"])
    meter, students = make_meter(config), config["steps"][1:]
    for steps in students:
        own = Round(config, teacher, steps, last=steps == students[-1])
        trainer, tokenizer = own.build()

        def samples(trainer: Any, own: Round = own, tokenizer: Any = tokenizer) -> list[str]:
            return own.samples(trainer, tokenizer)

        def export(card: dict[str, Any], own: Round = own, trainer: Any = trainer, tokenizer: Any = tokenizer) -> str:
            folder = own.write(trainer, tokenizer, card)
            return f"The student of {own.steps} steps is in {folder}: diffusionlm generate checkpoint={folder}"

        code = carry_out(Work(own.settings(), trainer, tokenizer, samples, export, meter))
        if code or not trainer.finished:
            return code
        trainer.accelerator.wait_for_everyone()
        if not own.last:
            teacher = Teacher.find(str(own.export))
    return 0
