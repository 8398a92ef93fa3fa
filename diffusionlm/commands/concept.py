"""``diffusionlm concept``: learns concepts from a few example texts, and lists those that are there."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

SUMMARY = "Learn a concept from a few texts, to write with it by its name"
HELP = """usage: diffusionlm concept learn NAME FILE [key=value ...]
       diffusionlm concept list

learn reads a text file with one example a line, learns vectors that stand for what they have in common (no weight of the
model changes), and writes concepts/NAME.safetensors. Texts that begin with [CONCEPT:NAME] are then written with it.

  diffusionlm concept learn house-style examples.txt
  diffusionlm generate "[CONCEPT:house-style] The [SPAN:5] is a pub near [SPAN]."

settings (key=value) and their defaults:
  checkpoint=restaurant   a bundled name, a folder, or owner/name on the Hub
  out=concepts            folder that the file is written to
  vectors=40              how many positions of memory stand for the concept
  steps=400               steps of learning
  learning_rate=0.15      of Adam
  batch_size=8            texts of a step
  seed=0                  another seed, other vectors
"""
_NUMBERS: dict[str, type] = {"vectors": int, "steps": int, "learning_rate": float, "batch_size": int, "seed": int}


def main(argv: list[str]) -> int:
    """Learns or lists."""
    if any(argument in ("-h", "--help") for argument in argv):
        print(HELP, end="")
        return 0
    plain = [argument for argument in argv if "=" not in argument]
    if plain == ["list"]:
        return _list()
    if len(plain) != 3 or plain[0] != "learn":
        raise ValueError(
            f"Write: diffusionlm concept learn NAME FILE, or diffusionlm concept list; got {' '.join(argv) or 'nothing'}."
        )
    settings = _settings([argument for argument in argv if "=" in argument])
    checkpoint, out = settings.pop("checkpoint", "restaurant"), settings.pop("out", "concepts")
    from diffusionlm.context.concept import check_name
    from diffusionlm.text.lines import read_lines

    check_name(plain[1])
    if not Path(plain[2]).is_file():
        raise FileNotFoundError(f"There is no file {plain[2]!r}; give a text file with one example a line.")
    texts = [line.strip() for line in read_lines(plain[2]) if line.strip()]
    if not texts:
        raise ValueError(f"{plain[2]} has no example; write one a line.")

    from diffusionlm.pipeline import DiffusionLMPipeline

    pipe = DiffusionLMPipeline.from_pretrained(checkpoint)

    def show(step: int, loss: float) -> None:
        if sys.stderr.isatty():
            print(f"\rstep {step + 1}, {loss:.3f} nats a token", end="", file=sys.stderr, flush=True)

    path = pipe.learn_concept(plain[1], texts, on_step=show, **settings).save(out)
    card = pipe.concepts[plain[1]].card
    print(f"{path}: {card['examples']} examples, {card['loss_first']:.2f} to {card['loss_last']:.2f} nats a token")
    return 0


def _settings(arguments: list[str]) -> dict[str, Any]:
    from diffusionlm.errors import suggestion

    settings: dict[str, Any] = {}
    for argument in arguments:
        key, _, value = argument.partition("=")
        known = ("checkpoint", "out", *_NUMBERS)
        if key not in known:
            raise ValueError(f"There is no setting {key!r}; {suggestion(key, known)}")
        try:
            settings[key] = _NUMBERS.get(key, str)(value)
        except ValueError:
            raise ValueError(f"{key} needs a number, got {value!r}.") from None
    return settings


def _list() -> int:
    from diffusionlm.context.concept import FOLDER, LearnedConcept

    paths = sorted(FOLDER.glob("*.safetensors"))
    for path in paths:
        concept = LearnedConcept.load(path)
        print(f"{concept.name}: {len(concept.vectors)} vectors, base {concept.base}, {concept.card.get('weights', '')}")
    if not paths:
        print(f"There is no concept in {FOLDER}/.")
    return 0
