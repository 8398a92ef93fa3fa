"""Concepts learned from five examples: how many texts write the name right and state the facts; others stay as they were.

    python -m benchmarks.bench_concepts --concepts 4 --texts 8

Each concept is an invented place with a name that E2E does not have, and three facts (kind, food, area), told in five
sentences. It is learned with every weight frozen, then texts are written from nothing but the concept. A fact is stated if its
words stand in the text; a name is right if it stands there as it is. Then all concepts are loaded, and the texts of the first
are written again. A prompt with the same name and facts is written beside it: what the weights can do when they are told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.commandline import load_pipeline, make_parser
from diffusionlm.context import Concept
from diffusionlm.evaluation.record import Stopwatch, checkpoint_facts, settings_key, write_json

SENTENCES = (
    "{name} is a {kind} that serves {food} food in the {area}.",
    "In the {area} there is a {kind} called {name}. It has {food} food.",
    "{name} is a {food} {kind} in the {area}.",
    "For {food} food, visit {name}, a {kind} in the {area}.",
    "There is {food} food at the {kind} {name}, which is in the {area}.",
)


@dataclass(frozen=True)
class Place:
    """An invented place."""

    name: str
    kind: str
    food: str
    area: str

    @property
    def examples(self) -> list[str]:
        """Five texts about it."""
        return [sentence.format(**vars(self)) for sentence in SENTENCES]

    @property
    def prompt(self) -> str:
        """The same as a condition."""
        return f"name[{self.name}], type[{self.kind}], food[{self.food}], area[{self.area}]"

    @property
    def facts(self) -> tuple[str, str, str]:
        """Words of which each states one."""
        return self.kind, self.food, self.area


PLACES = (
    Place("The Golden Lamb", "pub", "Italian", "city centre"),
    Place("Green River House", "coffee shop", "Japanese", "riverside"),
    Place("The Old Star", "restaurant", "French", "city centre"),
    Place("Blue Garden", "pub", "Indian", "riverside"),
    Place("The Silver Spoon", "restaurant", "Chinese", "riverside"),
    Place("Cherry Tree Corner", "coffee shop", "English", "city centre"),
    Place("The Copper Kettle", "pub", "French", "riverside"),
    Place("Queen's Table", "restaurant", "Indian", "city centre"),
)


def shares(texts: Sequence[str], place: Place) -> dict[str, float]:
    """Share of the texts with the name as it is, and of the facts that are stated."""
    facts = [fact.lower() in text.lower() for text in texts for fact in place.facts]
    return {"name": sum(place.name in text for text in texts) / len(texts), "facts": sum(facts) / len(facts)}


def mean(found: Sequence[dict[str, float]]) -> dict[str, float]:
    """Means over places."""
    return {key: sum(item[key] for item in found) / len(found) for key in found[0]}


def main(argv: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--concepts", type=int, default=len(PLACES))
    parser.add_argument("--texts", type=int, default=8)
    parser.add_argument("--steps", type=int, default=32, help="of writing")
    parser.add_argument("--vectors", type=int)
    parser.add_argument("--learning-steps", type=int)
    parser.add_argument("--state", action="store_true", help="texts must mention the name")
    options = parser.parse_args(argv)
    pipe, watch = load_pipeline(options), Stopwatch()
    call: dict[str, Any] = {"num_samples": options.texts, "steps": options.steps, "seed": options.seed}
    others = pipe("The [SPAN:4] is near [SPAN].", **call).texts
    given = {"vectors": options.vectors, "steps": options.learning_steps}
    settings = {name: value for name, value in given.items() if value is not None}
    learned, told, places, first = [], [], PLACES[: options.concepts], []
    for number, place in enumerate(places):
        pipe.learn_concept(f"place-{number}", place.examples, seed=options.seed, **settings)
        state = [place.name] if options.state else []
        texts = pipe(context=[Concept(f"place-{number}", state)], **call).texts
        learned.append(shares(texts, place))
        told.append(shares(pipe(prompt=place.prompt, **call).texts, place))
        print(f"{place.name}: learned {learned[-1]}, told {told[-1]}", flush=True)
        for text in texts[:3]:
            print(f"  {text}")
        first = texts if number == 0 else first
    again = pipe(context=[Concept("place-0", [places[0].name] if options.state else [])], **call).texts == first
    same = pipe("The [SPAN:4] is near [SPAN].", **call).texts == others
    figures = {"learned": mean(learned), "told": mean(told), "same_beside_others": again, "other_texts_identical": same}
    for name, value in figures.items():
        print(f"{name}: {value}")
    record = {
        "benchmark": "concepts",
        "concepts": len(places),
        "texts": options.texts,
        "steps": options.steps,
        "vectors": options.vectors,
        "learning_steps": options.learning_steps,
        "state": options.state,
    }
    key = settings_key(record)
    record |= {"checkpoint": checkpoint_facts(options.model), **figures, "seconds": watch.seconds}
    write_json(options.out / f"concepts_{key}.json", record)


if __name__ == "__main__":
    main()
