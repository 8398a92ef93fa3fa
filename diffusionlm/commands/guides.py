"""``diffusionlm guides``: toxicity, names and syntax for one's own model, without labelled data of one's own."""

from __future__ import annotations

import argparse
import difflib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from diffusionlm.text import TextTokenizer

SUMMARY = "Make guides for your own model (toxicity, names, syntax) without labelled data"
PARTS = ("syntax", "toxicity", "names", "bigrams")
_COUNTED = {"syntax", "bigrams"}  # from texts alone
_DESCRIPTION = """\
Makes what Toxicity, PII(names=True), PartOfSpeech, Constituents, Dependencies and Bigrams ask of a model, and writes it
beside its pipeline, where guidance finds it. Neighbours are counted. The classifiers and tables in the package are moved to
the model's vocabulary: a tagger reads the texts that the model was trained on, and small networks learn from the model's own
posteriors what the package's classifiers say of these texts and of made-up ones."""


def main(argv: list[str]) -> int:
    """Makes the guides of one pipeline."""
    parser = argparse.ArgumentParser(
        prog="diffusionlm guides",
        description=_DESCRIPTION,
        epilog="  diffusionlm guides --for runs/mine/pipeline",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--for", dest="checkpoint", metavar="CHECKPOINT", help="the pipeline: a folder (required)")
    parser.add_argument("--only", metavar="NAMES", help=f"some of them: {','.join(PARTS)}")
    parser.add_argument(
        "--texts", action="append", default=[], metavar="FILE",
        help="texts such as the model writes, one a line or .jsonl (default: its training texts, else samples)",
    )  # fmt: skip
    parser.add_argument("--steps", type=int, default=200, help="of training a classifier (default: 200)")
    parser.add_argument("--made-up", type=int, default=6000, metavar="N", help="texts of the grammar (default: 6000)")
    parser.add_argument("--out", metavar="FOLDER", help="where they are written (default: CHECKPOINT/readers)")
    parser.add_argument("--overwrite", action="store_true", help="replace guides that are there")
    parser.add_argument("--seed", type=int, default=0, help="of all draws (default: 0)")
    given = parser.parse_args(argv)
    if not given.checkpoint:
        raise ValueError("Say which model the guides are for: diffusionlm guides --for runs/mine/pipeline.")
    if given.steps < 1 or given.made_up < 0:
        raise ValueError(f"--steps must be at least 1 and --made-up at least 0, got {given.steps} and {given.made_up}.")
    parts = _parts(given.only)
    if given.only is None and not given.overwrite:
        counted = Path(given.out or Path(given.checkpoint) / "readers") / "bigrams"
        parts = [part for part in parts if part != "bigrams" or not counted.exists()]  # training counts them
    target = _target(given.checkpoint, given.out, parts, given.overwrite)
    return _make(given, parts, target)


def _parts(only: str | None) -> list[str]:
    names = list(PARTS) if only is None else [name.strip() for name in only.split(",") if name.strip()]
    for name in names:
        if name not in PARTS:
            near = difflib.get_close_matches(name, PARTS, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(PARTS)}."
            raise ValueError(f"There are no guides {name!r}; {hint}")
    if not names:
        raise ValueError(f"--only names no guides; there are {', '.join(PARTS)}.")
    return names


def _target(checkpoint: str, out: str | None, parts: list[str], overwrite: bool) -> Path:
    """The folder to write to; refuses to touch what nobody gave up, before anything is loaded."""
    from diffusionlm.checkpoints.folders import find_folder

    find_folder(checkpoint)
    if out is None and not Path(checkpoint).is_dir():
        raise ValueError(
            f"{checkpoint!r} is no folder of yours, and what came from elsewhere stays as it is: give --out FOLDER, and in "
            "Python pipe.resources.append(FOLDER)."
        )
    target = Path(checkpoint) / "readers" if out is None else Path(out)
    if target.exists() and not target.is_dir():
        raise ValueError(f"{target} is a file; give another --out FOLDER.")
    made = [name for part in parts for name in _folders(part)]
    there = [name for name in made if (target / name).exists()]
    if there and not overwrite:
        raise ValueError(
            f"{target} holds {', '.join(there)} already; replace them with --overwrite, or make others with --only."
        )
    return target


def _folders(part: str) -> tuple[str, ...]:
    return ("part-of-speech", "constituents", "dependencies") if part == "syntax" else (part,)


def _make(given: argparse.Namespace, parts: list[str], target: Path) -> int:
    from diffusionlm.denoiser import SpanDenoiser
    from diffusionlm.pipeline import DiffusionLMPipeline
    from diffusionlm.training.transfer.readers import transfer_reader
    from diffusionlm.training.transfer.syntax import transfer_syntax
    from diffusionlm.training.transfer.texts import texts_like

    pipe = DiffusionLMPipeline.from_pretrained(given.checkpoint)
    if pipe.model.process == "gaussian" and not isinstance(pipe.denoiser, SpanDenoiser) and not set(parts) <= _COUNTED:
        raise ValueError(
            f"{given.checkpoint} adds Gaussian noise in a way of its own, for which no classifiers are trained here; give "
            "--only syntax,bigrams. There are also Toxicity(judge='detoxify') and Classifier."
        )
    pipe.set_progress_bar_config(disable=True)
    pairs = texts_like(pipe, given.texts, seed=given.seed, say=_say)
    if not pairs:
        raise ValueError("The model writes nothing but empty texts; give texts with --texts FILE.")
    for part in parts:
        if part == "syntax":
            transfer_syntax(pipe.tokenizer, pairs, target, _say)
        elif part == "bigrams":
            _count_bigrams(pipe.tokenizer, pairs, target / part)
        else:
            transfer_reader(
                pipe, part, pairs, target, steps=given.steps, made_up=given.made_up, seed=given.seed, say=_say
            )
    _say(f"The guides are in {target}.")
    return 0


def _count_bigrams(tokenizer: TextTokenizer, pairs: Sequence[tuple[str, str]], target: Path) -> None:
    from diffusionlm.checkpoints.files import atomic_folder
    from diffusionlm.guidance.bigrams.tables import BigramTables

    texts = tokenizer.encode_batch([text for _, text in pairs])
    tables = BigramTables.count(texts, tokenizer.vocabulary, {"data": f"{len(texts):,} texts"})
    with atomic_folder(target) as draft:
        tables.save(draft)
    _say(f"bigrams: {len(tables.pairs):,} pairs of neighbours")


def _say(line: str) -> None:
    print(line, flush=True)
