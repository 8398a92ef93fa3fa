"""``diffusionlm train-classifier``: a reader for guidance, from labelled texts."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffusionlm.guidance.classifiers.reader import Reader
    from diffusionlm.text import TextTokenizer
    from diffusionlm.training.classifiers.labelled import Example

SUMMARY = "Train a small network that guidance asks (toxicity, names, tags) from labelled texts"
HELP = """usage: diffusionlm train-classifier data.train=FILE [key=value ...] [--cfg]

Trains a reader: a small network that sees what a model is about to write, at any noise level, and says which labels hold of
the text and of its words. Guidance plugins steer by it. FILE holds labelled texts, as JSON lines, CSV or TSV:

  {"text": "What a fool.", "label": 1, "spans": [[7, 11, "toxic"]]}
  {"text": "A fine day.", "labels": {"toxic": 0, "threat": 0.1}, "spans": []}

  diffusionlm train-classifier name=toxicity checkpoint=MODEL data.train=FILE export=MODEL/readers/toxicity
  diffusionlm train-classifier name=polite data.train=letters.csv data.label_field=tone

While it trains it prints mean losses in nats, of the labels of texts (sequence), of words (token) and both (loss); in the end
how well it reads texts that were held out, at several levels of noise u (0 finished, 1 all noise).

settings (key=value) and their defaults:

"""


def main(argv: list[str]) -> int:
    """Composes ``configs/train_classifier.yaml`` with the ``key=value`` arguments, trains, evaluates, writes."""
    from diffusionlm.commands._settings import read_settings

    config = read_settings(argv, "train-classifier", HELP)
    if config is None:
        return 0
    if config["data"]["train"] == "???":
        raise ValueError("data.train is not set; give data.train=FILE, see 'diffusionlm train-classifier --help'.")
    return _train(config)


def _train(config: dict[str, Any]) -> int:
    from diffusionlm.checkpoints.folders import find_folder
    from diffusionlm.training.classifiers.settings import ReaderSettings

    settings = ReaderSettings(**config["trainer"], seed=config["seed"])
    target = Path(config["export"])
    _check_target(target, config["overwrite"])
    find_folder(config["checkpoint"])
    train, valid = read_data(config["data"], config["seed"])  # what is wrong with it shows before the slow imports

    from diffusionlm.checkpoints.files import atomic_folder
    from diffusionlm.guidance.classifiers.store import save_reader
    from diffusionlm.pipeline import DiffusionLMPipeline
    from diffusionlm.training.classifiers.batches import label_names
    from diffusionlm.training.classifiers.report import report_lines, without_nan
    from diffusionlm.training.classifiers.training import evaluate_reader, train_reader

    pipeline = DiffusionLMPipeline.from_pretrained(config["checkpoint"])
    init = None if config["init"] is None else reader_of(config["init"], config["name"])
    labels, tags = label_names(train)
    labels, tags = config["sequence_labels"] or labels, config["token_labels"] or tags
    print(
        f"{config['name']}: {len(train):,} texts, {len(valid):,} held out; labels of texts: {', '.join(labels) or 'none'}; "
        f"of tokens: {', '.join(tags) or 'none'}",
        flush=True,
    )
    reader = train_reader(
        pipeline,
        train,
        sequence_labels=labels,
        token_labels=tags,
        settings=settings,
        shape=config["shape"],
        init=init,
        on_log=lambda figures: print(", ".join(f"{k} {v:.4g}" for k, v in figures.items()), flush=True),
    )
    figures = evaluate_reader(reader, pipeline, valid)
    print("\n".join(report_lines(figures, valid, labels, tags)))
    reader.config.card = {
        "name": config["name"],
        "texts": len(train),
        "data": [str(Path(path).name) for path in _list(config["data"]["train"])],
        "trainer": config["trainer"],
        "seed": config["seed"],
        "held_out": without_nan(figures),
    }
    with atomic_folder(target) as draft:
        save_reader(reader, draft)
    print(f"The reader is in {target}.")
    return 0


def _check_target(target: Path, overwrite: bool) -> None:
    """Raises ValueError where writing a reader would take the place of something that nobody gave up."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if not (target / "config.json").is_file():
        raise ValueError(f"{target} holds something else than a reader; give another export=FOLDER.")
    if not overwrite:
        raise ValueError(
            f"The folder {target} holds a reader already; give another export=FOLDER, or overwrite=true to replace it."
        )


def reader_of(checkpoint: str, name: str) -> tuple[Reader, TextTokenizer]:
    """The reader of that name of a checkpoint, and the checkpoint's tokenizer.

    Raises:
        FileNotFoundError: if there is no such checkpoint or it has no such reader.
    """
    from diffusionlm.checkpoints.folders import find_folder
    from diffusionlm.guidance.classifiers.store import FOLDER, load_reader
    from diffusionlm.pipeline import DiffusionLMPipeline

    home = find_folder(checkpoint)
    known = sorted(path.parent.name for path in (home / FOLDER).glob("*/config.json"))
    if name not in known:
        raise FileNotFoundError(
            f"init={checkpoint}: this checkpoint has no reader {name!r}; it has: {', '.join(known) or 'none'}. "
            "Give a checkpoint that has one, or init=null."
        )
    tokenizer = DiffusionLMPipeline.from_pretrained(home).tokenizer
    return load_reader(home / FOLDER / name, tokenizer.vocabulary), tokenizer


def read_data(data: dict[str, Any], seed: int) -> tuple[list[Example], list[Example]]:
    """Training and held-out examples as ``data`` asks for them.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a setting is out of range or a file cannot be read.
    """
    from diffusionlm.corpora.sources import parse_sources
    from diffusionlm.training.classifiers.labelled import Fields, plain_examples, read_examples

    fields = Fields(
        data["text_field"],
        data["label_field"],
        data["span_field"],
        data["prompt_field"],
        data["types"],
        data["threshold"],
    )
    examples = [example for path in _list(data["train"]) for example in read_examples(path, fields)]
    if data["without"] is not None:
        examples += plain_examples(parse_sources(data["without"]), examples)
    random.Random(seed).shuffle(examples)
    if data["max_examples"] is not None:
        examples = examples[: data["max_examples"]]
    if data["valid"] is not None:
        return examples, [example for path in _list(data["valid"]) for example in read_examples(path, fields)]
    if not 0 < data["holdout"] < 1:
        raise ValueError(f"data.holdout must lie between 0 and 1, got {data['holdout']}; or give data.valid=FILE.")
    count = max(1, round(data["holdout"] * len(examples)))
    if count >= len(examples):
        raise ValueError(f"{len(examples)} examples are too few to hold some out; give data.valid=FILE.")
    return examples[count:], examples[:count]


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else [value]
