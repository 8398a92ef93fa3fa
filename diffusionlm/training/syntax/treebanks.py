"""Treebanks: sentences with tags and dependencies (CoNLL-U), and constituency trees (Penn bracketing, one a line)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from diffusionlm.guidance.syntax.trees import Tree, parse_tree
from diffusionlm.text.lines import read_lines


@dataclass(frozen=True)
class Sentence:
    """A sentence of a treebank; lists have one entry a word, "" or -1 where nothing is known.

    Attributes:
        words: surface forms.
        upos: universal tags.
        xpos: Penn tags.
        heads: index of the head, -1 for the root.
        relations: label of the arc from the head, subtypes cut off ("nmod:poss" is "nmod").
        tree: constituency tree, where there is one.
    """

    words: list[str]
    upos: list[str]
    xpos: list[str]
    heads: list[int] = field(default_factory=list)
    relations: list[str] = field(default_factory=list)
    tree: Tree | None = None


def read_conllu(path: str | Path) -> list[Sentence]:
    """Sentences of a CoNLL-U file; words that are split into several are read as their parts, empty nodes skipped.

    Raises:
        ValueError: a line without ten columns, with file and line number.
    """
    sentences: list[Sentence] = []
    rows: list[list[str]] = []
    for number, line in enumerate([*read_lines(path), ""], start=1):
        if not line.strip():
            if rows:
                sentences.append(_sentence(rows))
            rows = []
            continue
        if line.startswith("#"):
            continue
        columns = line.split("\t")
        if len(columns) != 10:
            raise ValueError(f"{path}, line {number}: a word has ten columns between tabs, got {len(columns)}")
        if columns[0].isdigit():
            rows.append(columns)
    if rows:
        sentences.append(_sentence(rows))
    return sentences


def _sentence(rows: list[list[str]]) -> Sentence:
    def known(column: int) -> list[str]:
        return ["" if row[column] == "_" else row[column] for row in rows]

    heads = [int(row[6]) - 1 for row in rows]
    return Sentence([row[1] for row in rows], known(3), known(4), heads, [row[7].partition(":")[0] for row in rows])


def read_ptb(path: str | Path) -> list[Sentence]:
    """Sentences of a file of trees, one a line; Penn tags come from the trees.

    Raises:
        ValueError: a line that is no tree, with file and line number.
    """
    sentences = []
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        try:
            tree = parse_tree(line)
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
        words, tags = tree.words(), tree.tags()
        sentences.append(Sentence(words, [""] * len(words), tags, tree=tree))
    return sentences
