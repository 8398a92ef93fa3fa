"""Regular expressions over parts of speech: ``DET ADJ* NOUN (AUX|VERB) .*``, as an automaton over words."""

from __future__ import annotations

import re

from diffusionlm.guidance.syntax.automaton import Builder, Part, TagAutomaton
from diffusionlm.guidance.syntax.labels import UPOS, check_label, pointed

_PIECE = re.compile(r"\s*(?:(?P<tag>[A-Za-z]+)|(?P<count>\{[^}]*\}?)|(?P<set>\[[^\]]*\]?)|(?P<sign>\S))")


def parse_pattern(text: str) -> TagAutomaton:
    """The automaton of a pattern.

    Tags of Universal Dependencies, separated by spaces; ``.`` any word or mark, ``[ADJ NOUN]`` one of several, ``[^PUNCT]``
    all but these, ``( )`` groups, ``|`` or, ``* + ?`` and ``{2}``, ``{2,}``, ``{2,4}`` repetitions.

    Raises:
        ValueError: pointing at the character.
    """
    builder = Builder()
    parser = _Parser(text, builder)
    part = parser.alternatives()
    if parser.at < len(parser.pieces):
        raise ValueError(pointed(text, parser.pieces[parser.at][2], "this bracket closes nothing"))
    return builder.automaton(part)


class _Parser:
    """Recursive descent over the pieces of a pattern."""

    def __init__(self, text: str, builder: Builder) -> None:
        self.text, self.builder, self.at = text, builder, 0
        self.pieces: list[tuple[str, str, int]] = []
        for match in _PIECE.finditer(text):
            kind = str(match.lastgroup)
            if kind == "sign" and match["sign"] not in "()|*+?.":
                what = f"{match['sign']!r} has no meaning here; a pattern is made of tags, ( ) | * + ? {{ }} [ ] and ."
                raise ValueError(pointed(text, match.start("sign"), what))
            self.pieces.append((kind, match[kind], match.start(kind)))

    def peek(self) -> str:
        if self.at == len(self.pieces):
            return ""
        kind, piece, _ = self.pieces[self.at]
        return piece if kind == "sign" else kind

    def alternatives(self) -> Part:
        parts = [self.sequence()]
        while self.peek() == "|":
            self.at += 1
            parts.append(self.sequence())
        return Part(
            any(p.empty for p in parts), [s for p in parts for s in p.first], [s for p in parts for s in p.last]
        )

    def sequence(self) -> Part:
        part = Part(True, [], [])
        while self.peek() not in ("", "|", ")"):
            part = self.builder.link(part, self.repeated())
        return part

    def repeated(self) -> Part:
        begin = self.at
        part = self.atom()
        while self.peek() in ("*", "+", "?", "count"):
            kind, piece, where = self.pieces[self.at]
            if kind == "count":
                least, most = self.counts(piece, where)
                resume = self.at + 1
                part = self.copies(begin, self.at, least, most)
                self.at = resume
                continue
            self.at += 1
            if piece in "*+":
                part = self.builder.loop(part)
            if piece in "*?":
                part = Part(True, part.first, part.last)
        return part

    def counts(self, piece: str, where: int) -> tuple[int, int | None]:
        match = re.fullmatch(r"\{\s*(\d+)\s*(,?)\s*(\d*)\s*\}", piece)
        if match is None or (match[3] and not match[2]):
            raise ValueError(pointed(self.text, where, "a number of times is written {2}, {2,} or {2,4}"))
        least = int(match[1])
        most = int(match[3]) if match[3] else None if match[2] else least
        if most is not None and most < least:
            raise ValueError(pointed(self.text, where, f"at least {least} and at most {most} times is impossible"))
        return least, most

    def copies(self, begin: int, end: int, least: int, most: int | None) -> Part:
        """The pieces from ``begin`` to ``end``, read again for each time."""

        def once() -> Part:
            inner = _Parser(self.text, self.builder)
            inner.pieces, inner.at = self.pieces[:end], begin
            return inner.repeated()

        part = Part(True, [], [])
        for _ in range(least):
            part = self.builder.link(part, once())
        if most is None:
            rest = self.builder.loop(once())
            return self.builder.link(part, Part(True, rest.first, rest.last))
        for _ in range(most - least):
            more = once()
            part = self.builder.link(part, Part(True, more.first, more.last))
        return part

    def atom(self) -> Part:
        kind, piece, where = self.pieces[self.at]
        self.at += 1
        if kind == "tag":
            return self.builder.symbol(frozenset({self.label(piece, where)}))
        if kind == "set":
            return self.builder.symbol(self.read_set(piece, where))
        if piece == ".":
            return self.builder.symbol(frozenset(UPOS))
        if piece == "(":
            part = self.alternatives()
            if self.peek() != ")":
                raise ValueError(pointed(self.text, where, "this bracket is never closed"))
            self.at += 1
            return part
        raise ValueError(pointed(self.text, where, f"{piece!r} repeats nothing; write a tag or a group before it"))

    def label(self, piece: str, where: int) -> str:
        try:
            return check_label(piece, "part of speech")
        except ValueError as error:
            raise ValueError(pointed(self.text, where, str(error))) from None

    def read_set(self, piece: str, where: int) -> frozenset[str]:
        if not piece.endswith("]"):
            raise ValueError(pointed(self.text, where, "this bracket is never closed"))
        inner = piece[1:-1]
        without = inner.lstrip().startswith("^")
        names = [(m[0], where + 1 + m.start()) for m in re.finditer(r"[^\s,|^]+", inner)]
        if not names:
            raise ValueError(pointed(self.text, where, "an empty choice; write tags, as in [ADJ NOUN]"))
        tags = frozenset(self.label(name, at) for name, at in names)
        return frozenset(UPOS) - tags if without else tags
