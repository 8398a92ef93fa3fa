"""Facts that are changed in a store: texts that state the new fact, or still the old one; no training in between.

    python -m benchmarks.bench_hot_fix --model restaurant --data E2E --facts 200 --segment prompt

Each fact (food, area or price) of a place of the split is changed to another value. The place is then written about with its
name as the prompt: without retrieval, with the changed passage in the store, and with the fact in the prompt too. A store
has one passage a place, so the facts are spread over as many stores as that takes.

--weight strengthens what was read by classifier-free guidance, in both columns with a fact; its budget grows with it.
Settings are chosen on the validation split (the default); the test split is for the last figure.

--state has the food, area and price of the passage stated by every text, as a rule that is read off what was found.

Passages have the form of prompts (--segment prompt), or are sentences of the split with the value replaced
(--segment retrieved, for weights that were fitted to neighbours). A text states a value if the value's words stand in it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.commandline import add_data, load_pipeline, make_parser
from diffusionlm.context import Retrieved, Store
from diffusionlm.context.encoders import make_encoder
from diffusionlm.corpora.e2e import read_e2e
from diffusionlm.evaluation.record import checkpoint_facts, settings_key, write_json
from diffusionlm.guidance import ClassifierFree
from diffusionlm.text.conditions import fields_of

FIELDS = ("food", "area", "price")


@dataclass(frozen=True)
class Change:
    """One changed fact: the place's fields, which of them changes, its values before and after, and the new passage."""

    fields: dict[str, str]
    field: str
    old: str
    new: str
    passage: str

    @property
    def rest(self) -> str:
        """The place's name as a condition."""
        return f"name[{self.fields['name']}]"

    @property
    def prompt(self) -> str:
        """The condition with the new fact."""
        return f"{self.rest}, {self.field}[{self.new}]"


def changes(pairs: Sequence[tuple[str, str]], count: int, segment: str, seed: int) -> list[Change]:
    """``count`` changes, of different places as far as there are any."""
    rng = random.Random(seed)
    values: dict[str, set[str]] = {name: set() for name in FIELDS}
    read = [(dict(fields_of(prompt)), text) for prompt, text in pairs]
    for fields, _ in read:
        for name in FIELDS:
            if name in fields:
                values[name].add(fields[name])
    rng.shuffle(read)
    found: list[Change] = []
    seen: set[tuple[str, str, str]] = set()
    for fields, text in read:
        options = [name for name in FIELDS if fields.get(name) and fields[name] in text and "name" in fields]
        for name in options:
            old = fields[name]
            if len(found) == count or (fields["name"], name, old) in seen:
                continue
            new = rng.choice(sorted(values[name] - {old}))
            passage = text.replace(old, new)
            if segment == "prompt":
                passage = ", ".join(f"{key}[{value}]" for key, value in (fields | {name: new}).items())
            seen.add((fields["name"], name, old))
            found.append(Change(fields, name, old, new, passage))
    return found


def rounds(made: Sequence[Change]) -> list[list[Change]]:
    """The changes in groups with one passage a place."""
    out: list[list[Change]] = []
    for change in made:
        fitting = (group for group in out if all(change.rest != other.rest for other in group))
        group = next(fitting, None)
        if group is None:
            out.append(group := [])
        group.append(change)
    return out


def shares(texts: Sequence[str], made: Sequence[Change]) -> dict[str, float]:
    """Share of the texts that state the new fact, and the old one."""
    new = [change.new.lower() in text.lower() for text, change in zip(texts, made, strict=True)]
    old = [
        change.old.lower() in text.lower() and change.old.lower() not in change.new.lower()
        for text, change in zip(texts, made, strict=True)
    ]
    return {"new": sum(new) / len(made), "old": sum(old) / len(made)}


def measure(
    pipe: Any,
    made: Sequence[Change],
    segment: str,
    encoder: Any,
    steps: int,
    seed: int,
    weight: float = 0.0,
    state: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Shares for three kinds of calls, and how often the right passage was found."""
    texts: dict[str, list[str]] = {"without": [], "retrieved": [], "prompt": []}
    groups, hits = rounds(made), 0
    encoder = make_encoder(encoder)
    for number, group in enumerate(groups):
        store = Store.build([change.passage for change in group], encoder=encoder)
        names, call = [change.rest for change in group], {"steps": steps, "seed": seed + 1000 * number}
        found = pipe(
            None,
            prompt=names,
            context=[Retrieved(store, 1, "prompt", segment, state=state)],
            guidance=stronger(weight, segment),
            **call,
        )
        hits += sum(used[0][0]["text"] == change.passage for used, change in zip(found.context, group, strict=True))
        plain = pipe(None, prompt=names, **call)
        told = pipe(None, prompt=[change.prompt for change in group], guidance=stronger(weight, "prompt"), **call)
        for name, result in (("without", plain), ("retrieved", found), ("prompt", told)):
            texts[name] += [samples[0] for samples in result.texts]
    ordered = [change for group in groups for change in group]
    figures: dict[str, Any] = {name: shares(written, ordered) for name, written in texts.items()}
    return figures | {"stores": len(groups), "right_passage": hits / len(ordered)}


def stronger(weight: float, segment: str) -> ClassifierFree | None:
    """Guidance towards what was read; its trust region is widened as its weight grows."""
    return ClassifierFree(weight=weight, without=(segment,), budget=8.0 * weight) if weight else None


def main(argv: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__)
    add_data(parser)
    parser.add_argument("--facts", type=int, default=200)
    parser.add_argument("--steps", type=int, default=32)
    parser.add_argument("--segment", choices=("prompt", "retrieved"), default="prompt")
    parser.add_argument("--encoder", choices=("model", "minilm", "words"), default="minilm")
    parser.add_argument("--split", choices=("valid", "test"), default="valid")
    parser.add_argument("--weight", type=float, default=0.0, help="of classifier-free guidance (default: none)")
    parser.add_argument("--state", action="store_true", help="texts must state food, area and price of their passage")
    options = parser.parse_args(argv)
    if options.state and options.segment != "prompt":
        parser.error("--state reads fields: it goes with --segment prompt")
    pipe = load_pipeline(options)
    made = changes(read_e2e(options.data / f"{options.split}.txt"), options.facts, options.segment, options.seed)
    encoder = pipe if options.encoder == "model" else options.encoder
    state = FIELDS if options.state else None
    figures = measure(pipe, made, options.segment, encoder, options.steps, options.seed, options.weight, state)
    print(f"{'':<12}{'new fact':>10}{'old fact':>10}")
    for name in ("without", "retrieved", "prompt"):
        print(f"{name:<12}{figures[name]['new']:>10.1%}{figures[name]['old']:>10.1%}")
    print(f"right passage found: {figures['right_passage']:.1%} of {len(made)}")
    settings = {"facts": len(made), "segment": options.segment, "encoder": options.encoder, "steps": options.steps}
    settings |= {"split": options.split, "weight": options.weight, "state": options.state}
    record = {"benchmark": "hot fix", **settings, "checkpoint": checkpoint_facts(options.model), **figures}
    write_json(options.out / f"hot_fix_{settings_key(settings)}.json", record)


if __name__ == "__main__":
    main()
