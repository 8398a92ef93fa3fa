"""``diffusionlm train-syntax``: what the guides of syntax know of a model's tokens, from treebanks and its corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SUMMARY = "Make what the guides of syntax need (parts of speech, phrases, arcs) from treebanks"
HELP = """usage: diffusionlm train-syntax [key=value ...] [--cfg]

Trains a tagger and a parser on treebanks, lets them read the texts that a model learnt from, and counts which tokens are of
which part of speech, which runs of these make constituents, and which join words to their heads. PartOfSpeech, Constituents
and Dependencies steer by these counts.

  diffusionlm train-syntax checkpoint=restaurant treebanks=FOLDER texts=[E2E/train.txt] export=MODEL/readers

settings (key=value) and their defaults:

"""


def main(argv: list[str]) -> int:
    """Composes ``configs/train_syntax.yaml`` with the ``key=value`` arguments, trains, counts, writes."""
    from diffusionlm.commands._settings import read_settings

    config = read_settings(argv, "train-syntax", HELP)
    if config is None:
        return 0
    return _train(config)


def _train(config: dict[str, Any]) -> int:
    from diffusionlm.checkpoints.folders import find_folder
    from diffusionlm.text import TextTokenizer
    from diffusionlm.training.syntax.guides import read_texts, train_guides

    texts = config["texts"] if isinstance(config["texts"], list) else [config["texts"]]
    pairs = [pair for path in texts for pair in read_texts(path)]
    folder = find_folder(config["checkpoint"])
    tokenizer = TextTokenizer.from_pretrained(folder / "tokenizer")
    same = config["export"] == f"{config['checkpoint']}/readers"
    target = folder / "readers" if same else Path(config["export"])
    train_guides(
        tokenizer,
        pairs,
        Path(config["treebanks"]),
        target,
        parse_texts=config["parse_texts"],
        tagger_epochs=config["tagger_epochs"],
        parser_epochs=config["parser_epochs"],
        taggers=config["taggers"],
        seed=config["seed"],
        save=config["save_tagger"],
        say=lambda line: print(line, flush=True),
    )
    print(f"The guides are in {target}.")
    return 0
