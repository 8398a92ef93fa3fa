"""Every registered plugin on every kind of model: one short guided call each.

    python -m benchmarks.bench_plugins_on_models [--write docs/plugins-on-models.md] [--model bert ...]

A cell "works" if texts were written and obey what the plugin certifies; it is "refused" if a ValueError, or a FileNotFoundError
where a classifier or a table is missing, said why before the network did its work. Anything else is a fault: it is printed, and
the command fails. Models are tiny and random.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.tiny_models import MODELS, TinyModel, held, tiny_model
from diffusionlm.guidance import FunctionGuidance, Guidance
from diffusionlm.guidance.registry.plugins import available, get
from diffusionlm.guidance.state import GuidanceState

STEPS, SEEDS, PROMPT = 2, [0, 1], "Hello"
HEAD = """# Every plugin on every kind of model

*Made by `python -m benchmarks.bench_plugins_on_models --write docs/plugins-on-models.md`; do not edit by hand. What the models
are and how to load yours: [Steer other people's models](other-models.md).*

Each cell is one short call with `example()` of the plugin on a tiny model with random weights, made by the classes of the
library that the model belongs to; DiffusionGemma runs in `generate` of transformers through `SteeringLogitsProcessor`, LLaDA2
is a tiny Qwen3 decoder in diffusers' `LLaDA2Pipeline` through `SteeringScheduler`. **works**: texts came out, and obey what the
plugin certifies. **refused**: a sentence says why, before the network runs (in the loops of other libraries at the first logits
of a canvas, which show its size); the sentences stand below, with N for the size of a vocabulary. Classifiers are tiny and
random too. A call writes up to 16 tokens; BERT has no token that ends a text and fills all of them, so that what must be
shorter is refused there. Whether a plugin does a trained model good is another question: [results](results.md).
"""


def first_letters(state: GuidanceState) -> Any:
    """An energy of one's own: few tokens of the second half of the vocabulary."""
    return state.probs[..., state.probs.shape[-1] // 2 :].sum((-1, -2))


def rows() -> dict[str, Callable[[], Guidance]]:
    """What is tried: title -> the plugin. Registered plugins, those that need tables without them, and strategies."""
    found: dict[str, Callable[[], Guidance]] = {}
    for name in available():
        found[f"`{name}`"] = lambda name=name: get(name).example()  # type: ignore[misc]
    bare: Mapping[str, Mapping[str, Any]] = {
        "bigrams": {},
        "toxicity": {},
        "personal-names": {},
        "part-of-speech": {"tags": "DET NOUN"},
        "constituents": {"spans": "NP 0-1"},
        "dependencies": {"arcs": "det(1, 0)"},
    }
    for name, settings in bare.items():
        found[f"`{name}`, nothing trained for the vocabulary"] = lambda n=name, s=settings: get(n)(**s)  # type: ignore[misc]
    for strategy in ("tilt", "latent", "particles"):
        found[f'a function of yours, strategy "{strategy}"'] = lambda s=strategy: FunctionGuidance(  # type: ignore[misc]
            first_letters, strategy=s
        )
    found["a function of yours with a goal and two attempts"] = lambda: FunctionGuidance(
        first_letters, below=2.0, attempts=2
    )
    return found


@dataclass(frozen=True)
class Cell:
    """What a call gave.

    Attributes:
        outcome: "works", "refused" or "fault".
        said: the sentence of a refusal, or what went wrong.
    """

    outcome: str
    said: str = ""


def try_out(model: TinyModel, make: Callable[[], Guidance]) -> Cell:
    """One short guided call."""
    with model.counted() as passes:
        try:
            plugin = make()
            texts = model.write(plugin, SEEDS, STEPS, PROMPT)
        except (ValueError, FileNotFoundError) as error:  # FileNotFoundError: nothing was trained for the vocabulary
            said = " ".join(str(error).split())
            if passes[0] > model.opening:
                return Cell("fault", f"refused after {passes[0]} passes of the network: {said}")
            return Cell("refused", said)
        except Exception as error:  # whatever it is, it is the finding
            return Cell("fault", f"{type(error).__name__}: {' '.join(str(error).split())}")
    if len(texts) != len(SEEDS) or not passes[0]:
        return Cell("fault", f"wrote {texts!r} in {passes[0]} passes of the network")
    broken = [text for text in texts if not all(held(plugin, text, model.vocabulary).values())]
    return Cell("fault", f"wrote {broken[0]!r} against its rule") if broken else Cell("works")


def as_page(table: Mapping[str, Mapping[str, Cell]], titles: Sequence[str]) -> str:
    """The table in Markdown, sentences of refusals numbered below it."""
    sentences: dict[str, int] = {}
    lines = [HEAD, "| plugin | " + " | ".join(titles) + " |", "|---" * (len(titles) + 1) + "|"]
    for row, cells in table.items():
        shown = []
        for cell in cells.values():
            if cell.outcome == "works":
                shown.append("works")
            else:
                said = re.sub(r"[\d,]+ tokens", "N tokens", cell.said)
                number = sentences.setdefault(f"{cell.outcome}: {said}", len(sentences) + 1)
                shown.append(f"{cell.outcome} ({number})")
        lines.append(f"| {row} | " + " | ".join(shown) + " |")
    if sentences:
        lines += ["", "## What the refusals say", ""]
        lines += [f"{number}. {said.partition(': ')[2]}" for said, number in sentences.items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Runs the cells, prints one line for each that does not work, and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, help="page to write; all models only")
    parser.add_argument("--model", choices=MODELS, action="append", help="of these models only")
    options = parser.parse_args()
    if options.write and options.model:
        parser.error("--write makes the page of all models; leave out --model.")
    names = options.model or list(MODELS)
    wanted = rows()
    table: dict[str, dict[str, Cell]] = {row: {} for row in wanted}
    for name in names:
        model, began = tiny_model(name), time.process_time()
        for row, make in wanted.items():
            cell = table[row][name] = try_out(model, make)
            if cell.outcome != "works":
                print(f"{model.title}, {row}: {cell.outcome}: {cell.said}", flush=True)
        print(f"{model.title}: {len(wanted)} calls, {time.process_time() - began:.0f} s of processor time", flush=True)
    counts = [cell.outcome for cells in table.values() for cell in cells.values()]
    print(", ".join(f"{counts.count(outcome)} {outcome}" for outcome in ("works", "refused", "fault")))
    if "fault" in counts:
        sys.exit("There are faults: they stand above.")
    if options.write:
        options.write.write_text(as_page(table, [tiny_model(name).title for name in names]), encoding="utf-8")


if __name__ == "__main__":
    main()
