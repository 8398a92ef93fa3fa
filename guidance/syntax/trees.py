"""Constituency trees: Penn bracketing to a `Tree` and back, spans of constituents."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from diffusionlm.guidance.syntax.labels import pointed

_PIECE = re.compile(r"\s*([()]|[^\s()]+)")
_BRACKETS = {"-LRB-": "(", "-RRB-": ")", "-LSB-": "[", "-RSB-": "]", "-LCB-": "{", "-RCB-": "}"}


@dataclass(frozen=True)
class Tree:
    """A node: a constituent with children, a part of speech with one word, or a part of speech without (word None).

    Attributes:
        label: without function ("NP-SBJ" is "NP").
        children: below a constituent.
        word: of a part of speech.
    """

    label: str
    children: tuple[Tree, ...] = field(default=())
    word: str | None = None

    def leaves(self) -> list[Tree]:
        """The parts of speech from left to right."""
        return [self] if not self.children else [leaf for child in self.children for leaf in child.leaves()]

    def words(self) -> list[str]:
        """The words; "" where the tree has none."""
        return [leaf.word or "" for leaf in self.leaves()]

    def tags(self) -> list[str]:
        """The labels of the leaves."""
        return [leaf.label for leaf in self.leaves()]

    def spans(self) -> list[tuple[int, int, str]]:
        """(first word, last word, label) of each constituent, last inclusive; without the root, parts of speech and
        repetitions of one label over the same words."""
        found: dict[tuple[int, int, str], None] = {}
        self._collect(0, found)
        return [span for span in found if span[2] not in ("ROOT", "TOP", "")]

    def _collect(self, start: int, found: dict[tuple[int, int, str], None]) -> int:
        if not self.children:
            return start + 1
        end = start
        place = len(found)
        inner: dict[tuple[int, int, str], None] = {}
        for child in self.children:
            end = child._collect(end, inner)
        del place
        found[(start, end - 1, self.label)] = None
        found.update(inner)
        return end

    def __str__(self) -> str:
        if not self.children:
            return f"({self.label} {self.word})" if self.word is not None else f"({self.label})"
        return f"({self.label} {' '.join(map(str, self.children))})"


def base_label(label: str) -> str:
    """A label without its function: "NP-SBJ=2" is "NP"; "-LRB-" stays."""
    return label if label.startswith("-") else re.split(r"[-=|]", label)[0]


def parse_tree(text: str) -> Tree:
    """A tree from its brackets: ``(S (NP (DT The) (NN pub)) (VP ...))``; a leaf may be a bare tag, ``(NP DT NN)``.

    Raises:
        ValueError: with the character where it goes wrong.
    """
    stack: list[tuple[str, list[Tree], list[str], int]] = []
    done: Tree | None = None
    at = 0
    while at < len(text.rstrip()):
        match = _PIECE.match(text, at)
        assert match is not None
        piece, where = match.group(1), match.start(1)
        at = match.end()
        if done is not None:
            raise ValueError(pointed(text, where, "the tree ends before this"))
        if piece == "(":
            label = _PIECE.match(text, at)
            if label is not None and label.group(1) not in "()":
                stack.append((base_label(label.group(1)), [], [], where))
                at = label.end()
            else:
                stack.append(("", [], [], where))
        elif piece == ")":
            if not stack:
                raise ValueError(pointed(text, where, "this bracket closes nothing"))
            name, children, words, begin = stack.pop()
            node = _node(text, name, children, words, begin)
            if stack:
                stack[-1][1].append(node)
            else:
                done = node
        elif not stack:
            raise ValueError(pointed(text, where, "a tree begins with a bracket, as in (S (NP DT NN) ...)"))
        else:
            stack[-1][2].append(piece)
            stack[-1][1].append(Tree(base_label(piece)))
    if stack:
        raise ValueError(pointed(text, stack[-1][3], "this bracket is never closed"))
    if done is None:
        raise ValueError("the tree is empty; write one as in (S (NP (DT The) (NN pub)) (VP ...))")
    return done


def _node(text: str, name: str, children: list[Tree], words: list[str], begin: int) -> Tree:
    if len(children) == 1 and words:  # (DT The)
        return Tree(name, word=_BRACKETS.get(words[0], words[0]))
    if not children:
        if not name:
            raise ValueError(pointed(text, begin, "an empty bracket; write a label, as in (NP ...)"))
        return Tree(name)
    return Tree(name or "ROOT", tuple(children))
