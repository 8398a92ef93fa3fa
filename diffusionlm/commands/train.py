"""``diffusionlm train``: a run configured by Hydra, resumed where it stopped."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from diffusionlm.errors import nearest

if TYPE_CHECKING:
    from diffusionlm.training.trainer import Trainer

SUMMARY = "Train a model on the E2E corpus or your own text; resumes by itself"
HELP = """usage: diffusionlm train [experiment=NAME] [GROUP=CHOICE ...] [KEY=VALUE ...] [--cfg]

Trains a model and writes it as a pipeline folder, which 'generate' and from_pretrained read. A run that was stopped, or
killed, continues from its newest checkpoint when the same command is given again; a finished run is exported again.

  diffusionlm train experiment=tiny data.train=FILE              a trial in a minute, one text a line
  diffusionlm train experiment=own_text data.train=FILE          a model of your own text
  diffusionlm train experiment=restaurant data.root=FOLDER       the model that comes with the package
  diffusionlm train adapter=lora init=restaurant data.train=FILE an adapter: small, beside weights that stay
  diffusionlm train experiment=adapt init=FOLDER data.train=FILE a causal language model of transformers as denoiser
  diffusionlm train experiment=masked_lm init=FOLDER data.train=FILE a BERT of transformers (or minilm) as denoiser
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
    from diffusionlm.commands._settings import check_files

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
    check_files(config["data"])
    return _train(config)


def _train(config: dict[str, Any]) -> int:
    from diffusionlm.commands._training import Work, carry_out, make_meter
    from diffusionlm.samplers import make_sampler
    from diffusionlm.training.adaptation import adapts_somebody_else_s, build_adaptation
    from diffusionlm.training.adapters import trains_an_adapter
    from diffusionlm.training.export import check_export_folder, export_pipeline, write_samples
    from diffusionlm.training.run import build_trainer

    check_export_folder(config["export"])
    meter = make_meter(config)
    make_sampler(config["sampler"])  # a mistake in it shows now, not after training
    if adapts_somebody_else_s(config):
        run = build_adaptation(config)

        def export_adaptation(card: dict[str, Any]) -> str:
            folder = run.write({**card, "init": config["init"]})
            return f"{run.said} is in {folder}: diffusionlm generate checkpoint={folder}"

        tokens: Any = run.loaded.tokenizer
        return carry_out(Work(config, run.trainer, tokens, run.samples, export_adaptation, meter))
    trainer, tokenizer = build_trainer(config)

    def samples(trainer: Trainer) -> list[str]:
        return write_samples(trainer, tokenizer, config["sampler"], config["samples"], config["seed"])

    def export(card: dict[str, Any]) -> str:
        folder = config["export"]
        export_pipeline(trainer, tokenizer, folder, config["sampler"], card)
        if trains_an_adapter(trainer.denoiser):
            return f"The adapter is in {folder}: diffusionlm generate checkpoint={config['init']} adapter={folder}"
        return f"The pipeline is in {folder}: diffusionlm generate checkpoint={folder}"

    return carry_out(Work(config, trainer, tokenizer, samples, export, meter))


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
