"""Tables for the guides of syntax: treebanks -> tagger and parser -> tagged and parsed texts -> counts for a tokenizer."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffusionlm.checkpoints.files import atomic_folder
from diffusionlm.corpora.e2e import read_e2e
from diffusionlm.guidance.syntax.labels import RELATIONS, UPOS
from diffusionlm.guidance.syntax.windows import WindowTables, build_windows
from diffusionlm.text.lines import read_lines
from diffusionlm.training.syntax.files import save_tagger
from diffusionlm.training.syntax.parser import ChartParser, bracket_f1, chains_of, train_parser
from diffusionlm.training.syntax.silver import make_tables, silver_tags
from diffusionlm.training.syntax.tagger import WordTagger, accuracy, train_tagger
from diffusionlm.training.syntax.treebanks import Sentence, read_conllu, read_ptb

if TYPE_CHECKING:
    from diffusionlm.text import TextTokenizer


def read_texts(path: str | Path) -> list[tuple[str, str]]:
    """Pairs of condition ("" where there is none) and text: an E2E file, JSON lines with "text", or one text a line.

    Raises:
        FileNotFoundError: there is no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}; give texts=[FILE, ...].")
    lines = [line for line in read_lines(path) if line.strip()]
    if path.suffix == ".jsonl":
        rows = [json.loads(line) for line in lines]
        return [(str(row.get("prompt", "")), str(row["text"])) for row in rows]
    if lines and "||" in lines[0]:
        return read_e2e(path)
    return [("", line) for line in lines]


def train_guides(
    tokenizer: TextTokenizer,
    pairs: Sequence[tuple[str, str]],
    treebanks: Path,
    target: Path,
    *,
    parse_texts: int = 12_000,
    tagger_epochs: int = 5,
    parser_epochs: int = 6,
    taggers: int = 1,
    seed: int = 0,
    save: str | Path | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Trains, counts and writes the folders "part-of-speech", "constituents" and "dependencies" below ``target``.

    Args:
        tokenizer: whose tokens are counted.
        pairs: conditions and texts that the model learnt from.
        treebanks: folder with ewt-train.conllu, gum-train.ptb and, where there is one, atis-train.conllu.
        target: folder for the three.
        parse_texts: texts that are parsed, drawn at random.
        tagger_epochs: passes over the treebanks.
        parser_epochs: likewise.
        taggers: of different seeds, whose mean is taken.
        seed: of all draws.
        save: folder for the first tagger, as ``diffusionlm guides`` uses one; None: it is not kept.
        say: told how it goes on.
    """
    ewt, gum = read_conllu(treebanks / "ewt-train.conllu"), read_ptb(treebanks / "gum-train.ptb")
    fingerprint = tokenizer.vocabulary.fingerprint
    own = [train_tagger([*ewt, *gum], epochs=tagger_epochs, seed=seed + k) for k in range(taggers)]
    figures = _judged(own[0], treebanks)
    say(f"tagger: {figures}")
    if save is not None:
        save_tagger(
            own[0],
            save,
            {"data": "UD_English-EWT (CC BY-SA 4.0) and GUM (CC BY 4.0)", "epochs": tagger_epochs, **figures},
        )
    data = f"{len(pairs):,} texts, tagged by {taggers} tagger(s) trained on UD_English-EWT (CC BY-SA 4.0) and GUM (CC BY 4.0)"
    tables = make_tables(tokenizer, pairs, own, {"data": data, **figures})
    with atomic_folder(target / "part-of-speech") as draft:
        tables.save(draft)
    say(f"part-of-speech: {len(tables.opening):,} counts")
    dependencies = dependency_windows(treebanks)
    with atomic_folder(target / "dependencies") as draft:
        dependencies.save(draft, fingerprint)
    say(f"dependencies: {len(dependencies.label):,} runs of tags")
    parser = train_parser(gum, epochs=parser_epochs, seed=seed, start=own[0])
    constituents = constituent_windows(pairs, own, parser, gum, parse_texts, seed)
    constituents.card.update(_parsed(parser, treebanks))
    with atomic_folder(target / "constituents") as draft:
        constituents.save(draft, fingerprint)
    say(f"constituents: {len(constituents.label):,} runs of tags; {constituents.card}")


def _judged(tagger: WordTagger, treebanks: Path) -> dict[str, Any]:
    path = treebanks / "ewt-dev.conllu"
    return {"ewt_dev_accuracy": round(accuracy(tagger, read_conllu(path), "upos"), 4)} if path.is_file() else {}


def _parsed(parser: ChartParser, treebanks: Path) -> dict[str, Any]:
    path = treebanks / "gum-dev.ptb"
    if not path.is_file():
        return {}
    gold = [s for s in read_ptb(path) if len(s.words) <= 60]
    found = parser.parse([s.words for s in gold])
    return {"gum_dev_f1": round(bracket_f1(found, [s.tree.spans() for s in gold if s.tree]), 4)}


def constituent_windows(
    pairs: Sequence[tuple[str, str]],
    taggers: Sequence[WordTagger],
    parser: ChartParser,
    trees: Sequence[Sentence],
    count: int,
    seed: int,
) -> WindowTables:
    """Runs of tags by constituent, from the parser's marginals over texts and from trees as they are."""
    chosen = random.Random(seed).sample(list(pairs), min(count, len(pairs)))
    tagged = [item for item in silver_tags(chosen, taggers) if 0 < len(item[1]) <= 48]
    marginals = parser.marginals([[text[a:b] for a, b in cut] for text, cut, _ in tagged])
    sentences = [
        ([UPOS[k] for k in tags.argmax(-1).tolist()], spans)
        for (_, _, tags), spans in zip(tagged, marginals, strict=True)
    ]
    kept = [s for s in trees if s.tree is not None and 0 < len(s.words) <= 48]
    for s, tags in zip(kept, taggers[0].tag([s.words for s in kept]), strict=True):
        gold = dict.fromkeys(
            (i, j, label) for (i, j), chain in chains_of(s).items() for label in (*chain.split("::"), chain)
        )
        sentences.append((tags, [(*span, 1.0) for span in gold]))
    data = f"{len(tagged):,} texts, parsed by a parser trained on GUM, and {len(kept):,} trees of GUM (CC BY 4.0)"
    return build_windows(sentences, {"data": data})


def dependency_windows(treebanks: Path) -> WindowTables:
    """Runs of tags by relation, from gold trees."""
    files = [path for name in ("ewt", "atis") if (path := treebanks / f"{name}-train.conllu").is_file()]
    sentences = [s for path in files for s in read_conllu(path)]

    def arcs() -> Iterator[tuple[list[str], list[tuple[int, int, str, float]]]]:
        for s in sentences:
            yield s.upos, list(_arcs(s))

    card = {"data": f"{len(sentences):,} sentences of UD_English-EWT and UD_English-Atis (CC BY-SA 4.0)"}
    return build_windows(arcs(), card, fewest=4, longest=10)


def _arcs(sentence: Sentence) -> Iterator[tuple[int, int, str, float]]:
    for dependent, (head, relation) in enumerate(zip(sentence.heads, sentence.relations, strict=True)):
        if relation in RELATIONS:
            yield dependent, dependent, relation, 1.0
        if head >= 0 and relation in RELATIONS:
            first, last = sorted((dependent, head))
            side = ">" if head > dependent else "<"
            yield first, last, relation + side, 1.0
            yield first, last, "*" + side, 1.0
